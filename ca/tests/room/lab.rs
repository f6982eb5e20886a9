//! A server with everything around it: token issuer, directories, client.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use signet_ca::app::{Addresses, App, RunError, StartError};
use signet_ca::callers::{ClusterLink, ClusterLinks};
use signet_ca::config::CaConfig;
use signet_identity::{Certificate, PrivateKey, SpiffeId, Svid, Timestamp, TrustBundle, TrustDomain, csr};
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use signet_proto::istio_ca::{IstioCertificateRequest, IstioCertificateResponse};
use signet_runtime::{Clock, ConfigError, Layers, Shutdown, ShutdownTrigger};
use signet_testkit::{TempDir, TokenIssuer, temp_dir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate as TlsRoot, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

/// What the tests' workload is called.
pub(crate) const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// How long anything is waited for that has to happen.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// The settings of one server, before it starts.
pub(crate) struct Setup {
    pub(crate) dir: TempDir,
    pub(crate) issuer: TokenIssuer,
    pub(crate) clock: Clock,
    settings: Vec<(String, String)>,
    links: ClusterLinks,
}

impl Setup {
    /// A self-signed authority that trusts a fresh P-256 token issuer.
    pub(crate) fn new() -> Self {
        let (dir, issuer) = (temp_dir(), TokenIssuer::es256());
        fs::write(dir.path().join("jwks.json"), issuer.jwks_json()).unwrap();
        let text = |path: PathBuf| format!("{:?}", path.to_str().unwrap());
        let settings = [
            ("listen", "\"127.0.0.1:0\"".to_owned()),
            ("admin.listen", "\"127.0.0.1:0\"".to_owned()),
            ("tokens.issuer", format!("{:?}", issuer.issuer())),
            ("tokens.jwks_file", text(dir.path().join("jwks.json"))),
            ("authority.state_dir", text(dir.path().join("state"))),
            ("ledger.dir", text(dir.path().join("ledger"))),
            // One pod stands for many here.
            ("admission.holder_burst", "0".to_owned()),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value)).to_vec();
        Self { dir, issuer, clock: Clock::system(), settings, links: ClusterLinks::new() }
    }

    /// Sets `key` to a TOML value.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self = self.without(key);
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self
    }

    pub(crate) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Connects the cluster called `id`.
    pub(crate) fn with_link(mut self, id: &str, link: ClusterLink) -> Self {
        self.links.insert(id.to_owned(), link);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn config(&self) -> Result<CaConfig, ConfigError> {
        let mut toml = String::new();
        for (key, value) in &self.settings {
            writeln!(toml, "{key} = {value}").unwrap();
        }
        let path = self.path("ca.toml");
        fs::write(&path, toml).unwrap();
        let mut layers = Layers::new();
        layers.file(&path);
        CaConfig::read_linked(layers).map(|(config, _)| config)
    }

    pub(crate) async fn try_start(self) -> Result<Lab, StartError> {
        let config = self.config().expect("the settings should be good");
        let trust_domain = config.trust_domain.clone();
        let app = App::build_with(config, self.clock.clone(), self.links.clone()).await?;
        let addresses = app.addresses();
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(app.run(shutdown));
        let roots_pem = read_roots(self.dir.path()).unwrap_or_default();
        Ok(Lab {
            listen: addresses.listen,
            admin: addresses.admin,
            addresses,
            trust_domain,
            roots_pem,
            trigger,
            running,
            setup: self,
        })
    }

    pub(crate) async fn start(self) -> Lab {
        self.try_start().await.expect("the server should start")
    }
}

/// The published roots, where they stand in a file.
fn read_roots(dir: &Path) -> Option<String> {
    let places = ["state/root-cert.pem", "plugged/root-cert.pem", "plugged/ca.crt"].map(|name| dir.join(name));
    places.iter().find(|path| path.exists()).map(|place| fs::read_to_string(place).unwrap())
}

