//! Whose trace a request belongs to: what its caller says in `traceparent` (W3C Trace Context), or a new one.

use http::HeaderMap;

const TRACEPARENT: &str = "traceparent";

/// Version, trace, span and flags, with their dashes.
const TRACEPARENT_BYTES: usize = 55;

/// A trace, and the span in it that a request continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace_id: [u8; 16],
    /// Empty where the trace begins here.
    pub(super) span_id: Vec<u8>,
    /// Whether the caller records it; none where it says nothing.
    pub(super) is_sampled: Option<bool>,
}

impl Parent {
    /// What `headers` say; a fresh trace where they say nothing that can be read.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let said = headers.get(TRACEPARENT).and_then(|value| Self::read(value.to_str().ok()?));
        said.unwrap_or_else(|| {
            let trace_id = fastrand::u128(1..).to_be_bytes();
            Self { trace_id, span_id: Vec::new(), is_sampled: None }
        })
    }

    fn read(text: &str) -> Option<Self> {
        // Later versions may add fields behind these.
        let (head, rest) = text.split_at_checked(TRACEPARENT_BYTES)?;
        let mut fields = head.split('-');
        let [version, trace, span, flags] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
        let (trace_id, span_id) = (octets::<16>(trace)?, octets::<8>(span)?);
        let ([version], [flags]) = (octets::<1>(version)?, octets::<1>(flags)?);
        let is_known = version != u8::MAX && (rest.is_empty() || (version > 0 && rest.starts_with('-')));
        let is_whole = trace_id != [0; 16] && span_id != [0; 8] && fields.next().is_none();
        (is_known && is_whole).then(|| Self { trace_id, span_id: span_id.to_vec(), is_sampled: Some(flags & 1 == 1) })
    }
}

/// Lower-case hexadecimal digits.
fn octets<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = match pair {
            [high, low] => nibble(*high)? << 4 | nibble(*low)?,
            _ => return None,
        };
    }
    Some(octets)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_callers_trace_is_continued_and_nonsense_begins_a_new_one() {
        let said = Parent::read(GOOD).unwrap();
        assert_eq!(said.trace_id[..2], [0x4b, 0xf9]);
        assert_eq!((said.span_id.as_slice()[7], said.is_sampled), (0xb7, Some(true)));
        assert_eq!(Parent::read(&GOOD.replace("-01", "-00")).unwrap().is_sampled, Some(false));
        assert!(Parent::read(&GOOD.replacen("00", "01", 1)).is_some(), "a later version");
        assert!(Parent::read(&(GOOD.replacen("00", "01", 1) + "-more")).is_some());
        for nonsense in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &format!("{GOOD}-more"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
            &GOOD.replace('-', "_"),
        ] {
            assert_eq!(Parent::read(nonsense), None, "{nonsense}");
        }
        let fresh = Parent::of(&HeaderMap::new());
        assert!(fresh.trace_id != [0; 16] && fresh.span_id.is_empty() && fresh.is_sampled.is_none());
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(TRACEPARENT, value);
            }
            prop_assert!(Parent::of(&headers).trace_id != [0; 16]);
        }
    }
}
