//! Certificate requests (PKCS#10, RFC 2986): proof that the applicant holds the key, and nothing else.
//!
//! A request gives a public key and a signature by it. What it asks for (names, CA rights, usages) is kept only as
//! facts for the log: identity comes from the authenticated caller, never from here.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use yasna::Tag;
use yasna::models::ObjectIdentifier;

use crate::der::{self, AltName};
use crate::pem::{self, PemKind};
use crate::strict::{self, ShapeError};
use crate::{KeyAlgorithm, KeyError, PemError, PrivateKey, PublicKey, SignatureAlgorithm, SpiffeId};

/// Largest request accepted as PEM, in bytes. An RSA-4096 request with a long name needs some 2,500.
pub const CSR_PEM_MAX_BYTES: usize = 16 * 1024;

/// Largest request accepted as DER, in bytes: what fits into [`CSR_PEM_MAX_BYTES`].
pub const CSR_DER_MAX_BYTES: usize = CSR_PEM_MAX_BYTES / 4 * 3;

/// Object identifier of the extensionRequest attribute (PKCS#9).
const OID_EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Not one well-formed PEM block of a fitting size.
    #[error("certificate request is not usable PEM: {0}")]
    Pem(#[from] PemError),
    /// More than one block: which one is meant cannot be known.
    #[error("certificate request holds {count} PEM blocks, exactly one is accepted")]
    SeveralBlocks {
        /// Blocks found.
        count: usize,
    },
    /// Over [`CSR_DER_MAX_BYTES`].
    #[error("certificate request has {actual} bytes, at most {CSR_DER_MAX_BYTES} are accepted")]
    TooLarge {
        /// Bytes given.
        actual: usize,
    },
    /// Not a PKCS#10 request in DER.
    #[error("certificate request is not well-formed PKCS#10")]
    Malformed,
    /// The same attribute or extension twice: readers differ in which one counts.
    #[error("certificate request holds the same attribute or extension twice")]
    Repeated,
    /// Bytes behind the request.
    #[error("certificate request is followed by {count} other bytes")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// A key of a kind that is not accepted.
    #[error("key in certificate request is not accepted: {0}")]
    Key(#[from] KeyError),
    /// A signature algorithm that is not accepted or does not belong to the key.
    #[error("certificate request with a {key} key is signed with `{oid}`, which does not belong to that key")]
    SignatureAlgorithm {
        /// The key in the request.
        key: KeyAlgorithm,
        /// Dotted object identifier of the signature algorithm.
        oid: String,
    },
    /// The applicant did not prove possession of the key.
    #[error("signature of certificate request does not verify")]
    Signature,
}

/// A request whose signature was verified by the key it holds. Made only by parsing.
#[derive(Debug, Clone)]
pub struct VerifiedCsr {
    public_key: PublicKey,
    asked: Asked,
}

/// What a request asked for beside the key. Granted by nobody; told to the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// URI names, in order.
    pub uris: Vec<String>,
    /// How many names of other kinds (DNS, IP, e-mail, …).
    pub other_names: usize,
    /// Whether it asked to be a CA.
    pub ca: bool,
    /// Whether the subject holds a common name that is not empty.
    pub common_name: bool,
}

impl VerifiedCsr {
    /// Parses and verifies a PEM text with exactly one `CERTIFICATE REQUEST` block.
    ///
    /// # Errors
    /// Every variant of [`CsrError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, CsrError> {
        let blocks = pem::decode(text, CSR_PEM_MAX_BYTES)?;
        match blocks.as_slice() {
            [block] if block.kind == PemKind::Csr => Self::from_der(&block.der),
            [_] => Err(PemError::WrongKind { wanted: "CERTIFICATE REQUEST" }.into()),
            more => Err(CsrError::SeveralBlocks { count: more.len() }),
        }
    }

    /// Parses and verifies a DER request and nothing behind it.
    ///
    /// # Errors
    /// Every variant of [`CsrError`] but those about PEM.
    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > CSR_DER_MAX_BYTES {
            return Err(CsrError::TooLarge { actual: der.len() });
        }
        if let Some((_, rest)) = strict::first(der)
            && !rest.is_empty()
        {
            return Err(CsrError::TrailingBytes { count: rest.len() });
        }
        let parts = strict::request(der)?;
        let (_, csr) = X509CertificationRequest::from_der(der).map_err(|_| CsrError::Malformed)?;
        let public_key = PublicKey::from_spki_der(parts.key)?;
        let key = public_key.algorithm();
        let algorithm = SignatureAlgorithm::from_identifier(parts.algorithm, key).ok_or_else(|| {
            CsrError::SignatureAlgorithm { key, oid: csr.signature_algorithm.algorithm.to_id_string() }
        })?;
        if !public_key.verify(algorithm, parts.info, parts.signature) {
            return Err(CsrError::Signature);
        }
        Ok(Self { asked: asked(&csr)?, public_key })
    }

    /// The key whose possession was proved.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// What else it asked for.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }
}

/// Makes a request as PEM for `key`: empty subject, and `id` as the one, critical, URI name.
///
/// # Errors
/// [`KeyError`] when the key cannot sign.
pub fn create(key: &PrivateKey, id: &SpiffeId) -> Result<String, KeyError> {
    let signer = key.signer()?;
    let info = request_info(key.public(), id);
    let signature = signer.sign(&info)?;
    Ok(pem::encode("CERTIFICATE REQUEST", &der::signed(&info, signer.algorithm(), &signature)))
}

fn request_info(key: &PublicKey, id: &SpiffeId) -> Vec<u8> {
    let names = der::alt_names(&[AltName::Uri(id.to_string())]);
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(0);
            writer.next().write_sequence(|_| {});
            writer.next().write_der(key.spki_der());
            writer.next().write_tagged_implicit(Tag::context(0), |writer| {
                writer.write_set(|writer| {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&ObjectIdentifier::from_slice(OID_EXTENSION_REQUEST));
                        writer.next().write_set(|writer| {
                            writer.next().write_sequence(|writer| {
                                der::write_extension(writer.next(), der::OID_SUBJECT_ALT_NAME, true, &names);
                            });
                        });
                    });
                });
            });
        });
    })
}

impl From<ShapeError> for CsrError {
    fn from(error: ShapeError) -> Self {
        match error {
            ShapeError::Malformed | ShapeError::Version => Self::Malformed,
            ShapeError::Repeated => Self::Repeated,
        }
    }
}

fn asked(csr: &X509CertificationRequest<'_>) -> Result<Asked, CsrError> {
    let subject = &csr.certification_request_info.subject;
    let common_name = subject.iter_common_name().any(|cn| !cn.as_slice().is_empty());
    let mut asked = Asked { common_name, ..Asked::default() };
    for extension in csr.requested_extensions().into_iter().flatten() {
        match extension {
            ParsedExtension::BasicConstraints(constraints) => asked.ca |= constraints.ca,
            ParsedExtension::SubjectAlternativeName(names) => names.general_names.iter().for_each(|name| match name {
                GeneralName::URI(uri) => asked.uris.push((*uri).to_owned()),
                _ => asked.other_names += 1,
            }),
            ParsedExtension::ParseError { .. } => return Err(CsrError::Malformed),
            _ => {}
        }
    }
    Ok(asked)
}
