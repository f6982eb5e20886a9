//! An endpoint as one part of the process: its server, what it presents, and what it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::server::ResolvesServerCert;
use signet_runtime::{Clock, HealthHandle, Shutdown};

use super::answer::Site;
use super::certificate::{CertificateError, FileCertificate};
use super::server::{WebError, WebServer};
use crate::config::{WebCertificate, WebConfig};
use crate::metrics::{WebEndpoint, WebMetrics};

/// Why an endpoint was not opened.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Its certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Its address, or TLS.
    #[error(transparent)]
    Web(#[from] WebError),
}

/// A bound endpoint with its documents.
pub(crate) struct Endpoint {
    server: WebServer,
    site: Site,
    files: Option<FileCertificate>,
}

impl Endpoint {
    /// Binds what `config` says; `own` is presented where no files are named.
    ///
    /// # Errors
    /// Every variant of [`EndpointError`].
    pub(crate) async fn open(
        which: WebEndpoint,
        config: WebConfig,
        own: Arc<dyn ResolvesServerCert>,
        site: Site,
        clock: Clock,
        metrics: WebMetrics,
        health: HealthHandle,
    ) -> Result<Self, EndpointError> {
        let files = match config.certificate {
            WebCertificate::Own => {
                health.ready();
                None
            }
            WebCertificate::Files { certificate, key } => {
                Some(FileCertificate::open(which, certificate, key, clock, metrics.clone(), health)?)
            }
        };
        let presented = files.as_ref().map_or(own, FileCertificate::resolver);
        let server = WebServer::bind(which, config.listen, presented, metrics).await?;
        Ok(Self { server, site, files })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Serves until shutdown begins, then until the last open request has been answered.
    ///
    /// # Errors
    /// [`WebError`].
    pub(crate) async fn run(self, shutdown: Shutdown) -> Result<(), WebError> {
        let serving = self.server.serve(self.site, shutdown.clone());
        match self.files {
            Some(files) => {
                let (served, Ok(())) = tokio::join!(serving, files.run(shutdown));
                served
            }
            None => serving.await,
        }
    }
}
