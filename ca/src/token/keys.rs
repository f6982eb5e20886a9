//! Keys in a token, for whoever signs: found by what they sign, asked with a deadline.

use std::fmt;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::registry::Registry;
use signet_identity::{PublicKey, SignatureAlgorithm};
use signet_runtime::{Clock, Health};
use tokio::sync::{Notify, oneshot, watch};

use super::TokenError;
use super::pkcs11::Module;
use super::pool::{Entrance, Pool};
pub(crate) use super::watch::TokenWatch;
use crate::authority::Authority;
use crate::config::Pkcs11Config;
use crate::metrics::TokenMetrics;

/// What is signed to find out whether a key is there. No certificate begins like this.
pub(super) const TRIAL: &[u8] = b"signet-ca asks whether this key signs";

/// The keys of a token. Clones ask the same threads.
#[derive(Clone)]
pub(crate) struct TokenKeys {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    timeout: Duration,
    clock: Clock,
    metrics: TokenMetrics,
    state: RwLock<State>,
    /// Rung when the state changes for the worse or for the better.
    bell: Notify,
}

/// How it went last.
#[derive(Debug, Default)]
struct State {
    trouble: Option<TokenError>,
    /// By the steady clock.
    signed_at: Option<Duration>,
}

impl TokenKeys {
    /// Names the token; nothing is loaded before the first key is looked for.
    pub(crate) fn open(config: &Pkcs11Config, clock: Clock) -> Option<Self> {
        let metrics = TokenMetrics::default();
        let module = Module::new(config.clone(), metrics.clone());
        Some(Self::behind(Arc::new(module), config.sessions, config.timeout, clock, metrics))
    }

    pub(super) fn behind(
        entrance: Arc<dyn Entrance>,
        sessions: usize,
        timeout: Duration,
        clock: Clock,
        metrics: TokenMetrics,
    ) -> Self {
        let pool = Pool::start(entrance, sessions, clock.clone(), metrics.clone());
        let (state, bell) = (RwLock::default(), Notify::new());
        Self { shared: Arc::new(Shared { pool, timeout, clock, metrics, state, bell }) }
    }

    /// The key that belongs to `public`: the one that signs like it. Waits for the token.
    ///
    /// # Errors
    /// Every variant of [`TokenError`].
    pub(crate) fn find(&self, public: &PublicKey) -> Result<TokenKey, TokenError> {
        let key = TokenKey { public: Arc::new(public.clone()), shared: self.shared.clone() };
        key.sign_waiting(TRIAL).map(|_| key)
    }

    /// Shows in `registry` what there is to measure.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    /// What tells a part of `health` whether the key of `authority` can be used.
    pub(crate) fn watch(&self, authority: watch::Receiver<Arc<Authority>>, health: &Health) -> Option<TokenWatch> {
        Some(TokenWatch { keys: self.clone(), authority, health: health.part("token") })
    }

    /// Until the state changes.
    pub(super) async fn rung(&self) {
        self.shared.bell.notified().await;
    }

    pub(super) fn trouble(&self) -> Option<TokenError> {
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    /// Whether a signature came within the last `span`.
    pub(super) fn has_signed_within(&self, span: Duration) -> bool {
        let signed_at = self.shared.state.read().unwrap_or_else(PoisonError::into_inner).signed_at;
        signed_at.is_some_and(|at| self.shared.clock.steady().saturating_sub(at) < span)
    }
}

impl Shared {
    /// Remembers how it went, and tells when that changes.
    fn note(&self, signed: &Result<Vec<u8>, TokenError>) {
        let trouble = match signed {
            // That much is to do says nothing about the token.
            Err(TokenError::Busy) => return,
            signed => signed.as_ref().err().cloned(),
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            state.signed_at = Some(self.clock.steady());
        }
        self.metrics.set_up(trouble.is_none());
        if state.trouble == trouble {
            return;
        }
        match &trouble {
            Some(error) => tracing::error!(%error, "token does not sign, nothing is issued until it does"),
            None => tracing::info!("token signs again"),
        }
        state.trouble = trouble;
        self.bell.notify_one();
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKeys")
    }
}

/// One key in the token.
pub(crate) struct TokenKey {
    public: Arc<PublicKey>,
    shared: Arc<Shared>,
}

impl TokenKey {
    /// The algorithm of its signatures.
    pub(crate) fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::of_key(self.public.algorithm())
    }

    /// Signs `message`; ECDSA signatures come in their ASN.1 form.
    ///
    /// # Errors
    /// Every variant of [`TokenError`].
    pub(crate) async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let shared = &self.shared;
        let (reply, answer) = oneshot::channel();
        // Whoever waited may have gone.
        let reply = Box::new(move |signed| drop(reply.send(signed)));
        let signed = match shared.pool.ask(&self.public, message, shared.timeout, reply) {
            Err(error) => Err(error),
            Ok(()) => match tokio::time::timeout(shared.timeout, answer).await {
                Ok(answer) => answer.unwrap_or(Err(TokenError::Threads)),
                Err(_) => Err(self.slow()),
            },
        };
        shared.note(&signed);
        signed
    }

    /// As [`TokenKey::sign`], for a thread that may wait.
    ///
    /// # Errors
    /// Every variant of [`TokenError`].
    pub(crate) fn sign_waiting(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let reply = Box::new(move |signed| drop(reply.try_send(signed)));
        self.shared.pool.ask(&self.public, message, self.shared.timeout, reply)?;
        match answer.recv_timeout(self.shared.timeout) {
            Ok(signed) => signed,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(self.slow()),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(TokenError::Threads),
        }
    }

    fn slow(&self) -> TokenError {
        self.shared.metrics.signed("slow", None);
        TokenError::Slow { waited: self.shared.timeout }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({:?})", self.public)
    }
}
