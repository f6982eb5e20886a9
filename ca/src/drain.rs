//! How the end begins: first it is said that nobody should be sent here any more, then, after a while, everything stops.
//!
//! Whoever balances load learns of the end later than we do. Connections that it sends in between are accepted and
//! served.

use std::convert::Infallible;
use std::time::Duration;

use signet_runtime::{HealthHandle, Shutdown, ShutdownTrigger};

/// Waits until the end was asked for, says so, and lets it begin after `delay`.
///
/// # Errors
/// None.
pub(crate) async fn run(
    asked: Shutdown,
    delay: Duration,
    health: HealthHandle,
    everything: ShutdownTrigger,
) -> Result<(), Infallible> {
    health.ready();
    asked.begun().await;
    health.not_ready("stops, send nobody here any more");
    if !delay.is_zero() {
        tracing::info!(delay_secs = delay.as_secs_f64(), "serving on until nobody is sent here any more");
        tokio::time::sleep(delay).await;
    }
    everything.trigger();
    Ok(())
}
