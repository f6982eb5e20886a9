//! How often one holder gets one identity: some at once, then one at a time. Pure: time comes in as an argument.
//!
//! For each there is one instant, at which all that was taken is made up for. Remembered in two halves, as in `recent`,
//! so what is remembered is bounded; who is forgotten may begin anew after tens of thousands of others.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

/// How many one half holds.
const HALF_MAX: usize = 64 * 1024;

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceConfig {
    /// So many at once; without bound where this is zero.
    pub burst: u32,
    /// Then one in this time.
    pub interval: Duration,
}

#[derive(Debug)]
pub(super) struct Pace {
    config: PaceConfig,
    newer: HashMap<u64, Instant>,
    older: HashMap<u64, Instant>,
}

impl Pace {
    pub(super) fn new(config: PaceConfig) -> Self {
        Self { config, newer: HashMap::new(), older: HashMap::new() }
    }

    /// One more for `key`, or the time after which there will be one.
    pub(super) fn take(&mut self, key: u64, now: Instant) -> Result<(), Duration> {
        let PaceConfig { burst, interval } = self.config;
        if burst == 0 {
            return Ok(());
        }
        let known = self.newer.get(&key).or_else(|| self.older.get(&key));
        let made_up_at = known.map_or(now, |at| *at).max(now) + interval;
        let ahead = made_up_at.duration_since(now);
        let most = interval.saturating_mul(burst);
        if ahead > most {
            return Err(ahead - most);
        }
        self.newer.insert(key, made_up_at);
        if self.newer.len() >= HALF_MAX {
            self.older = mem::take(&mut self.newer);
        }
        Ok(())
    }

    /// What `key` took last it did not get.
    pub(super) fn give_back(&mut self, key: u64) {
        let interval = self.config.interval;
        let known = self.newer.get_mut(&key).or_else(|| self.older.get_mut(&key));
        if let Some(at) = known
            && let Some(before) = at.checked_sub(interval)
        {
            *at = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: PaceConfig = PaceConfig { burst: 20, interval: Duration::from_secs(10) };

    fn take_all(pace: &mut Pace, key: u64, now: Instant) -> usize {
        (0..1000).take_while(|_| pace.take(key, now).is_ok()).count()
    }

    #[test]
    fn some_at_once_then_one_at_a_time_and_each_has_its_own() {
        let (mut pace, now) = (Pace::new(CONFIG), Instant::now());
        assert_eq!(take_all(&mut pace, 1, now), 20);
        assert_eq!(pace.take(1, now), Err(CONFIG.interval));
        assert_eq!(pace.take(1, now + Duration::from_secs(4)), Err(Duration::from_secs(6)));
        assert_eq!(take_all(&mut pace, 2, now), 20);
        assert_eq!(take_all(&mut pace, 1, now + Duration::from_secs(35)), 3);
        assert_eq!(take_all(&mut pace, 1, now + Duration::from_secs(3600)), 20, "no more is saved up");
    }

    #[test]
    fn what_was_given_back_can_be_taken_again_and_nothing_more() {
        let (mut pace, now) = (Pace::new(CONFIG), Instant::now());
        assert_eq!(take_all(&mut pace, 1, now), 20);
        pace.give_back(1);
        assert_eq!(take_all(&mut pace, 1, now), 1);
        pace.give_back(2);
        assert_eq!(take_all(&mut pace, 2, now), 20);
    }

    #[test]
    fn without_a_burst_there_is_no_bound_and_nothing_is_remembered() {
        let mut pace = Pace::new(PaceConfig { burst: 0, ..CONFIG });
        assert_eq!(take_all(&mut pace, 1, Instant::now()), 1000);
        assert!(pace.newer.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut pace, now) = (Pace::new(CONFIG), Instant::now());
        let many = u64::try_from(5 * HALF_MAX).unwrap();
        for key in 0..many {
            assert_eq!(pace.take(key, now), Ok(()));
            assert!(pace.newer.len() + pace.older.len() <= 2 * HALF_MAX);
        }
        assert_eq!(take_all(&mut pace, many - 1, now), 19);
    }
}
