//! The one place where everything is put together, started and stopped.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signet_identity::KeyError;
use signet_proto::istio_ca::istio_certificate_service_server::IstioCertificateServiceServer;
use signet_proto::signet_ca::trust_bundle_server::TrustBundleServer;
use signet_runtime::{Admin, Clock, Health, HealthHandle, Shutdown, TaskError, Tasks, apart};
use tokio::net::TcpListener;
use tokio::task::JoinError;
use tonic::service::Routes;

use crate::admission::Admission;
use crate::authenticate::KeyKeeper;
use crate::authority::{AuthorityError, Keeper};
use crate::authorize::Authorizer;
use crate::callers::{Callers, CallersError, ClusterLinks};
use crate::config::CaConfig;
use crate::control::{self, Subject, Subjects};
use crate::drain;
use crate::federation::{Federation, FederationError, Surroundings};
use crate::issue::Issuer;
use crate::jwt::{Tokens, TokensError};
use crate::kubernetes::{self, Home, KubernetesError, Parts};
use crate::ledger::{Ledger, LedgerKeeper, OpenError};
use crate::logging::{self, LogVerbs};
use crate::metrics::Metrics;
use crate::otlp::{self, Exporter};
use crate::readiness::Readiness;
use crate::server::{ServeError, Server};
use crate::service::CertificateService;
use crate::serving::{ServingError, ServingKeeper};
use crate::trust_bundle::{REQUEST_MAX_BYTES, TrustBundleService};

/// Largest request, in bytes: a certificate request of 16 KiB and as much again for what Istio's clients add. What a
/// caller can make the server hold before its token is looked at is this times its streams.
const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// Largest question about health or services, in bytes; they hold a name.
const QUESTION_MAX_BYTES: usize = 4 * 1024;

