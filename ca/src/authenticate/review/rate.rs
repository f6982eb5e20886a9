//! A bound on how often something happens: so many in a second, and one second's worth at once.
//!
//! Measured on the monotonic clock, so that a wall clock that jumps neither opens nor shuts it.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    state: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, state: Mutex::new(Bucket { left: per_second, at: Instant::now() }) }
    }

    /// Whether one more may happen now.
    pub(super) fn take(&self) -> bool {
        let mut bucket = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.duration_since(bucket.at).as_secs_f64() * self.per_second;
        *bucket = Bucket { left: (bucket.left + gained).min(self.per_second), at: now };
        let is_open = bucket.left >= 1.0;
        if is_open {
            bucket.left -= 1.0;
        }
        is_open
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_lets_through_what_a_second_is_for_and_no_more_is_saved_up() {
        let rate = Rate::new(10);
        let take_all = || (0..1000).take_while(|_| rate.take()).count();
        assert_eq!(take_all(), 10);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(take_all(), 5);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(take_all(), 10);
    }
}
