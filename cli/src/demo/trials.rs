//! Things that must be refused: plaintext, a stranger's identity, an expired token.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use signet_identity::{PrivateKey, SpiffeId, csr};
use signet_proto::istio_ca::IstioCertificateRequest;
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Request};

use super::error::DemoError;
use super::stage::{CA_NAME, Stage};
use crate::http;

/// How long a refusal may take.
const TRIAL_MAX: Duration = Duration::from_secs(5);

/// What a trial showed.
pub(crate) struct Outcome {
    pub(crate) happened: String,
    pub(crate) refused: bool,
}

/// Sends plain HTTP to the server's port, which wants mutual TLS.
pub(crate) async fn plaintext(stage: &Stage) -> Result<Outcome, DemoError> {
    let counter = "listener.*ssl.connection_error";
    let before = stage.orders.admin.count(counter).await?;
    let answer = raw_http(stage.orders.address()).await;
    let refused = answer.is_empty();
    let counted = stage.orders.admin.count(counter).await? - before;
    let happened = match refused {
        true => format!("connection closed without an answer; Envoy counted {counted} TLS error(s)"),
        false => format!("answered: {}", answer.lines().next().unwrap_or_default()),
    };
    Ok(Outcome { happened, refused: refused && counted > 0 })
}

/// Calls the server through the intruder's own Envoy, with the intruder's own, perfectly valid identity.
pub(crate) async fn intruder(stage: &Stage) -> Result<Outcome, DemoError> {
    let counter = "listener.*ssl.fail_verify_san";
    let before = stage.orders.admin.count(counter).await?;
    let answer = http::get(stage.intruder.address(), "/orders/7").await;
    let counted = stage.orders.admin.count(counter).await? - before;
    let (status, refused) = match &answer {
        Ok(answer) => (answer.status.to_string(), answer.status == 503),
        Err(reason) => (reason.clone(), false),
    };
    let happened = format!("{status} from its own Envoy; server counted {counted} refused name(s)");
    Ok(Outcome { happened, refused: refused && counted > 0 })
}

/// Asks the CA for a certificate with an expired token, and, to show that nothing else is wrong, with a good one.
pub(crate) async fn expired_token(stage: &Stage, roots: &[u8]) -> Result<Outcome, DemoError> {
    let now = stage.clock.now().into();
    let hour = Duration::from_secs(3600);
    let token = |issued| stage.issuer.token(stage.web.namespace, stage.web.account, issued, hour);
    let (good, expired) = (token(now)?, token(now.minus(2 * hour))?);
    let with_good = request_certificate(stage, roots, &good).await?;
    let with_expired = request_certificate(stage, roots, &expired).await?;
    Ok(Outcome {
        happened: format!("{with_expired:?}, while a fresh token gets {with_good:?}"),
        refused: with_expired == Code::Unauthenticated && with_good == Code::Ok,
    })
}

async fn request_certificate(stage: &Stage, roots: &[u8], token: &str) -> Result<Code, DemoError> {
    let ask = |reason: String| DemoError::Ask { what: stage.ca_address.to_string(), reason };
    let id: SpiffeId = stage.web.id().parse().map_err(|error| ask(format!("{error}")))?;
    let request = IstioCertificateRequest {
        csr: csr::create(&PrivateKey::generate_p256()?, &id)?,
        validity_duration: 60,
        metadata: None,
    };
    let mut request = Request::new(request);
    let bearer = format!("Bearer {token}").parse().map_err(|error| ask(format!("{error}")))?;
    request.metadata_mut().insert("authorization", bearer);
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(roots)).domain_name(CA_NAME);
    let channel = Endpoint::from_shared(format!("https://{}", stage.ca_address))
        .and_then(|endpoint| endpoint.timeout(TRIAL_MAX).tls_config(tls))
        .map_err(|error| ask(signet_runtime::tasks::chain(&error)))?
        .connect()
        .await
        .map_err(|error| ask(signet_runtime::tasks::chain(&error)))?;
    match IstioCertificateServiceClient::new(channel).create_certificate(request).await {
        Ok(_) => Ok(Code::Ok),
        Err(status) => Ok(status.code()),
    }
}

/// What comes back on a raw connection; nothing, when the peer just closes it.
async fn raw_http(address: SocketAddr) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(b"GET /orders/7 HTTP/1.1\r\nhost: orders.shop\r\n\r\n").await.ok()?;
        let mut answer = Vec::new();
        // A reset instead of a clean end is a refusal too; what was read before it counts.
        let _ = stream.take(4096).read_to_end(&mut answer).await;
        Some(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(TRIAL_MAX, exchange).await.ok().flatten().unwrap_or_default()
}

/// The CA's public roots, from its state directory.
pub(crate) fn read_roots(ca_dir: &Path) -> Result<Vec<u8>, String> {
    signet_runtime::files::read(&ca_dir.join("state/root-cert.pem"), signet_identity::bundle::BUNDLE_PEM_MAX_BYTES)
        .map_err(|error| error.to_string())
}
