//! From what an operator says to a client: where the API server is, whom it trusts, who it takes us for.

use std::path::PathBuf;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt as _};
use kube::config::{AuthInfo, Config, KubeConfigOptions, Kubeconfig};
use rustls::crypto::ring::default_provider;
use tower::{BoxError, ServiceBuilder};

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Most unused connections that are kept.
const IDLE_CONNECTIONS_MAX: usize = 32;

/// Time between two probes of a connection that is silent, as watches are.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How to reach an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// By its address.
    Server {
        /// `https`, or `http` on this machine.
        url: Uri,
        /// PEM roots for `https`; read again about once a minute.
        ca_file: Option<PathBuf>,
        /// Bearer token; read again about once a minute.
        token_file: Option<PathBuf>,
    },
    /// As a kubeconfig file says.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// One of its contexts, if not its current one.
        context: Option<String>,
    },
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig file.
    #[error("kubeconfig `{path}` cannot be used: {source}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<kube::config::KubeconfigError>,
    },
    /// Roots, credentials or TLS.
    #[error("API server cannot be connected to: {0}")]
    Client(#[source] Box<kube::Error>),
}

impl Connection {
    async fn config(&self) -> Result<Config, ConnectError> {
        match self {
            Self::Server { url, ca_file, token_file } => {
                let mut config = Config::new(url.clone());
                config.root_cert_file.clone_from(ca_file);
                // Roots of the machine never vouch for an API server that has its own.
                config.root_cert = ca_file.as_ref().map(|_| Vec::new());
                let token_file = token_file.as_ref().map(|path| path.to_string_lossy().into_owned());
                config.auth_info = AuthInfo { token_file, ..AuthInfo::default() };
                Ok(config)
            }
            Self::Kubeconfig { path, context } => {
                let unusable = |source| ConnectError::Kubeconfig { path: path.clone(), source: Box::new(source) };
                let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
                let file = Kubeconfig::read_from(path).map_err(unusable)?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(unusable)
            }
        }
    }
}

/// A client for `connection`. It has none of the layers that retry or log on their own.
pub(super) async fn client(
    connection: &Connection,
    agent: &'static str,
    deadline: Duration,
) -> Result<kube::Client, ConnectError> {
    // An error says that a provider is there already.
    let _ = default_provider().install_default();
    let mut config = connection.config().await?;
    config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
    let failed = |error| ConnectError::Client(Box::new(error));

    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_DEADLINE.min(deadline)));
    http.set_keepalive(Some(KEEPALIVE_INTERVAL));
    let https = config.rustls_https_connector_with_connector(http).map_err(failed)?;
    let hyper: Hyper<_, Body> = Hyper::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(failed)?)
        .layer(config.extra_headers_layer().map_err(failed)?)
        .map_err(BoxError::from)
        .service(hyper);
    Ok(kube::Client::new(service, config.default_namespace))
}
