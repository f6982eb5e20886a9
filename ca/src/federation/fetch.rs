//! One question to a peer's bundle endpoint, within bounds.
//!
//! https only, one connection, one answer. Redirects are refused: where a peer's bundle comes from is the operator's to
//! say, and following a peer elsewhere would let it choose what this process connects to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};
use signet_identity::spiffe_bundle::SPIFFE_BUNDLE_MAX_BYTES;
use signet_identity::{
    Certificate, CertificateError, SpiffeBundle, SpiffeBundleError, SpiffeId, Timestamp, TrustBundle, TrustDomain,
    VerifyError,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::outgoing::{RootsError, roots};

/// How long one question may take, from the first packet to the last.
const DEADLINE: Duration = Duration::from_secs(10);

/// Most bytes of an answer's head, and most header lines in it.
const HEAD_MAX_BYTES: usize = 32 * 1024;
const HEADERS_MAX: usize = 100;

const HTTPS_PORT: u16 = 443;

/// Why a peer's bundle was not obtained.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file of roots is of no use.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// There is nothing to verify the endpoint's SVID with.
    #[error("there is no bundle with roots to verify the endpoint with")]
    NothingToVerifyWith,
    /// The URL cannot be asked.
    #[error("URL cannot be asked")]
    Url,
    /// No connection, or no TLS: an endpoint that does not prove what it must prove among them.
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    /// The TLS library refused its settings.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The conversation broke.
    #[error("no answer")]
    Http(#[from] hyper::Error),
    /// The endpoint wants us to ask elsewhere.
    #[error("endpoint answered {status}: redirects are not followed, set the URL that it leads to")]
    Redirect {
        /// What it said.
        status: StatusCode,
    },
    /// The endpoint answered, but not with a document.
    #[error("endpoint answered {status}")]
    Status {
        /// What it said.
        status: StatusCode,
    },
    /// The body broke off or is over [`SPIFFE_BUNDLE_MAX_BYTES`].
    #[error("answer broke off or has more than {SPIFFE_BUNDLE_MAX_BYTES} bytes")]
    Body,
    /// It took longer than the deadline.
    #[error("no complete answer within {} s", DEADLINE.as_secs())]
    Deadline,
    /// What came is no bundle.
    #[error("answer is not usable")]
    Bundle(#[from] SpiffeBundleError),
}

/// How an endpoint proves that it is the right one. None may be guessed from another, and none stands in for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Profile {
    /// By a certificate of the web's for the URL's host.
    Web,
    /// By an X509-SVID with exactly this id.
    Spiffe {
        /// The id.
        endpoint_id: SpiffeId,
    },
}

/// What an endpoint's proof is held against.
pub(super) enum Trust<'a> {
    /// PEM roots in a file, read afresh each time.
    Web { roots_file: &'a Path },
    /// The roots of the endpoint's trust domain.
    Spiffe { endpoint_id: &'a SpiffeId, bundle: Option<TrustBundle> },
}

/// Asks for the bundle of `trust_domain` at `url`.
///
/// # Errors
/// Every variant of [`FetchError`].
pub(super) async fn fetch(
    url: &Uri,
    trust: Trust<'_>,
    trust_domain: &TrustDomain,
    now: Timestamp,
) -> Result<SpiffeBundle, FetchError> {
    let asked = async {
        let tls = tls(trust, now)?;
        let json = ask(url, tls).await?;
        Ok(SpiffeBundle::from_json(trust_domain.clone(), &json)?)
    };
    tokio::time::timeout(DEADLINE, asked).await.map_err(|_| FetchError::Deadline)?
}

async fn ask(url: &Uri, tls: ClientConfig) -> Result<Vec<u8>, FetchError> {
    let authority = url.authority().ok_or(FetchError::Url)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::Url)?;
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(HTTPS_PORT))).await?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let path = url.path_and_query().map_or("/", PathAndQuery::as_str);
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "signet-ca")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Url)?;
    let answered = async {
        let response = sender.send_request(request).await?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(FetchError::Redirect { status }),
            status => return Err(FetchError::Status { status }),
        }
        let body = Limited::new(response.into_body(), SPIFFE_BUNDLE_MAX_BYTES).collect().await;
        Ok(body.map_err(|_| FetchError::Body)?.to_bytes().to_vec())
    };
    // The connection has to be driven for as long as the answer is read; how it ends, the answer tells.
    let driven = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // The other arm never ends.
        answered = answered => answered,
        () = driven => Err(FetchError::Body),
    }
}

fn tls(trust: Trust<'_>, now: Timestamp) -> Result<ClientConfig, FetchError> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = match trust {
        Trust::Web { roots_file } => builder.with_root_certificates(roots(roots_file)?).with_no_client_auth(),
        Trust::Spiffe { endpoint_id, bundle } => {
            let bundle = bundle.ok_or(FetchError::NothingToVerifyWith)?;
            let verifier = SvidVerifier { endpoint_id: endpoint_id.clone(), bundle, now, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts one SPIFFE id and nothing else; the host's name does not count.
#[derive(Debug)]
struct SvidVerifier {
    endpoint_id: SpiffeId,
    bundle: TrustBundle,
    now: Timestamp,
    provider: Arc<CryptoProvider>,
}

/// Why an endpoint is not the right one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum SvidRefused {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Chain(#[from] VerifyError),
    #[error("endpoint is `{id}`, not the one that was expected")]
    AnotherId { id: SpiffeId },
    #[error("endpoint's certificate is not for servers")]
    NotForServers,
}

impl SvidVerifier {
    fn judge(&self, leaf: &CertificateDer<'_>, above: &[CertificateDer<'_>]) -> Result<(), SvidRefused> {
        let leaf = Certificate::from_der(leaf)?;
        let above: Vec<Certificate> = above.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>()?;
        let id = self.bundle.verify(std::iter::once(&leaf).chain(&above), self.now)?;
        if id != self.endpoint_id {
            return Err(SvidRefused::AnotherId { id });
        }
        if leaf.extended_key_usage().is_some_and(|usage| !usage.server_auth) {
            return Err(SvidRefused::NotForServers);
        }
        Ok(())
    }
}

impl ServerCertVerifier for SvidVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(leaf, above)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|refused| rustls::CertificateError::Other(OtherError(Arc::new(refused))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
