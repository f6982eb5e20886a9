//! PEM text (RFC 7468): strict about armour, size and content, tolerant of text outside the blocks as every PEM reader
//! is.
//!
//! Read here and not by a library, because what is read may be a private key: every buffer that held a block's text or
//! content is wiped. A label that is not known is reported, never passed over, so nothing hides between two blocks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Most blocks read from one text.
pub const PEM_BLOCKS_MAX: usize = 256;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// Why a PEM text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No block at all.
    #[error("no PEM block found")]
    NoBlock,
    /// The text is larger than the reader allows.
    #[error("PEM text has {actual} bytes, at most {max} are accepted")]
    TooLarge {
        /// Bytes given.
        actual: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// More blocks than allowed.
    #[error("PEM text has more than {max} blocks")]
    TooManyBlocks {
        /// Blocks allowed.
        max: usize,
    },
    /// A block of the wrong kind.
    #[error("PEM block is not a {wanted}")]
    WrongKind {
        /// The label that was wanted.
        wanted: &'static str,
    },
    /// Broken armour or base64.
    #[error("PEM text is malformed")]
    Malformed,
}

/// What a block's label says it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemKind {
    /// `CERTIFICATE`: X.509.
    Certificate,
    /// `CERTIFICATE REQUEST`: PKCS#10.
    Csr,
    /// `PRIVATE KEY`: PKCS#8, not encrypted.
    PrivateKey,
    /// `EC PRIVATE KEY`: SEC1.
    EcPrivateKey,
    /// `RSA PRIVATE KEY`: PKCS#1.
    RsaPrivateKey,
    /// `EC PARAMETERS`: what OpenSSL writes before a SEC1 key.
    EcParameters,
    /// Any other label.
    Other,
}

impl PemKind {
    fn from_label(label: &[u8]) -> Self {
        match label {
            b"CERTIFICATE" => Self::Certificate,
            b"CERTIFICATE REQUEST" => Self::Csr,
            b"PRIVATE KEY" => Self::PrivateKey,
            b"EC PRIVATE KEY" => Self::EcPrivateKey,
            b"RSA PRIVATE KEY" => Self::RsaPrivateKey,
            b"EC PARAMETERS" => Self::EcParameters,
            _ => Self::Other,
        }
    }
}

/// One decoded block. Its bytes are wiped when dropped, since they may be a key.
pub struct PemBlock {
    /// What the label said.
    pub kind: PemKind,
    /// The decoded content, never empty.
    pub der: Zeroizing<Vec<u8>>,
}

/// Every block of `text`, in order, whatever its label.
///
/// # Errors
/// A text over `max_bytes`, with broken armour, with more than [`PEM_BLOCKS_MAX`] blocks, or without any.
pub fn decode(text: &[u8], max_bytes: usize) -> Result<Vec<PemBlock>, PemError> {
    if text.len() > max_bytes {
        return Err(PemError::TooLarge { actual: text.len(), max: max_bytes });
    }
    let mut blocks = Vec::new();
    let mut lines = text.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end);
    while let Some(line) = lines.next() {
        if line.starts_with(END) {
            return Err(PemError::Malformed);
        }
        if !line.starts_with(BEGIN) {
            continue;
        }
        if blocks.len() == PEM_BLOCKS_MAX {
            return Err(PemError::TooManyBlocks { max: PEM_BLOCKS_MAX });
        }
        let label = armoured(line, BEGIN).ok_or(PemError::Malformed)?;
        blocks.push(PemBlock { kind: PemKind::from_label(label), der: body(&mut lines, label)? });
    }
    if blocks.is_empty() { Err(PemError::NoBlock) } else { Ok(blocks) }
}

/// Reads up to and with the line that ends the block called `label`.
fn body<'a>(
    lines: &mut (impl Iterator<Item = &'a [u8]> + Clone),
    label: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PemError> {
    let inside = |line: &&[u8]| !line.starts_with(DASHES);
    // Measured first, so that neither buffer grows: growing would leave a copy behind that nobody wipes.
    let size = lines.clone().take_while(inside).map(<[u8]>::len).sum();
    let mut encoded = Zeroizing::new(Vec::with_capacity(size));
    let end = loop {
        match lines.next().ok_or(PemError::Malformed)? {
            line if inside(&line) => encoded.extend_from_slice(line),
            line => break line,
        }
    };
    if armoured(end, END) != Some(label) {
        return Err(PemError::Malformed);
    }
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
    let length = STANDARD.decode_slice(encoded.as_slice(), der.as_mut_slice()).map_err(|_| PemError::Malformed)?;
    der.truncate(length);
    if der.is_empty() { Err(PemError::Malformed) } else { Ok(der) }
}

/// The label of a line that begins with `opening` and ends with five dashes.
fn armoured<'a>(line: &'a [u8], opening: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(opening)?.strip_suffix(DASHES)
}

