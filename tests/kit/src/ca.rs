//! Certificate authorities and leaves made on the spot by an encoder that Signet does not ship.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData, SanType, SubjectPublicKeyInfo,
};
use signet_identity::{Certificate, Lifetime, PrivateKey, PublicKey, Svid, Timestamp, TrustBundle, TrustDomain, pem};

use crate::{keys, knobs};

/// When the authorities made here begin to be valid: 2020-01-01.
const AUTHORITY_NOT_BEFORE: Timestamp = Timestamp::from_unix_secs(1_577_836_800);

/// When they end: 2090-01-01.
const AUTHORITY_NOT_AFTER: Timestamp = Timestamp::from_unix_secs(3_786_912_000);

/// A certificate authority, root or intermediate, with its key and the certificates above it.
pub struct TestCa {
    trust_domain: TrustDomain,
    params: CertificateParams,
    key: KeyPair,
    /// Its own certificate first, then those above it, the root last; one alone for a root.
    path: Vec<Vec<u8>>,
}

impl TestCa {
    /// A self-signed P-256 root, valid from 2020 to 2090, whose URI name is the trust domain.
    ///
    /// # Panics
    /// When `trust_domain` is not one.
    pub fn root(trust_domain: &str) -> Self {
        Self::root_with(trust_domain, |_| {})
    }

    /// The same root with an RSA-2048 key.
    ///
    /// # Panics
    /// When `trust_domain` is not one.
    pub fn rsa_root(trust_domain: &str) -> Self {
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&keys::rsa_2048_pkcs8().into(), &PKCS_RSA_SHA256)
            .expect("an RSA-2048 key should be accepted");
        Self::root_of(trust_domain, key, |_| {})
    }

    /// The same root with a P-384 key.
    ///
    /// # Panics
    /// When `trust_domain` is not one.
    pub fn p384_root(trust_domain: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a P-384 key should be made");
        Self::root_of(trust_domain, key, |_| {})
    }

    /// A root that `change` has altered (see [`crate::knobs`]).
    ///
    /// # Panics
    /// When `trust_domain` is not one, or the result cannot be encoded.
    pub fn root_with(trust_domain: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::root_of(trust_domain, new_key(), change)
    }

    fn root_of(trust_domain: &str, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let trust_domain: TrustDomain = trust_domain.parse().expect("the trust domain should be valid");
        let mut params = authority_params(&trust_domain, "root");
        change(&mut params);
        let certificate = params.self_signed(&key).expect("a root should be signed");
        Self { trust_domain, params, key, path: vec![certificate.der().to_vec()] }
    }

    /// An authority below this one.
    ///
    /// # Panics
    /// When it cannot be signed.
    pub fn intermediate(&self) -> Self {
        self.intermediate_with(|_| {})
    }

    /// An authority below this one that `change` has altered (see [`crate::knobs`]).
    ///
    /// # Panics
    /// When it cannot be signed.
    pub fn intermediate_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = new_key();
        let mut params = authority_params(&self.trust_domain, "intermediate");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.as_issuer()).expect("an intermediate should be signed");
        let path = std::iter::once(certificate.der().to_vec()).chain(self.path.iter().cloned()).collect();
        Self { trust_domain: self.trust_domain.clone(), params, key, path }
    }

    /// A leaf below this authority as X509-SVID wants it, with `uri` as its one name and a fresh P-256 key. Alter it
    /// before [`LeafBuilder::issue`].
    ///
    /// # Panics
    /// When `uri` is not ASCII.
    pub fn leaf(&self, uri: &str, lifetime: Lifetime) -> LeafBuilder<'_> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(knobs::ia5(uri))];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(new_serial().into());
        knobs::set_lifetime(&mut params, lifetime);
        LeafBuilder { ca: self, params, key: LeafKey::Private(Box::new(new_key())) }
    }

    /// The trust domain it was made for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Its own certificate.
    ///
    /// # Panics
    /// When Signet refuses it.
    pub fn certificate(&self) -> Certificate {
        parse(self.der())
    }

    /// Its own certificate as DER.
    pub fn der(&self) -> &[u8] {
        self.path.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// Its own certificate as PEM.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", self.der())
    }

    /// Its own certificate and those above it as DER, from below, without the root; none for a root.
    pub fn intermediates_der(&self) -> &[Vec<u8>] {
        self.path.split_last().map(|(_, below)| below).unwrap_or_default()
    }

    /// Its own certificate and those above it as PEM, from below, without the root; empty for a root.
    pub fn intermediates_pem(&self) -> String {
        self.intermediates_der().iter().map(|der| pem::encode("CERTIFICATE", der)).collect()
    }

    /// The root above it, or itself, as DER.
    pub fn root_der(&self) -> &[u8] {
        self.path.last().map(Vec::as_slice).unwrap_or_default()
    }

    /// The root above it, or itself, as PEM.
    pub fn root_pem(&self) -> String {
        pem::encode("CERTIFICATE", self.root_der())
    }

    /// The bundle that holds this authority's root alone.
    ///
    /// # Panics
    /// When Signet refuses the root.
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::new(self.trust_domain.clone(), vec![parse(self.root_der())]).expect("the root should be accepted")
    }

    /// Its private key.
    ///
    /// # Panics
    /// When Signet refuses it.
    pub fn key(&self) -> PrivateKey {
        PrivateKey::from_pkcs8(self.key.serialize_der().into()).expect("the key should be accepted")
    }

    /// Its private key as PEM (PKCS#8).
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    fn as_issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// A leaf that is not signed yet.
pub struct LeafBuilder<'a> {
    ca: &'a TestCa,
    params: CertificateParams,
    key: LeafKey,
}

