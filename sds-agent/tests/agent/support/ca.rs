//! A CA outside the room: speaks Istio's API over TLS and answers what the test says.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signet_identity::{Lifetime, Timestamp, VerifiedCsr};
use signet_proto::istio_ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use signet_proto::istio_ca::{IstioCertificateRequest, IstioCertificateResponse};
use signet_proto::signet_ca::WatchResponse;
use signet_proto::signet_ca::identity_server::IdentityServer;
use signet_proto::signet_ca::trust_bundle_server::TrustBundleServer;
use signet_runtime::Clock;
use signet_testkit::TestCa;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::minting::Mint;
use super::roots::Told;

/// What a CA does with one request.
pub(crate) type Answer = Result<Vec<String>, Status>;

type Behaviour = Box<dyn Fn(&TestCa, &VerifiedCsr) -> Answer + Send>;

/// One request as the CA saw it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) authorization: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) validity_secs: i64,
    pub(crate) key: String,
    /// The name in the certificate that was shown in the handshake.
    pub(crate) shown: Option<String>,
}

/// Which callers a CA serves.
type Door = fn(&Call) -> Result<(), Status>;

struct State {
    ca: Mutex<Arc<TestCa>>,
    behaviour: Mutex<Behaviour>,
    delay: Mutex<Duration>,
    door: Mutex<Door>,
    calls: Mutex<Vec<Call>>,
}

pub(crate) struct FakeCa {
    pub(crate) address: SocketAddr,
    /// What it tells of its roots.
    pub(crate) roots: Told,
    /// How it mints tokens.
    pub(crate) mint: Mint,
    tls_root: Arc<TestCa>,
    state: Arc<State>,
    server: JoinSet<()>,
}

struct Service(Arc<State>);

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let header = |name: &str| Some(request.metadata().get(name)?.to_str().ok()?.to_owned());
        let (authorization, cluster) = (header("authorization"), header("clusterid"));
        let shown = request.peer_certs().map(|certificates| {
            let leaf = signet_identity::Certificate::from_der(&certificates[0]).unwrap();
            leaf.uris()[0].clone()
        });
        let message = request.into_inner();
        let csr = VerifiedCsr::from_pem(message.csr.as_bytes()).unwrap();
        let key = csr.public_key().fingerprint();
        let call = Call { authorization, cluster, validity_secs: message.validity_duration, key, shown };
        self.0.calls.lock().unwrap().push(call.clone());
        (self.0.door.lock().unwrap())(&call)?;
        let delay = *self.0.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        let ca = self.0.ca.lock().unwrap().clone();
        let cert_chain = (self.0.behaviour.lock().unwrap())(&ca, &csr)?;
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

impl FakeCa {
    /// A CA that grants what is asked for an hour.
    pub(crate) async fn start() -> Self {
        // As every program does that is to have one crypto library.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = State {
            ca: Mutex::new(Arc::new(TestCa::root("cluster.local"))),
            behaviour: Mutex::new(Box::new(|ca, csr| Ok(grant(ca, csr, Duration::from_secs(3600))))),
            delay: Mutex::default(),
            door: Mutex::new(|_| Ok(())),
            calls: Mutex::default(),
        };
        let tls_root = Arc::new(TestCa::root("cluster.local"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let roots = Told::default();
        let mint = Mint::default();
        let mut ca = Self { address, roots, mint, tls_root, state: Arc::new(state), server: JoinSet::new() };
        ca.resume();
        ca
    }

    /// Serves on its address, the first time on any free one.
    pub(crate) fn resume(&mut self) {
        let incoming = TcpIncoming::bind(self.address).unwrap();
        self.address = incoming.local_addr().unwrap();
        let tls = ServerTlsConfig::new()
            .identity(self.serving_identity())
            .client_ca_root(Certificate::from_pem(self.root().pem()))
            .client_auth_optional(true);
        let service = IstioCertificateServiceServer::new(Service(self.state.clone()));
        let roots = TrustBundleServer::new(self.roots.clone());
        let mint = IdentityServer::new(self.mint.clone());
        let server =
            Server::builder().tls_config(tls).unwrap().add_service(service).add_service(roots).add_service(mint);
        self.server.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    }

    /// Is gone: nothing listens any more.
    pub(crate) async fn vanish(&mut self) {
        self.server.shutdown().await;
    }

    /// From now on its serving certificate chains to another root.
    pub(crate) async fn replace_tls_root(&mut self) {
        self.tls_root = Arc::new(TestCa::root("cluster.local"));
        self.vanish().await;
        self.resume();
    }

    /// From now on it signs with another root.
    pub(crate) fn replace_root(&self) {
        *self.state.ca.lock().unwrap() = Arc::new(TestCa::root("cluster.local"));
    }

    /// The root that it signs with.
    pub(crate) fn root(&self) -> Arc<TestCa> {
        self.state.ca.lock().unwrap().clone()
    }

    /// A bundle of its root and `others`, to be told.
    pub(crate) fn bundle(&self, generation: u64, others: &[&TestCa]) -> WatchResponse {
        let others: String = others.iter().map(|root| root.pem()).collect();
        let roots_pem = format!("{}{others}", self.root().pem());
        WatchResponse { generation, trust_domain: "cluster.local".to_owned(), roots_pem, ..WatchResponse::default() }
    }

    /// The root that it is trusted by.
    pub(crate) fn tls_root_pem(&self) -> String {
        self.tls_root.pem()
    }

    /// From now on it does this.
    pub(crate) fn answers(&self, behaviour: impl Fn(&TestCa, &VerifiedCsr) -> Answer + Send + 'static) {
        *self.state.behaviour.lock().unwrap() = Box::new(behaviour);
    }

    /// From now on it grants lives of this length.
    pub(crate) fn grants(&self, life: Duration) {
        self.answers(move |ca, csr| Ok(grant(ca, csr, life)));
    }

    /// From now on it serves only these callers.
    pub(crate) fn serves(&self, door: Door) {
        *self.state.door.lock().unwrap() = door;
    }

    /// Another replica: signs with the same root, is trusted by the same roots, is elsewhere.
    pub(crate) async fn replica(&self) -> Self {
        let mut other = Self::start().await;
        *other.state.ca.lock().unwrap() = self.root();
        other.tls_root = self.tls_root.clone();
        other.address.set_port(0);
        other.vanish().await;
        other.resume();
        other
    }

    /// From now on it thinks this long.
    pub(crate) fn thinks(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    /// What was asked so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().unwrap().clone()
    }

    fn serving_identity(&self) -> Identity {
        let leaf = self.tls_root.leaf("spiffe://cluster.local/ns/a/sa/ca", lifetime(Duration::from_secs(3600)));
        let names = [rcgen::SanType::DnsName("localhost".try_into().unwrap())];
        let leaf = leaf.with(|params| params.subject_alt_names = names.into()).issue();
        Identity::from_pem(leaf.pem(), leaf.key().to_pem().as_str())
    }
}

/// A leaf for the request's key and first name, and the root.
pub(crate) fn grant(ca: &TestCa, csr: &VerifiedCsr, life: Duration) -> Vec<String> {
    let leaf = ca.leaf(&csr.asked().uris[0], lifetime(life)).for_key(csr.public_key()).issue();
    vec![leaf.pem(), ca.pem()]
}

/// From two minutes ago until `life` from now.
pub(crate) fn lifetime(life: Duration) -> Lifetime {
    let now = Timestamp::from(Clock::system().now());
    Lifetime::new(now.minus(Duration::from_secs(120)), now.plus(life)).unwrap()
}
