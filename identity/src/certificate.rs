//! X.509 certificates, read once into the facts that Signet decides on (RFC 5280; X509-SVID, sections 3 to 5).
//!
//! Knows one certificate at a time. Chains are judged in `bundle`, keys that belong to a certificate in `svid`.

use std::fmt;
use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::pem::{self, PemError};
use crate::strict::{self, ShapeError};
use crate::{KeyError, Lifetime, PublicKey, Serial, Timestamp};

pub use leaf::LeafError;
pub use usage_period::usage_period_from;

mod leaf;
mod usage_period;

/// Largest certificate accepted, in bytes of DER.
pub const CERTIFICATE_MAX_BYTES: usize = 32 * 1024;

/// Why a certificate was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The PEM text around it is bad.
    #[error("certificate is not usable PEM: {0}")]
    Pem(#[from] PemError),
    /// Over [`CERTIFICATE_MAX_BYTES`].
    #[error("certificate has {actual} bytes, at most {CERTIFICATE_MAX_BYTES} are accepted")]
    TooLarge {
        /// Bytes given.
        actual: usize,
    },
    /// Not a well-formed X.509 certificate in DER, or followed by other bytes.
    #[error("certificate is not well-formed X.509")]
    Malformed,
    /// Version 1 or 2, which cannot say what a certificate is for.
    #[error("certificate is not X.509 version 3")]
    Version,
    /// The same extension twice: readers differ in which one counts (RFC 5280, 4.2).
    #[error("certificate holds the same extension twice")]
    RepeatedExtension,
    /// Its validity ends before it begins.
    #[error("certificate's validity ends before it begins")]
    Validity,
    /// Its serial is negative, or longer than RFC 5280 allows.
    #[error("certificate's serial number is out of bounds")]
    Serial,
    /// Its key is of a kind that is not accepted.
    #[error("certificate's key is not accepted: {0}")]
    Key(#[from] KeyError),
}

/// Which key usages a certificate carries; `None` of this type means that the extension is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage {
    /// May sign data and handshakes.
    pub digital_signature: bool,
    /// May sign certificates.
    pub key_cert_sign: bool,
    /// May sign revocation lists.
    pub crl_sign: bool,
}

/// Which sides of TLS a certificate may take; `None` of this type means that the extension is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedKeyUsage {
    /// May authenticate a TLS server.
    pub server_auth: bool,
    /// May authenticate a TLS client.
    pub client_auth: bool,
}

/// A parsed certificate. Its signature has not been judged by being parsed.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Box<[u8]>,
    serial: Serial,
    issuer: Box<[u8]>,
    subject: Box<[u8]>,
    lifetime: Lifetime,
    public_key: PublicKey,
    is_ca: bool,
    path_len: Option<u32>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
    subject_key_id: Option<Box<[u8]>>,
    authority_key_id: Option<Box<[u8]>>,
    uris: Vec<String>,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    key_used_from: Option<Timestamp>,
}

