//! The one place where the parts are put together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use signet_runtime::{Admin, Clock, Health, Shutdown, TaskError, Tasks};

use crate::ca_client::CaClient;
use crate::config::Config;
use crate::envoy::BootstrapError;
use crate::files::FileWriter;
use crate::metrics::Metrics;
use crate::roots::{self, RootsWatcher};
use crate::rotation::Policy;
use crate::rotator::Rotator;
use crate::sds::demands::Demands;
use crate::sds::keeper::Keeper;
use crate::sds::service::SdsService;
use crate::sds::view::Policy as SdsPolicy;
use crate::sds::{BindError, SdsListener, server};
use crate::secrets;
use crate::workload_api::WorkloadApi;

/// Time that tasks have to stop before they are cut.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The SDS socket cannot be served.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// Nobody could end the process in good order.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The admin address cannot be served.
    #[error("cannot listen on `{address}` (admin.listen)")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The kubelet could not ask.
    #[error("cannot listen on `{address}` (proxy.ready_listen)")]
    Ready {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Envoy has nothing to start with.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
}

/// A started agent.
#[derive(Debug)]
pub struct Agent {
    tasks: Tasks,
    shutdown: Shutdown,
    admin_address: SocketAddr,
}

/// What whoever runs the agent brings along: its own voices in readiness, its own figures, more paths on `admin.listen`.
#[derive(Debug, Clone, Default)]
pub struct Company {
    /// Readiness.
    pub health: Health,
    /// Figures.
    pub metrics: Metrics,
    /// More paths.
    pub routes: Router,
}

impl Agent {
    /// Binds the sockets and starts every task. What must hold for the process to be of use is checked here; a CA that
    /// cannot be reached is not among it.
    ///
    /// # Errors
    /// Every variant of [`StartError`].
    pub async fn start(config: &Config, clock: Clock, shutdown: Shutdown) -> Result<Self, StartError> {
        Self::start_in(config, clock, shutdown, Company::default()).await
    }

    /// The same in company.
    ///
    /// # Errors
    /// Every variant of [`StartError`].
    pub async fn start_in(
        config: &Config,
        clock: Clock,
        shutdown: Shutdown,
        company: Company,
    ) -> Result<Self, StartError> {
        let Company { health, metrics, routes } = company;
        let admin_failed = |source| StartError::Admin { address: config.admin_listen, source };
        let listener = SdsListener::bind(&config.sds, health.part("sds"), metrics.clone())?;
        let admin = Admin::bind(config.admin_listen).await.map_err(admin_failed)?;
        let admin_address = admin.address().map_err(admin_failed)?;
        let (writer, reader) = secrets::channel();

        let mut tasks = Tasks::new();
        let routes = Admin::routes(health.clone(), metrics.registry(&clock)).merge(routes);
        tasks.start("admin", admin.serve_routes(routes, shutdown.clone()));
        let ca = Arc::new(CaClient::new(config, clock.clone(), metrics.clone()));
        let programs = WorkloadApi::new(reader.clone(), ca.clone(), clock.clone(), metrics.clone(), shutdown.clone());
        let demands = Demands::new();
        let policy = SdsPolicy::of(config);
        let (keeper, views) = Keeper::new(
            policy,
            config.sds.files.clone(),
            reader.clone(),
            &demands,
            clock.clone(),
            health.part("secrets"),
            metrics.clone(),
        );
        tasks.start("secrets", keeper.run(shutdown.clone()));
        let proxies = SdsService::new(views, demands, shutdown.clone(), metrics.clone());
        tasks.start("sds", server::serve(listener, proxies, programs, shutdown.clone()));
        let (teller, listener) = roots::channel();
        let (domain, part) = (config.identity.trust_domain.clone(), health.part("roots"));
        let watcher =
            RootsWatcher::new(ca.clone(), domain, teller, reader.clone(), clock.clone(), part, metrics.clone());
        tasks.start("roots", watcher.run(shutdown.clone()));
        if let Some(dir) = config.output_dir.clone() {
            let files = FileWriter::new(dir, reader, clock.clone(), health.part("files"), metrics.clone());
            tasks.start("files", files.run(shutdown.clone()));
        }
        let policy = Policy { ratio: config.identity.renew_ratio, jitter: config.identity.renew_jitter };
        let rotator = Rotator::new(ca, writer, listener, clock, health.part("identity"), metrics);
        tasks.start("rotator", rotator.run(policy, shutdown.clone()));
        Ok(Self { tasks, shutdown, admin_address })
    }

    /// Where health and metrics are served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Starts one more task, which must run until shutdown.
    pub fn also<F, E>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error,
    {
        self.tasks.start(name, task);
    }

    /// Waits until shutdown begins or a task fails.
    ///
    /// # Errors
    /// The failure.
    pub async fn watch(&mut self) -> Result<(), TaskError> {
        self.tasks.watch(&self.shutdown).await
    }

    /// Joins all tasks after shutdown has begun.
    ///
    /// # Errors
    /// The first failure, or which tasks had to be cut.
    pub async fn stop(self) -> Result<(), TaskError> {
        self.tasks.join(STOP_DEADLINE).await
    }
}
