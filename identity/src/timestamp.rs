//! Instants as plain values, so that every decision about time is a function of its arguments.
//!
//! Knows how to count and print. Must not know what time it is now.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant of civil time: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    unix_millis: i64,
}

impl Timestamp {
    /// The instant `secs` seconds after the epoch; saturates at the ends of the range.
    pub const fn from_unix_secs(secs: i64) -> Self {
        Self { unix_millis: secs.saturating_mul(1000) }
    }

    /// The instant `millis` milliseconds after the epoch.
    pub const fn from_unix_millis(unix_millis: i64) -> Self {
        Self { unix_millis }
    }

    /// Whole seconds since the epoch, rounded down: the resolution of certificates and tokens.
    pub const fn unix_secs(self) -> i64 {
        self.unix_millis.div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    pub const fn unix_millis(self) -> i64 {
        self.unix_millis
    }

    /// This instant moved later; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self { unix_millis: self.unix_millis.saturating_add(millis(span)) }
    }

    /// This instant moved earlier; saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self { unix_millis: self.unix_millis.saturating_sub(millis(span)) }
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        let span = self.unix_millis.saturating_sub(earlier.unix_millis);
        Duration::from_millis(u64::try_from(span).unwrap_or(0))
    }

    /// This instant without its fraction of a second, as a certificate would hold it.
    #[must_use]
    pub const fn whole_secs(self) -> Self {
        Self::from_unix_secs(self.unix_secs())
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::from_unix_millis(millis(after)),
            Err(before) => Self::from_unix_millis(millis(before.duration()).saturating_neg()),
        }
    }
}

/// RFC 3339 in UTC with whole seconds, or seconds since the epoch where the year is out of RFC 3339's range.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.unix_secs()).ok().and_then(|t| t.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "@{}", self.unix_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_prints_as_rfc_3339_in_utc() {
        assert_eq!(Timestamp::from_unix_millis(1_700_000_000_999).to_string(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn an_instant_before_the_epoch_rounds_down() {
        assert_eq!(Timestamp::from_unix_millis(-1).unix_secs(), -1);
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let end = Timestamp::from_unix_millis(i64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(Timestamp::from_unix_secs(i64::MAX), end);
        assert_eq!(Timestamp::from_unix_secs(5).since(end), Duration::ZERO);
        assert!(end.to_string().starts_with('@'));
    }
}