impl Certificate {
    /// Parses one DER certificate and nothing behind it.
    ///
    /// # Errors
    /// Every variant of [`CertificateError`] but `Pem`.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_MAX_BYTES {
            return Err(CertificateError::TooLarge { actual: der.len() });
        }
        strict::check_certificate(der)?;
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let validity = parsed.validity();
        let mut certificate = Self {
            der: der.into(),
            serial: Serial::from_der_content(parsed.raw_serial()).ok_or(CertificateError::Serial)?,
            issuer: parsed.issuer().as_raw().into(),
            subject: parsed.subject().as_raw().into(),
            lifetime: Lifetime::new(instant(validity.not_before), instant(validity.not_after))
                .ok_or(CertificateError::Validity)?,
            public_key: PublicKey::from_spki_der(parsed.public_key().raw)?,
            is_ca: false,
            path_len: None,
            key_usage: None,
            extended_key_usage: None,
            subject_key_id: None,
            authority_key_id: None,
            uris: Vec::new(),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            key_used_from: None,
        };
        for extension in parsed.extensions() {
            certificate.note(extension.parsed_extension())?;
            if extension.oid.as_bytes() == usage_period::OID_DER {
                certificate.key_used_from = usage_period::read(extension.value);
            }
        }
        Ok(certificate)
    }

    /// Parses a PEM text that holds certificates only, in order, at most `max_bytes` long.
    ///
    /// # Errors
    /// The first certificate's that is unusable.
    pub fn list_from_pem(text: &[u8], max_bytes: usize) -> Result<Vec<Self>, CertificateError> {
        pem::decode_certificates(text, max_bytes)?.iter().map(|der| Self::from_der(der)).collect()
    }

    fn note(&mut self, extension: &ParsedExtension<'_>) -> Result<(), CertificateError> {
        match extension {
            ParsedExtension::BasicConstraints(constraints) => {
                self.is_ca = constraints.ca;
                self.path_len = constraints.path_len_constraint;
            }
            ParsedExtension::KeyUsage(usage) => {
                self.key_usage = Some(KeyUsage {
                    digital_signature: usage.digital_signature(),
                    key_cert_sign: usage.key_cert_sign(),
                    crl_sign: usage.crl_sign(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.extended_key_usage = Some(ExtendedKeyUsage {
                    server_auth: usage.server_auth || usage.any,
                    client_auth: usage.client_auth || usage.any,
                });
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(id.0.into()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.into());
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                names.general_names.iter().try_for_each(|name| self.note_name(name))?;
            }
            ParsedExtension::ParseError { .. } => return Err(CertificateError::Malformed),
            _ => {}
        }
        Ok(())
    }

    fn note_name(&mut self, name: &GeneralName<'_>) -> Result<(), CertificateError> {
        match name {
            GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
            GeneralName::DNSName(dns) => self.dns_names.push((*dns).to_owned()),
            GeneralName::IPAddress(octets) => self.ip_addresses.push(ip_address(octets)?),
            // A name that cannot be read may be a second URI name to another reader.
            GeneralName::Invalid(..) => return Err(CertificateError::Malformed),
            _ => {}
        }
        Ok(())
    }

    /// The whole certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The whole certificate as one PEM block.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// The serial number.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The issuer's name, DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer
    }

    /// The subject's name, DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// When it is valid.
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// The key it speaks for.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Whether basic constraints make it a CA certificate.
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Whether it may stand above others on a path: a CA certificate whose key usage, where there is one, allows signing
    /// certificates (RFC 5280, 6.1.4).
    pub fn signs_certificates(&self) -> bool {
        self.is_ca && self.key_usage.is_none_or(|usage| usage.key_cert_sign)
    }

    /// How many CA certificates may stand between this one and a leaf, where it sets a bound.
    pub fn path_len(&self) -> Option<u32> {
        self.path_len
    }

    /// The extended key usage extension, if there is one.
    pub fn extended_key_usage(&self) -> Option<ExtendedKeyUsage> {
        self.extended_key_usage
    }

    /// The key usage extension, if there is one.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// The subject key identifier, if there is one.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.subject_key_id.as_deref()
    }

    /// The authority key identifier, if there is one.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.authority_key_id.as_deref()
    }

    /// The beginning of the private key usage period, where there is one that has no end.
    pub fn key_used_from(&self) -> Option<Timestamp> {
        self.key_used_from
    }

    /// Whether issuer and subject are the same name, as in a root.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// URI names, in order.
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// DNS names, in order.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// IP address names, in order.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.ip_addresses
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {:?})", self.serial, self.uris)
    }
}

impl From<ShapeError> for CertificateError {
    fn from(error: ShapeError) -> Self {
        match error {
            ShapeError::Malformed => Self::Malformed,
            ShapeError::Version => Self::Version,
            ShapeError::Repeated => Self::RepeatedExtension,
        }
    }
}

fn instant(time: ASN1Time) -> Timestamp {
    Timestamp::from_unix_secs(time.timestamp())
}

fn ip_address(octets: &[u8]) -> Result<IpAddr, CertificateError> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4.or(v6).map_err(|_| CertificateError::Malformed)
}
