//! Says again and again whether certificates can be issued, to the admin endpoint and to gRPC's health service.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use signet_identity::Timestamp;
use signet_proto::istio_ca::istio_certificate_service_server::IstioCertificateServiceServer;
use signet_runtime::{Clock, Health, HealthHandle, Shutdown};
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::authority::Authority;
use crate::service::CertificateService;

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The service whose health is told when a client names none.
const WHOLE_SERVER: &str = "";

pub(crate) struct Readiness {
    pub(crate) clock: Clock,
    pub(crate) authority: watch::Receiver<Arc<Authority>>,
    pub(crate) signer: HealthHandle,
    pub(crate) health: Health,
    pub(crate) reporter: HealthReporter,
}

impl Readiness {
    pub(crate) async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            self.look().await;
            tokio::select! {
                // Neither arm holds anything.
                () = shutdown.begun() => break,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
        self.report(ServingStatus::NotServing).await;
        Ok(())
    }

    async fn look(&self) {
        let usable = self.authority.borrow().usable();
        if usable.contains(Timestamp::from(self.clock.now())) {
            self.signer.ready();
        } else {
            self.signer.not_ready(format!("signing certificate is not valid now, only until {}", usable.not_after()));
        }
        let status = if self.health.reasons().is_empty() { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.report(status).await;
    }

    async fn report(&self, status: ServingStatus) {
        self.reporter.set_service_status(WHOLE_SERVER, status).await;
        let name = <IstioCertificateServiceServer<CertificateService> as tonic::server::NamedService>::NAME;
        self.reporter.set_service_status(name, status).await;
    }
}
