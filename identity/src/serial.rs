//! Certificate serial numbers (RFC 5280, 4.1.2.2).

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};

use crate::hex;
use crate::key::KeyError;

/// Octets of randomness in a serial that Signet makes.
const GENERATED_OCTETS: usize = 16;

/// Longest serial accepted from others, in octets: RFC 5280's bound.
pub const SERIAL_MAX_OCTETS: usize = 20;

/// A serial number as the content octets of its DER INTEGER: big-endian, at most [`SERIAL_MAX_OCTETS`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Serial {
    octets: Box<[u8]>,
}

impl Serial {
    /// An unguessable positive serial of 127 random bits, never zero and always 16 octets in DER.
    ///
    /// # Errors
    /// [`KeyError::Randomness`] when the operating system has no random bytes to give.
    pub fn generate() -> Result<Self, KeyError> {
        let mut octets = [0u8; GENERATED_OCTETS];
        SystemRandom::new().fill(&mut octets).map_err(|_| KeyError::Randomness)?;
        let [first, ..] = &mut octets;
        // The top bit would make the number negative; the next one set keeps the length constant and the value
        // above zero.
        *first = (*first & 0x7f) | 0x40;
        Ok(Self { octets: octets.into() })
    }

    /// The serial of a parsed certificate, or `None` when it is empty, negative, longer than RFC 5280 allows, or written
    /// in more octets than it needs. Zero is accepted: old roots have it.
    pub fn from_der_content(octets: &[u8]) -> Option<Self> {
        match octets {
            [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => None,
            _ => (octets.len() <= SERIAL_MAX_OCTETS).then(|| Self { octets: octets.into() }),
        }
    }

    /// The content octets of the DER INTEGER.
    pub fn as_der_content(&self) -> &[u8] {
        &self.octets
    }
}

/// Lower-case hexadecimal without separators, as `openssl x509 -serial` prints it in upper case.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = match &*self.octets {
            // This zero only says that the number is not negative.
            [0, magnitude @ ..] if !magnitude.is_empty() => magnitude,
            octets => octets,
        };
        f.write_str(&hex(magnitude))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn generated_serials_are_positive_distinct_and_of_constant_length() {
        let serials: Vec<_> = (0..1_000_000).map(|_| Serial::generate().unwrap()).collect();
        assert!(serials.iter().all(|s| s.as_der_content().len() == 16 && s.as_der_content()[0] & 0xc0 == 0x40));
        assert_eq!(serials.iter().collect::<HashSet<_>>().len(), serials.len());
    }

    #[test]
    fn a_serial_beyond_rfc_5280_is_refused() {
        for octets in [[1; 21].as_slice(), &[], &[0x80], &[0xff, 1], &[0, 1]] {
            assert_eq!(Serial::from_der_content(octets), None, "{octets:?}");
        }
    }

    #[test]
    fn a_serial_prints_its_value_without_the_sign_octet() {
        let printed = |octets: &[u8]| Serial::from_der_content(octets).unwrap().to_string();
        assert_eq!(printed(&[0]), "00");
        assert_eq!(printed(&[0x0a, 0x01]), "0a01");
        assert_eq!(printed(&[0, 0xff]), "ff");
    }
}