/// A running server.
pub(crate) struct Lab {
    pub(crate) setup: Setup,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) addresses: Addresses,
    pub(crate) roots_pem: String,
    trust_domain: TrustDomain,
    trigger: ShutdownTrigger,
    running: JoinSet<Result<(), RunError>>,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from(self.setup.clock.now())
    }

    /// A good token of `shop/web`.
    pub(crate) fn token(&self) -> String {
        self.setup.issuer.token("shop", "web", self.now(), HOUR)
    }

    /// The roots that are published now.
    pub(crate) fn published(&self) -> String {
        read_roots(self.setup.dir.path()).unwrap_or_else(|| self.roots_pem.clone())
    }

    /// A connection that trusts what is published now.
    pub(crate) async fn channel(&self) -> Channel {
        self.try_channel(&self.published()).await.expect("the server should answer")
    }

    /// A connection that trusts `roots_pem`.
    pub(crate) async fn try_channel(&self, roots_pem: &str) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new().ca_certificate(TlsRoot::from_pem(roots_pem)).domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{}", self.listen)).unwrap();
        endpoint.tls_config(tls)?.connect().await
    }

    pub(crate) async fn client(&self) -> IstioCertificateServiceClient<Channel> {
        IstioCertificateServiceClient::new(self.channel().await)
    }

    /// Sends one request as it is.
    pub(crate) async fn send(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.client().await.create_certificate(request).await
    }

    /// Asks with a bearer token, and gives the chain.
    pub(crate) async fn ask(&self, token: &str, csr: &str, secs: i64) -> Result<Vec<String>, Status> {
        Ok(self.send(request(token, csr, secs)).await?.into_inner().cert_chain)
    }

    /// Asks for `shop/web` with a fresh key and a good token.
    pub(crate) async fn issue(&self) -> Issued {
        let key = PrivateKey::generate_p256().unwrap();
        let chain = self.ask(&self.token(), &csr_of(&key), 3600).await.expect("a certificate should be issued");
        Issued { chain, key }
    }

    pub(crate) fn bundle(&self) -> TrustBundle {
        TrustBundle::from_pem(self.trust_domain.clone(), self.roots_pem.as_bytes()).unwrap()
    }

    /// The value of a series, by its name with labels; zero when it is not there.
    pub(crate) async fn metric(&self, series: &str) -> i64 {
        let text = self.get("/metrics").await.1;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse::<f64>().expect("a metric should be a number") as i64)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        http_get(self.admin, path).await
    }

    pub(crate) async fn wait_ready(&self) {
        eventually("the server is ready", async || self.get("/healthz/ready").await.0 == 200).await;
    }

    /// Tells it to stop, and does not wait.
    pub(crate) fn tell_to_stop(&self) {
        self.trigger.trigger();
    }

    /// Stops it and gives the directories back.
    pub(crate) async fn stop(mut self) -> Setup {
        self.trigger.trigger();
        while let Some(ended) = self.running.join_next().await {
            ended.expect("the server should not panic").expect("the server should stop in peace");
        }
        self.setup
    }
}

/// A chain with the key it was issued for.
pub(crate) struct Issued {
    pub(crate) chain: Vec<String>,
    pub(crate) key: PrivateKey,
}

impl Issued {
    pub(crate) fn leaf(&self) -> Certificate {
        certificates(&self.chain[0]).remove(0)
    }

    /// Leaf and intermediates as an SVID, without what repeats the roots.
    pub(crate) fn svid(self) -> Svid {
        let (_, below) = self.chain.split_last().unwrap();
        let chain = below.iter().flat_map(|pem| certificates(pem)).filter(|cert| !cert.is_self_issued()).collect();
        Svid::new(chain, self.key).unwrap()
    }
}

pub(crate) fn certificates(pem: &str) -> Vec<Certificate> {
    Certificate::list_from_pem(pem.as_bytes(), 1 << 20).unwrap()
}

pub(crate) fn csr_of(key: &PrivateKey) -> String {
    csr::create(key, &WEB.parse::<SpiffeId>().unwrap()).unwrap()
}

pub(crate) fn any_csr() -> String {
    csr_of(&PrivateKey::generate_p256().unwrap())
}

pub(crate) fn request(token: &str, csr: &str, secs: i64) -> Request<IstioCertificateRequest> {
    let mut request = bare_request(csr, secs);
    let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

pub(crate) fn bare_request(csr: &str, secs: i64) -> Request<IstioCertificateRequest> {
    Request::new(IstioCertificateRequest { csr: csr.to_owned(), validity_duration: secs, metadata: None })
}

pub(crate) async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Waits until `holds`, and fails when that takes longer than any machine needs, however busy it is.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + WAIT_MAX;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The time of the machine.
#[expect(clippy::disallowed_methods, reason = "the tests' own clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
