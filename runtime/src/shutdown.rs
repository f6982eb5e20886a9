//! Telling every task that the process ends.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Says when to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
}

/// Starts the end. Whoever holds it owns the process's life.
#[derive(Debug)]
pub struct ShutdownTrigger {
    token: CancellationToken,
}

impl Shutdown {
    /// A new pair: one side starts the end, the other waits for it.
    pub fn new() -> (ShutdownTrigger, Self) {
        let token = CancellationToken::new();
        (ShutdownTrigger { token: token.clone() }, Self { token })
    }

    /// Waits until the end has begun. Losing this future loses nothing.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Whether the end has begun.
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }
}

impl ShutdownTrigger {
    /// Starts the end, for all clones, once and for ever.
    pub fn trigger(&self) {
        self.token.cancel();
    }
}

/// Listens for SIGTERM and SIGINT from now on, before anybody waits; what is given says which came.
///
/// # Errors
/// When the process may not install signal handlers.
pub fn stop_signal() -> std::io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            // Both streams only tell that a signal came; losing one with the process about to end loses nothing.
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
