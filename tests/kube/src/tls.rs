//! The certificate that the server shows, under a root made for it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// Names that clients reach an API server under.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "kubernetes.default.svc"];

pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) ca_pem: String,
}

impl Tls {
    pub(crate) fn new() -> Self {
        let ca_key = KeyPair::generate().expect("a key should be made");
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "kubernetes-ca");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = ca.self_signed(&ca_key).expect("a root should be signed");

        let key = KeyPair::generate().expect("a key should be made");
        let leaf = CertificateParams::new(NAMES.map(str::to_owned)).expect("the names should be good");
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a leaf should be signed");

        let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider should know the protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], pkcs8)
            .expect("key and certificate should fit");
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: root.pem() }
    }
}
