//! The section of the settings that says how the end begins.

use std::time::Duration;

use signet_runtime::Reader;

/// Longest time to go on serving: Kubernetes kills after half a minute, and open requests get ten seconds of it.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// How long to go on serving after the process was told to stop.
pub(super) fn delay(reader: &mut Reader) -> Option<Duration> {
    let delay: Option<Duration> = reader.or("shutdown.delay", "0s");
    if delay.is_some_and(|delay| delay > DELAY_MAX) {
        reader.refuse("shutdown.delay", "must be at most 60s");
    }
    delay
}