/// How long open requests may take to end once shutdown has begun.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Why the program did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody to sign.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Nowhere to record what is issued.
    #[error("ledger cannot be used")]
    Ledger(#[from] OpenError),
    /// Nobody could be identified.
    #[error(transparent)]
    Callers(#[from] CallersError),
    /// A bug in Signet.
    #[error("opening the authority panicked")]
    Panicked(#[from] JoinError),
    /// No certificate to serve with.
    #[error("serving certificate cannot be issued")]
    Serving(#[from] ServingError),
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The control socket.
    #[error(transparent)]
    Control(#[from] control::BindError),
    /// TLS.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Randomness.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Federation.
    #[error("federation cannot begin")]
    Federation(#[from] FederationError),
    /// Kubernetes.
    #[error("Kubernetes cannot be used")]
    Kubernetes(#[from] KubernetesError),
    /// Tokens.
    #[error("tokens cannot be minted")]
    Tokens(#[from] TokensError),
    /// gRPC reflection.
    #[error("gRPC reflection cannot be served")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Where a running program listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The CA API.
    pub listen: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
    /// OpenID Connect discovery, where it is served.
    pub oidc: Option<SocketAddr>,
    /// The own SPIFFE bundle, where it is served.
    pub bundle: Option<SocketAddr>,
}

/// A program that is ready to run: everything loaded, every address bound.
pub struct App {
    addresses: Addresses,
    clock: Clock,
    metrics: Metrics,
    health: Health,
    authority: Keeper,
    issuer: Arc<Issuer>,
    keys: Vec<KeyKeeper>,
    ledger: LedgerKeeper,
    serving: ServingKeeper,
    server: Server,
    admin: Admin,
    control: Option<control::Socket>,
    reflection: bool,
    shutdown_delay: Duration,
    minting: Option<Tokens>,
    federation: Federation,
    kubernetes: Parts,
    exporter: Option<Exporter>,
}

impl App {
    /// Loads, issues and binds everything that `config` asks for.
    ///
    /// # Errors
    /// Every variant of [`StartError`].
    pub async fn build(config: CaConfig, clock: Clock) -> Result<Self, StartError> {
        Self::build_with(config, clock, ClusterLinks::new()).await
    }

    /// As [`App::build`], connected to the clusters in `links`.
    ///
    /// # Errors
    /// Every variant of [`StartError`].
    pub async fn build_with(config: CaConfig, clock: Clock, links: ClusterLinks) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        let health = Health::new();
        let cluster = &config.callers.primary.rules.id;
        let mut home = match config.kubernetes.clone() {
            Some(kubernetes) => Some(Home::connect(kubernetes, cluster, clock.clone(), metrics.kubernetes()).await?),
            None => None,
        };
        let opening = open_authority(&config, home.as_mut(), clock.clone(), health.part("authority"));
        let mut authority = opening.await?;
        let current = authority.authority();
        let serving =
            ServingKeeper::new(config.serving.names, config.serving.ttl, current.clone(), clock.clone()).await?;
        let minting = match config.jwt {
            Some(jwt) => {
                let shared = home.as_mut().zip(jwt.secret.as_ref()).map(|(home, name)| home.token_key_secret(name));
                let (trust_domain, own) = (config.trust_domain.clone(), serving.certificate());
                let opening = Tokens::open(jwt, trust_domain, shared, own, clock.clone(), &metrics, &health);
                Some(Home::run_while(home.as_mut(), opening).await?)
            }
            None => None,
        };
        let (ledger, ledger_keeper) = Ledger::open(config.ledger.as_ref(), clock.clone(), metrics.ledger(), &health)?;
        let around = Surroundings {
            trust_domain: config.trust_domain.clone(),
            clock: clock.clone(),
            authority: current.clone(),
            is_shared: config.authority.secret.is_some(),
            token_keys: minting.as_ref().map(Tokens::keys),
            own: serving.certificate(),
            metrics: &metrics,
            health: &health,
        };
        let federation = Federation::open(config.federation, around).await?;
        let around = kubernetes::Surroundings {
            authority: current.clone(),
            overview: authority.overview(),
            clock: &clock,
            metrics: &metrics,
            health: &health,
        };
        let mut kubernetes = Parts::new(home, &config.callers, around).await?;
        authority.wait_for(kubernetes.published());
        let mut all_links = kubernetes.take_links();
        all_links.extend(links);
        let renewal_max_age = config.callers.renewal_max_age;
        let callers = Callers::new(config.callers, all_links, current.clone(), &metrics, &health).await?;
        let issuer = Arc::new(Issuer {
            clock: clock.clone(),
            authenticator: callers.authenticator,
            authorizer: Authorizer::new(callers.clusters, config.rules, renewal_max_age),
            profile: config.leaf,
            authority: current,
            metrics: metrics.clone(),
            ledger,
            admission: Admission::new(&config.admission, metrics.admission()),
        });
        let (traces, exporter) = otlp::open(config.otlp.as_ref(), &clock);
        let server = Server::new(
            listen(config.listen).await?,
            serving.certificate(),
            renewal_max_age.is_some(),
            config.connections.age_max,
            metrics.clone(),
            traces,
        )?;
        let cannot_listen = |address| move |source| StartError::Listen { address, source };
        let admin = Admin::bind(config.admin_listen).await.map_err(cannot_listen(config.admin_listen))?;
        let addresses = Addresses {
            listen: server.address().map_err(cannot_listen(config.listen))?,
            admin: admin.address().map_err(cannot_listen(config.admin_listen))?,
            oidc: minting.as_ref().and_then(Tokens::oidc_address),
            bundle: federation.address(),
        };
        let control = control_socket(config.control_socket.as_deref())?;
        let reflection = config.reflection;
        let ledger = ledger_keeper;
        Ok(Self {
            addresses,
            clock,
            metrics,
            health,
            authority,
            issuer,
            keys: callers.keepers,
            ledger,
            serving,
            server,
            admin,
            control,
            reflection,
            shutdown_delay: config.shutdown_delay,
            minting,
            federation,
            kubernetes,
            exporter,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Runs until it is `asked` to stop and for as long as is configured after that, then until what is under way has
    /// ended, at most ten seconds.
    ///
    /// # Errors
    /// Every variant of [`RunError`].
    pub async fn run(self, asked: Shutdown) -> Result<(), RunError> {
        let (everything, shutdown) = Shutdown::new();
        let (reporter, grpc_health) = tonic_health::server::health_reporter();
        let acknowledgements = self.authority.acknowledgements().clone();
        let watched = TrustBundleService::new(self.issuer.clone(), acknowledgements, shutdown.clone());
        let watched = TrustBundleServer::new(watched).max_decoding_message_size(REQUEST_MAX_BYTES);
        let minting = self.minting.as_ref().and_then(|tokens| tokens.service(self.issuer.clone()));
        let service = CertificateService::new(self.issuer);
        let service = IstioCertificateServiceServer::new(service).max_decoding_message_size(MESSAGE_MAX_BYTES);
        let grpc_health = grpc_health.max_decoding_message_size(QUESTION_MAX_BYTES);
        let mut routes = Routes::new(watched).add_service(grpc_health);
        if let Some(service) = minting {
            routes = routes.add_service(service.max_decoding_message_size(MESSAGE_MAX_BYTES));
        }
        if self.reflection {
            routes = routes
                .add_service(reflection().map_err(StartError::from)?.max_decoding_message_size(QUESTION_MAX_BYTES));
        }
        let current = self.authority.authority();
        let mut registry = self.metrics.registry(current.clone(), self.clock.clone());
        self.authority.register(&mut registry);
        let readiness = Readiness {
            clock: self.clock,
            authority: current,
            signer: self.health.part("signer"),
            health: self.health.clone(),
            reporter,
        };

        let (mut tasks, delay) = (Tasks::new(), self.shutdown_delay);
        tasks.start("drain", drain::run(asked.clone(), delay, self.health.part("shutdown"), everything));
        if let Some(socket) = self.control {
            let authority: Box<dyn Subject> = Box::new(self.authority.verbs());
            let subjects = Subjects::from([("authority", authority), (logging::SUBJECT, Box::new(LogVerbs))]);
            tasks.start("control", control::serve(socket, subjects, shutdown.clone()));
        }
        if let Some(watch) = self.authority.token_watch(&self.health) {
            tasks.start("token", watch.run(shutdown.clone()));
        }
        tasks.start("authority", self.authority.run(shutdown.clone()));
        tasks.start("ledger", self.ledger.run(shutdown.clone()));
        for keys in self.keys {
            tasks.start("issuer keys", keys.run(shutdown.clone()));
        }
        tasks.start("serving certificate", self.serving.run(shutdown.clone()));
        if let Some(tokens) = self.minting {
            tasks.start("tokens", tokens.run(shutdown.clone()));
        }
        tasks.start("federation", self.federation.run(shutdown.clone()));
        self.kubernetes.start(&mut tasks, &shutdown);
        if let Some(exporter) = self.exporter {
            tasks.start("traces", exporter.run(shutdown.clone()));
        }
        tasks.start("readiness", readiness.run(shutdown.clone()));
        let (admin, health, until) = (self.admin, self.health, shutdown.clone());
        tasks.start("admin", apart("admin", move || admin.serve(health, registry, until)));
        tasks.start("grpc", self.server.serve(service, routes, shutdown.clone()));
        tracing::info!(listen = %self.addresses.listen, admin = %self.addresses.admin, "serving");

        match tasks.watch(&asked).await {
            // It saw the end before we did.
            Err(TaskError::Ended { .. }) if asked.has_begun() => {}
            watched => watched?,
        }
        match tasks.join(delay + DRAIN_DEADLINE).await {
            Err(TaskError::Stuck { names }) => {
                tracing::warn!(names, "requests were still open and have been cut off");
                Ok(())
            }
            joined => Ok(joined?),
        }
    }
}

/// Why a running program ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A part of it ended by surprise.
    #[error(transparent)]
    Task(#[from] TaskError),
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

/// A place where operators of this machine ask. There is none where its directory is not.
fn control_socket(path: Option<&Path>) -> Result<Option<control::Socket>, control::BindError> {
    let Some(path) = path.filter(|path| path.parent().is_some_and(Path::exists)) else { return Ok(None) };
    let socket = control::Socket::bind(path)?;
    if socket.is_none() {
        tracing::warn!(path = %path.display(), "another process answers at the control socket, ask that one");
    }
    Ok(socket)
}

/// Opening reads and writes files or a Secret, and may wait for another process that does the same.
async fn open_authority(
    config: &CaConfig,
    mut home: Option<&mut Home>,
    clock: Clock,
    health: HealthHandle,
) -> Result<Keeper, StartError> {
    let (source, policy, trust_domain) =
        (config.authority.clone(), config.rotation.clone(), config.trust_domain.clone());
    let shared = match home.as_mut().zip(source.secret.as_ref()) {
        Some((home, name)) => Some(home.authority_secret(name, source.uses_cacerts).await?),
        None => None,
    };
    let open = move || Keeper::open(&source, policy, &trust_domain, clock, health, shared);
    let opening = tokio::task::spawn_blocking(open);
    Ok(Home::run_while(home, opening).await??)
}

fn reflection() -> Result<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
    tonic_reflection::server::Error,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(signet_proto::DESCRIPTORS)
        .build_v1()
}