enum LeafKey {
    Private(Box<KeyPair>),
    Public(SubjectPublicKeyInfo),
}

impl LeafBuilder<'_> {
    /// Alters it (see [`crate::knobs`]).
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// Issues it for somebody else's key, for instance a request's.
    ///
    /// # Panics
    /// When the encoder does not know the key's kind.
    #[must_use]
    pub fn for_key(self, key: &PublicKey) -> Self {
        self.for_spki(key.spki_der())
    }

    /// Issues it for any SubjectPublicKeyInfo (DER) that the encoder can copy, one that Signet refuses included.
    ///
    /// # Panics
    /// When the encoder does not know the key's kind.
    #[must_use]
    pub fn for_spki(mut self, der: &[u8]) -> Self {
        self.key = LeafKey::Public(SubjectPublicKeyInfo::from_der(der).expect("the encoder should know this key"));
        self
    }

    /// Issues it for a key pair of the encoder's.
    #[must_use]
    pub fn with_key_pair(mut self, key: KeyPair) -> Self {
        self.key = LeafKey::Private(Box::new(key));
        self
    }

    /// Signs it.
    ///
    /// # Panics
    /// When it cannot be encoded.
    pub fn issue(self) -> IssuedLeaf {
        let der = match &self.key {
            LeafKey::Private(key) => self.sign(key.as_ref()),
            LeafKey::Public(key) => self.sign(key),
        };
        let key = match self.key {
            LeafKey::Private(key) => Some(key.serialize_der()),
            LeafKey::Public(_) => None,
        };
        let path = std::iter::once(der).chain(self.ca.intermediates_der().iter().cloned()).collect();
        IssuedLeaf { path, key }
    }

    fn sign(&self, key: &impl PublicKeyData) -> Vec<u8> {
        self.params.signed_by(key, &self.ca.as_issuer()).expect("a leaf should be signed").der().to_vec()
    }
}

