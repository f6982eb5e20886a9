//! The authority's own serving certificate: issued by itself, short-lived, replaced while connections go on.
//!
//! Lives in memory only. Renewed when two thirds of its life have passed, and at once when the authority changes, so
//! that a new root is never served with an old chain.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use signet_identity::der::AltName;
use signet_identity::{KeyError, Lifetime, PrivateKey, Serial, Timestamp};
use signet_runtime::tasks::chain;
use signet_runtime::{Clock, Shutdown};
use tokio::sync::watch;

use crate::authority::{Authority, SignError};
use crate::profile::{ProfileError, serving_leaf};

/// Most time between two looks at the clock, which may be set while we sleep.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Least time between two renewals, also after a failed one.
const RENEWAL_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Why there is no new serving certificate.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// The authority cannot sign now.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The TLS library does not take the key.
    #[error("TLS library refused the key")]
    Tls(#[from] rustls::Error),
}

/// The certificate that handshakes are answered with.
#[derive(Default)]
pub struct ServingCertificate {
    current: ArcSwapOption<CertifiedKey>,
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServingCertificate(redacted)")
    }
}

/// The task that keeps the serving certificate fresh.
#[derive(Debug)]
pub struct ServingKeeper {
    names: Vec<AltName>,
    ttl: Duration,
    authority: watch::Receiver<Arc<Authority>>,
    clock: Clock,
    certificate: Arc<ServingCertificate>,
    lifetime: Lifetime,
    renew_at: Timestamp,
}

impl ServingKeeper {
    /// Issues the first certificate, for `names` and at most `ttl`.
    ///
    /// # Errors
    /// Every variant of [`ServingError`].
    pub async fn new(
        names: Vec<AltName>,
        ttl: Duration,
        mut authority: watch::Receiver<Arc<Authority>>,
        clock: Clock,
    ) -> Result<Self, ServingError> {
        let now = Timestamp::from(clock.now());
        let signer = authority.borrow_and_update().clone();
        let (key, lifetime) = issue(&names, ttl, &signer, now).await?;
        let certificate = Arc::new(ServingCertificate::default());
        certificate.current.store(Some(key));
        Ok(Self { names, ttl, authority, clock, certificate, lifetime, renew_at: renew_at(lifetime, now) })
    }

    /// Where handshakes find the certificate.
    pub fn certificate(&self) -> Arc<ServingCertificate> {
        self.certificate.clone()
    }

    /// Renews until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            let now = Timestamp::from(self.clock.now());
            let wait = self.renew_at.since(now).clamp(RENEWAL_INTERVAL_MIN, LOOK_INTERVAL_MAX);
            let changed = tokio::select! {
                // All three tell of a state that lasts: nothing is lost with the arms that did not come first.
                () = shutdown.begun() => return Ok(()),
                Ok(()) = self.authority.changed() => true,
                () = tokio::time::sleep(wait) => false,
            };
            let now = Timestamp::from(self.clock.now());
            if changed || now >= self.renew_at || !self.lifetime.contains(now) {
                self.renew(now).await;
            }
        }
    }

    async fn renew(&mut self, now: Timestamp) {
        let signer = self.authority.borrow_and_update().clone();
        let issued = issue(&self.names, self.ttl, &signer, now).await;
        match issued {
            Ok((key, lifetime)) => {
                self.certificate.current.store(Some(key));
                self.lifetime = lifetime;
                self.renew_at = renew_at(lifetime, now);
            }
            Err(error) => {
                tracing::error!(
                    error = chain(&error),
                    "serving certificate cannot be renewed, the old one stays in use"
                );
            }
        }
    }
}

/// A fresh key with a certificate to serve with.
pub(crate) struct Signed {
    pub(crate) key: PrivateKey,
    /// The leaf first, without the root, as DER.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) serial: Serial,
    pub(crate) lifetime: Lifetime,
}

/// Makes a key, and signs a certificate for it.
///
/// # Errors
/// [`ServingError::Profile`], [`ServingError::Key`] and [`ServingError::Sign`].
pub(crate) async fn sign(
    names: &[AltName],
    ttl: Duration,
    authority: &Authority,
    now: Timestamp,
) -> Result<Signed, ServingError> {
    let key = PrivateKey::generate_p256()?;
    let leaf = authority.sign(&serving_leaf(names, key.public(), ttl, authority, now)?).await?;
    let between = authority.middle().iter().filter(|certificate| !certificate.is_self_issued());
    let chain = std::iter::once(leaf.der).chain(between.map(|certificate| certificate.der().to_vec())).collect();
    Ok(Signed { key, chain, serial: leaf.serial, lifetime: leaf.lifetime })
}

async fn issue(
    names: &[AltName],
    ttl: Duration,
    authority: &Authority,
    now: Timestamp,
) -> Result<(Arc<CertifiedKey>, Lifetime), ServingError> {
    let Signed { key, chain, serial, lifetime } = sign(names, ttl, authority, now).await?;
    // Nobody asked for it, so it stands in no record.
    tracing::info!(%serial, not_after = %lifetime.not_after(), ?names, "issued to ourselves");
    let pkcs8 = key.to_pkcs8();
    let key = any_ecdsa_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_slice())))?;
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    Ok((Arc::new(CertifiedKey::new(chain, key)), lifetime))
}

/// When two thirds of the time left at `now` have passed.
fn renew_at(lifetime: Lifetime, now: Timestamp) -> Timestamp {
    now.plus(lifetime.remaining(now) * 2 / 3)
}

#[cfg(test)]
mod tests;
