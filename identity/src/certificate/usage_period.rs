//! The private key usage period (2.5.29.16; RFC 3280, 4.2.1.4) in the one form that Signet writes: a beginning, no end.
//!
//! Signet's authority says with it since when a key's holder is known. Certificates of others may have the extension in
//! any form; what is not exactly this form says nothing here.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::Timestamp;

/// Its object identifier, as DER content.
pub(super) const OID_DER: [u8; 3] = [0x55, 0x1d, 0x10];

/// SEQUENCE { notBefore [0] GeneralizedTime }.
const HEAD: [u8; 4] = [0x30, 0x11, 0x80, 0x0f];

/// `YYYYMMDDHHMMSSZ` (RFC 5280, 4.1.2.5.2).
const FORM: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day][hour][minute][second]Z");

/// The DER value of the extension for a beginning at `from`, without its fraction of a second; `None` for a time that
/// has no four-digit year.
pub fn usage_period_from(from: Timestamp) -> Option<Vec<u8>> {
    let time = OffsetDateTime::from_unix_timestamp(from.unix_secs()).ok()?;
    let text =
        time.format(FORM).ok().filter(|text| text.len() == 15 && text.bytes().all(|o| o != b'-' && o != b'+'))?;
    Some([&HEAD, text.as_bytes()].concat())
}

/// The beginning in a value of exactly that form.
pub(super) fn read(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value.strip_prefix(&HEAD)?).ok()?;
    let time = PrimitiveDateTime::parse(text, FORM).ok()?;
    let from = Timestamp::from_unix_secs(time.assume_utc().unix_timestamp());
    // Whoever reads what is written otherwise than it would be written here may read something else than others.
    (usage_period_from(from)? == value).then_some(from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_beginning_is_written_as_the_standard_has_it() {
        let value = usage_period_from(Timestamp::from_unix_millis(1_795_403_000_999)).unwrap();
        assert_eq!(value, b"\x30\x11\x80\x0f20261123030320Z");
        assert_eq!(read(&value), Some(Timestamp::from_unix_secs(1_795_403_000)));
        assert_eq!(usage_period_from(Timestamp::from_unix_secs(i64::MAX)), None);
        assert_eq!(usage_period_from(Timestamp::from_unix_secs(-99_999_999_999)), None);
    }

    #[test]
    fn every_other_form_says_nothing() {
        let whole = |text: &str| [&HEAD, text.as_bytes()].concat();
        for value in [
            Vec::new(),
            whole(""),
            whole("20261123012320"),
            whole("20261123012360Z"),
            whole("20261323012320Z"),
            whole("2026112301232 Z"),
            whole("20261123012320z"),
            whole("20261123012320ZZ"),
            b"\x30\x11\x81\x0f20261123012320Z".to_vec(),
            b"\x30\x22\x80\x0f20261123012320Z\x81\x0f20261123012320Z".to_vec(),
        ] {
            assert_eq!(read(&value), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(secs in -62_135_596_800_i64..253_402_300_799) {
            let from = Timestamp::from_unix_secs(secs);
            if let Some(value) = usage_period_from(from) {
                prop_assert_eq!(read(&value), Some(from));
            }
        }

        #[test]
        fn nothing_makes_the_reader_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&value);
            let _ = read(&[&HEAD, value.as_slice()].concat());
        }
    }
}
