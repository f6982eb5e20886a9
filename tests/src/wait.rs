//! Waiting for what another process does, without sleeping longer than it takes.

use std::thread;
use std::time::{Duration, Instant};

/// How often to look.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Tries `attempt` until it succeeds, and returns what it found.
///
/// # Panics
/// When `timeout` has passed, with `what` was waited for and the reason of the last failure.
#[track_caller]
pub fn eventually<T>(timeout: Duration, what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(found) => return found,
            Err(reason) if start.elapsed() >= timeout => {
                panic!("waited {timeout:?} in vain until {what}: {reason}")
            }
            Err(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::eventually;

    #[test]
    fn the_first_success_is_returned() {
        let mut attempts = 0;

        let found = eventually(Duration::from_secs(10), "the third attempt", || {
            attempts += 1;
            if attempts == 3 { Ok(attempts) } else { Err("too early".to_owned()) }
        });

        assert_eq!(found, 3);
    }

    #[test]
    #[should_panic(expected = "waited 1ms in vain until pigs fly: they have no wings")]
    fn the_last_failure_is_told() {
        eventually(Duration::from_millis(1), "pigs fly", || Err::<(), _>("they have no wings".to_owned()));
    }
}
