//! How long something is valid: an interval that is never empty.
//!
//! Must not know what is valid, nor when it is renewed: that is the business of the agent's rotation.

use std::time::Duration;

use crate::Timestamp;

/// The validity of a certificate: from `not_before` to `not_after`, both ends included (RFC 5280, 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Lifetime {
    /// An interval, or `None` when it would end before it begins.
    pub fn new(not_before: Timestamp, not_after: Timestamp) -> Option<Self> {
        (not_before <= not_after).then_some(Self { not_before, not_after })
    }

    /// The first valid instant.
    pub const fn not_before(self) -> Timestamp {
        self.not_before
    }

    /// The last valid instant.
    pub const fn not_after(self) -> Timestamp {
        self.not_after
    }

    /// Whether `now` lies inside.
    pub fn contains(self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Time left at `now`; zero when it has ended.
    pub fn remaining(self, now: Timestamp) -> Duration {
        self.not_after.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_that_ends_before_it_begins_does_not_exist() {
        assert_eq!(Lifetime::new(Timestamp::from_unix_secs(2), Timestamp::from_unix_secs(1)), None);
    }

    #[test]
    fn both_ends_are_valid() {
        let life = Lifetime::new(Timestamp::from_unix_secs(1), Timestamp::from_unix_secs(3)).unwrap();
        let valid = [0, 1, 3, 4].map(|secs| life.contains(Timestamp::from_unix_secs(secs)));
        assert_eq!(valid, [false, true, true, false]);
        assert_eq!(life.remaining(Timestamp::from_unix_secs(9)), Duration::ZERO);
    }
}