/// The certificates of `text` as DER, in order; any other kind of block is refused.
///
/// # Errors
/// As [`decode`], and [`PemError::WrongKind`].
pub fn decode_certificates(text: &[u8], max_bytes: usize) -> Result<Vec<Vec<u8>>, PemError> {
    decode(text, max_bytes)?
        .into_iter()
        .map(|block| match block.kind {
            PemKind::Certificate => Ok(block.der.to_vec()),
            _ => Err(PemError::WrongKind { wanted: "CERTIFICATE" }),
        })
        .collect()
}

/// One block: label lines around base64 in lines of 64 characters, each ended by `\n`.
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(der in prop::collection::vec(any::<u8>(), 1..600)) {
            let text = encode("CERTIFICATE", &der);
            prop_assert_eq!(decode_certificates(text.as_bytes(), 4096).unwrap(), vec![der]);
            prop_assert!(text.lines().all(|line| line.len() <= 64));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&text, 300);
        }
    }

    fn check(text: &str, wanted: Result<&[PemKind], PemError>) {
        let got = decode(text.as_bytes(), 4096).map(|blocks| blocks.iter().map(|b| b.kind).collect::<Vec<_>>());
        assert_eq!(got, wanted.map(<[PemKind]>::to_vec), "{text:?}");
    }

    #[test]
    fn text_outside_blocks_and_other_line_ends_are_passed_over() {
        let certificate: &[PemKind] = &[PemKind::Certificate];
        check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", Ok(certificate));
        check("-----BEGIN CERTIFICATE-----\r\nAA\r\nAA\r\n-----END CERTIFICATE-----\r\n", Ok(certificate));
        check("-----BEGIN CERTIFICATE-----  \nAAAA \n\n-----END CERTIFICATE-----\t\n", Ok(certificate));
        check("# ours\n----- \n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\nbye\n", Ok(certificate));
    }

    #[test]
    fn an_unknown_label_is_reported_not_passed_over() {
        let hidden = "-----BEGIN SECRET-----\nAAAA\n-----END SECRET-----\n";
        check(hidden, Ok(&[PemKind::Other]));
        check(&format!("{hidden}{}", encode("CERTIFICATE REQUEST", b"x")), Ok(&[PemKind::Other, PemKind::Csr]));
        check(&hidden.replace("SECRET", "certificate"), Ok(&[PemKind::Other]));
        check(&hidden.replace("SECRET", " CERTIFICATE"), Ok(&[PemKind::Other]));
    }

    #[test]
    fn broken_armour_is_refused() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----x\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END X509 CRL-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE----\nAAAA\n-----END CERTIFICATE-----\n",
            "AAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----AAAA\n-----END CERTIFICATE-----\n",
        ] {
            check(text, Err(PemError::Malformed));
        }
    }

    #[test]
    fn a_body_that_is_not_padded_base64_is_refused() {
        for body in ["", "AAA", "AAB=", "AA=A", "AAAA=", "A-_A", "Proc-Type: 4,ENCRYPTED\n\nAAAA", "AAAA\u{0}"] {
            let text = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
            check(&text, Err(PemError::Malformed));
        }
    }

    #[test]
    fn a_text_without_a_block_is_refused() {
        for text in ["", "\n\n", "no such thing", "\u{feff}-----BEGIN CERTIFICATE-----\nAAAA"] {
            check(text, Err(PemError::NoBlock));
        }
    }

    #[test]
    fn a_text_over_the_bound_is_refused_unread() {
        assert_eq!(decode(b"12345", 4).err(), Some(PemError::TooLarge { actual: 5, max: 4 }));
    }

    #[test]
    fn a_key_among_certificates_is_refused() {
        let text = encode("PRIVATE KEY", b"x");
        assert_eq!(decode_certificates(text.as_bytes(), 100), Err(PemError::WrongKind { wanted: "CERTIFICATE" }));
    }

    #[test]
    fn too_many_blocks_are_refused() {
        let text = encode("CERTIFICATE", b"x").repeat(PEM_BLOCKS_MAX + 1);
        assert_eq!(
            decode_certificates(text.as_bytes(), usize::MAX),
            Err(PemError::TooManyBlocks { max: PEM_BLOCKS_MAX })
        );
    }
}
