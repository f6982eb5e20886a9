//! Instants as a ledger writes them: RFC 3339 in UTC with milliseconds. Pure.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use signet_identity::Timestamp;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The ends of what RFC 3339 can say: the years 0 to 9999.
const FIRST: Timestamp = Timestamp::from_unix_secs(-62_167_219_200);
const LAST: Timestamp = Timestamp::from_unix_millis(253_402_300_799_999);

/// `instant`, or the end of the calendar that is nearest to it.
pub(super) fn print(instant: Timestamp) -> String {
    let nanos = i128::from(instant.clamp(FIRST, LAST).unix_millis()) * 1_000_000;
    // Neither step fails within the calendar.
    let civil = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    civil.and_then(|civil| civil.format(FORM).ok()).unwrap_or_default()
}

/// What [`print`] printed, or any other RFC 3339 instant.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(nanos.div_euclid(1_000_000)).ok().map(Timestamp::from_unix_millis)
}

pub(super) fn serialize<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print(*instant))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom("not an instant"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_instant_has_milliseconds_and_stays_within_the_calendar() {
        let printed = |millis| print(Timestamp::from_unix_millis(millis));
        assert_eq!(printed(1_700_000_000_009), "2023-11-14T22:13:20.009Z");
        assert_eq!(printed(i64::MIN), "0000-01-01T00:00:00.000Z");
        assert_eq!(printed(i64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn an_instant_of_another_zone_or_precision_is_read() {
        for text in ["2023-11-14T22:13:20.009Z", "2023-11-15T00:13:20.0099+02:00"] {
            assert_eq!(parse(text), Some(Timestamp::from_unix_millis(1_700_000_000_009)), "{text}");
        }
        for text in ["", "now", "2023-11-14", "2023-11-14 22:13"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(millis in FIRST.unix_millis()..=LAST.unix_millis()) {
            let instant = Timestamp::from_unix_millis(millis);
            prop_assert_eq!(parse(&print(instant)), Some(instant));
        }
    }
}