/// A leaf, the intermediates above it, and its key where it was made here.
pub struct IssuedLeaf {
    /// The leaf first, no root.
    path: Vec<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl IssuedLeaf {
    /// The leaf as DER.
    pub fn der(&self) -> &[u8] {
        self.path.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// The leaf.
    ///
    /// # Panics
    /// When Signet refuses it.
    pub fn certificate(&self) -> Certificate {
        parse(self.der())
    }

    /// The leaf and the intermediates above it.
    ///
    /// # Panics
    /// When Signet refuses one of them.
    pub fn chain(&self) -> Vec<Certificate> {
        self.path.iter().map(|der| parse(der)).collect()
    }

    /// The leaf as PEM.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", self.der())
    }

    /// The leaf and the intermediates above it as PEM.
    pub fn chain_pem(&self) -> String {
        self.path.iter().map(|der| pem::encode("CERTIFICATE", der)).collect()
    }

    /// The leaf's private key.
    ///
    /// # Panics
    /// When the leaf was issued for somebody else's key, or Signet refuses the key.
    pub fn key(&self) -> PrivateKey {
        let key = self.key.clone().expect("the leaf's key should have been made here");
        PrivateKey::from_pkcs8(key.into()).expect("the key should be accepted")
    }

    /// Chain and key as an SVID.
    ///
    /// # Panics
    /// As [`IssuedLeaf::chain`] and [`IssuedLeaf::key`], and when Signet refuses the whole.
    pub fn svid(&self) -> Svid {
        Svid::new(self.chain(), self.key()).expect("chain and key should make an SVID")
    }
}

fn parse(der: &[u8]) -> Certificate {
    Certificate::from_der(der).expect("the certificate should be accepted")
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a P-256 key should be made")
}

/// A positive serial of 16 octets. Without one the encoder derives it from the key, the same at each renewal.
fn new_serial() -> Vec<u8> {
    let bits: u128 = rand::random();
    ((bits >> 2) | (1 << 126)).to_be_bytes().to_vec()
}

fn authority_params(trust_domain: &TrustDomain, role: &str) -> CertificateParams {
    let serial = new_serial();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, trust_domain.as_str());
    // Two authorities of one name would make path building a matter of luck.
    let name: String = serial.iter().take(4).map(|octet| format!("{octet:02x}")).collect();
    params.distinguished_name.push(DnType::CommonName, format!("test {role} {name}"));
    params.subject_alt_names = vec![SanType::URI(knobs::ia5(trust_domain.id().as_str()))];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = role != "root";
    params.serial_number = Some(serial.into());
    let lifetime = Lifetime::new(AUTHORITY_NOT_BEFORE, AUTHORITY_NOT_AFTER).expect("2020 comes before 2090");
    knobs::set_lifetime(&mut params, lifetime);
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);
    const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

    fn hour() -> Lifetime {
        Lifetime::new(NOW, NOW.plus(Duration::from_secs(3600))).unwrap()
    }

    #[test]
    fn a_leaf_is_trusted_through_any_number_of_intermediates() {
        let root = TestCa::root("cluster.local");
        let lower = root.intermediate().intermediate();
        for (ca, certificates) in [(&root, 1), (&lower, 3)] {
            let svid = ca.leaf(WEB, hour()).issue().svid();
            assert_eq!(svid.chain().count(), certificates);
            assert_eq!(root.bundle().verify(svid.chain(), NOW).unwrap().as_str(), WEB);
        }
    }

    #[test]
    fn an_rsa_root_signs_for_anybodys_key() {
        let root = TestCa::rsa_root("cluster.local");
        let key = PrivateKey::generate_p384().unwrap();
        let leaf = root.leaf(WEB, hour()).for_key(key.public()).issue();
        assert_eq!(leaf.certificate().public_key(), key.public());
        assert_eq!(root.bundle().verify(&leaf.chain(), NOW).unwrap().as_str(), WEB);
    }

    #[test]
    fn knobs_show_in_the_certificate() {
        let root = TestCa::root_with("cluster.local", knobs::no_subject_key_id);
        assert!(root.certificate().is_ca());
        assert_eq!(root.certificate().subject_key_id(), None);
        let leaf = root.leaf(WEB, hour()).with(knobs::add_uri("https://example.org")).with(knobs::key_cert_sign);
        let leaf = leaf.issue().certificate();
        assert_eq!(leaf.uris().len(), 2);
        assert!(leaf.key_usage().unwrap().key_cert_sign);
    }
}
