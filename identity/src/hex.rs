//! Octets as text.

const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// Lower-case hexadecimal, two digits an octet.
///
/// Each certificate needs five of these, so that formatting octet by octet would cost more than parsing its request.
pub fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(2 * octets.len());
    for octet in octets {
        let nibbles = [octet >> 4, octet & 0x0f];
        text.extend(nibbles.iter().filter_map(|nibble| DIGITS.get(usize::from(*nibble))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_has_its_two_digits() {
        assert_eq!(hex(&[]), "");
        for octet in 0..=u8::MAX {
            assert_eq!(hex(&[octet, 0xa5]), format!("{octet:02x}a5"));
        }
    }
}
