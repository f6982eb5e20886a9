//! Waiting longer after each failure, within bounds and never in step with others.

use std::time::Duration;

/// Exponential waits with jitter. Pure: the source of randomness is its own and can be seeded.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    /// Share of each wait that is random, to both sides: 0.2 means ±20 %.
    jitter: f64,
    rng: fastrand::Rng,
}

impl Backoff {
    /// Waits that begin at `first`, double each time, and stay at or below `max`; `jitter` is clamped to 0..=1.
    pub fn new(first: Duration, max: Duration, jitter: f64) -> Self {
        Self { first, max, jitter: jitter.clamp(0.0, 1.0), rng: fastrand::Rng::new() }
    }

    /// The same waits each time, for tests.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.rng = fastrand::Rng::with_seed(seed);
        self
    }

    /// How long to wait after failure number `attempt`, the first being 0.
    pub fn wait(&mut self, attempt: u32) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(attempt.min(31)));
        let swing = 1.0 + self.jitter * (2.0 * self.rng.f64() - 1.0);
        doubled.min(self.max).mul_f64(swing).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_until_the_ceiling() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 0.0);
        let waits: Vec<_> = (0..6).map(|attempt| backoff.wait(attempt).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
    }

    proptest! {
        #[test]
        fn no_attempt_waits_outside_the_bounds(attempt: u32, seed: u64) {
            let (first, max) = (Duration::from_millis(100), Duration::from_secs(15));
            let wait = Backoff::new(first, max, 0.2).seeded(seed).wait(attempt);
            prop_assert!(wait >= first.mul_f64(0.8) && wait <= max);
        }
    }
}
