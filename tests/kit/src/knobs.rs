//! Ways to spoil a certificate, for [`crate::TestCa::root_with`], [`crate::TestCa::intermediate_with`] and
//! [`crate::LeafBuilder::with`]. Whatever is not here can be written as a closure over the encoder's parameters.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use signet_identity::Lifetime;
use time::OffsetDateTime;

const OID_BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const OID_KEY_USAGE: &[u64] = &[2, 5, 29, 15];

/// Makes it a CA certificate without a bound on the path below it.
pub fn ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

/// Takes the CA mark off, in so many words.
pub fn not_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::ExplicitNoCa;
}

/// Leaves basic constraints out.
pub fn no_basic_constraints(params: &mut CertificateParams) {
    params.is_ca = IsCa::NoCa;
}

/// Makes it a CA certificate with at most `max` CA certificates below it.
pub fn path_len(max: u8) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(max))
}

/// A CA certificate without a subject key identifier, as roots from before 2020 often are.
pub fn no_subject_key_id(params: &mut CertificateParams) {
    let is_ca_true = vec![0x30, 0x03, 0x01, 0x01, 0xff];
    params.is_ca = IsCa::NoCa;
    params.custom_extensions.push(critical(OID_BASIC_CONSTRAINTS, is_ca_true));
}

/// Leaves the authority key identifier out.
pub fn no_authority_key_id(params: &mut CertificateParams) {
    params.use_authority_key_identifier_extension = false;
}

/// Replaces the key usages; none at all leaves the extension out.
pub fn key_usages(usages: &[KeyUsagePurpose]) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.key_usages = usages.to_vec()
}

/// Adds `keyCertSign` to the key usages.
pub fn key_cert_sign(params: &mut CertificateParams) {
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
}

/// Adds `cRLSign` to the key usages.
pub fn crl_sign(params: &mut CertificateParams) {
    params.key_usages.push(KeyUsagePurpose::CrlSign);
}

/// Writes key usage (digital signature alone) as an extension that is not critical.
pub fn key_usage_not_critical(params: &mut CertificateParams) {
    params.key_usages.clear();
    params.custom_extensions.push(CustomExtension::from_oid_content(OID_KEY_USAGE, vec![0x03, 0x02, 0x07, 0x80]));
}

/// Replaces the extended key usages; none at all leaves the extension out.
pub fn extended_key_usages(usages: &[ExtendedKeyUsagePurpose]) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.extended_key_usages = usages.to_vec()
}

/// Takes every alternative name away.
pub fn no_names(params: &mut CertificateParams) {
    params.subject_alt_names.clear();
}

/// Adds a URI name, of whatever content.
///
/// # Panics
/// When `uri` is not ASCII.
pub fn add_uri(uri: &str) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.subject_alt_names.push(SanType::URI(ia5(uri)))
}

/// Adds a DNS name.
///
/// # Panics
/// When `name` is not ASCII.
pub fn add_dns(name: &str) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.subject_alt_names.push(SanType::DnsName(ia5(name)))
}

/// Replaces the validity.
pub fn lifetime(lifetime: Lifetime) -> impl FnOnce(&mut CertificateParams) {
    move |params| set_lifetime(params, lifetime)
}

/// Adds a critical extension of any content (DER).
pub fn add_critical_extension(oid: &[u64], value: Vec<u8>) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.custom_extensions.push(critical(oid, value))
}

pub(crate) fn set_lifetime(params: &mut CertificateParams, lifetime: Lifetime) {
    let date = |secs| OffsetDateTime::from_unix_timestamp(secs).expect("the instant should be a date");
    params.not_before = date(lifetime.not_before().unix_secs());
    params.not_after = date(lifetime.not_after().unix_secs());
}

pub(crate) fn ia5(text: &str) -> Ia5String {
    Ia5String::try_from(text).expect("the name should be ASCII")
}

fn critical(oid: &[u64], value: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, value);
    extension.set_criticality(true);
    extension
}
