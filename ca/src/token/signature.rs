//! From what a token signs to what stands in a certificate.

use signet_identity::KeyAlgorithm;

/// Octets of a coordinate on the two curves.
const P256_OCTETS: usize = 32;
const P384_OCTETS: usize = 48;

/// An ECDSA signature in its ASN.1 form (RFC 3279, 2.2.3) from the two numbers side by side (PKCS#11, CKM_ECDSA); `None`
/// when they are not as long as those of a key of this kind.
pub(super) fn ecdsa_der(kind: KeyAlgorithm, raw: &[u8]) -> Option<Vec<u8>> {
    let octets = match kind {
        KeyAlgorithm::EcP256 => P256_OCTETS,
        KeyAlgorithm::EcP384 => P384_OCTETS,
        KeyAlgorithm::Rsa { .. } | KeyAlgorithm::Ed25519 => return None,
    };
    let (r, s) = raw.split_at_checked(octets).filter(|(_, s)| s.len() == octets)?;
    Some(yasna::construct_der(|writer| {
        writer.write_sequence(|numbers| {
            numbers.next().write_bigint_bytes(r, true);
            numbers.next().write_bigint_bytes(s, true);
        });
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(r: &[u8], s: &[u8]) -> Vec<u8> {
        let wide = |number: &[u8]| [&vec![0; P256_OCTETS - number.len()], number].concat();
        ecdsa_der(KeyAlgorithm::EcP256, &[wide(r), wide(s)].concat()).unwrap()
    }

    #[test]
    fn numbers_are_written_as_short_as_they_are_and_never_below_zero() {
        assert_eq!(numbers(&[1], &[2]), [0x30, 6, 2, 1, 1, 2, 1, 2]);
        assert_eq!(numbers(&[0x80], &[0x7f]), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 0x7f]);
        assert_eq!(numbers(&[1, 0], &[0xff, 0xff]), [0x30, 9, 2, 2, 1, 0, 2, 3, 0, 0xff, 0xff]);
    }

    #[test]
    fn numbers_of_another_length_are_no_signature() {
        let is_taken = |kind, octets: usize| ecdsa_der(kind, &vec![1; octets]).is_some();
        assert!(is_taken(KeyAlgorithm::EcP256, 64) && is_taken(KeyAlgorithm::EcP384, 96));
        for (kind, octets) in [
            (KeyAlgorithm::EcP256, 0),
            (KeyAlgorithm::EcP256, 63),
            (KeyAlgorithm::EcP256, 65),
            (KeyAlgorithm::EcP256, 96),
            (KeyAlgorithm::EcP384, 64),
            (KeyAlgorithm::Rsa { bits: 2048 }, 64),
            (KeyAlgorithm::Ed25519, 64),
        ] {
            assert!(!is_taken(kind, octets), "{kind} {octets}");
        }
    }
}
