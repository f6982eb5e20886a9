//! What is published, as messages of the Workload API: DER, one certificate behind the other, leaf first, no roots among
//! them. Pure.

use signet_identity::{Certificate, Svid, TrustBundle};
use signet_proto::workload_api::{X509BundlesResponse, X509svid, X509svidResponse};

/// The one identity, and whom it may trust.
pub(super) fn svid(svid: &Svid, bundle: &TrustBundle) -> X509svidResponse {
    let svid = X509svid {
        spiffe_id: svid.id().as_str().to_owned(),
        x509_svid: joined(svid.chain()),
        x509_svid_key: svid.key().to_pkcs8().to_vec(),
        bundle: joined(bundle.roots()),
        hint: String::new(),
    };
    X509svidResponse { svids: vec![svid], ..X509svidResponse::default() }
}

/// The one bundle.
pub(super) fn bundles(bundle: &TrustBundle) -> X509BundlesResponse {
    let name = bundle.trust_domain().id().as_str().to_owned();
    X509BundlesResponse { bundles: [(name, joined(bundle.roots()))].into(), ..X509BundlesResponse::default() }
}

fn joined<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> Vec<u8> {
    certificates.into_iter().flat_map(|certificate| certificate.der().iter().copied()).collect()
}
