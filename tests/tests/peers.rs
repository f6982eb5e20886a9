//! What others make of what we issue: OpenSSL's path validation, a PKIX linter, and a SPIFFE library.

#![cfg(test)]

use std::path::PathBuf;
use std::time::Duration;

use signet_identity::Certificate;
use signet_testkit::{TestCa, istio_layout};
use signet_tests::mesh::{Ca, Workload};
use signet_tests::{Workdir, tools};

/// Findings that `docs/decisions/` explains. Any other is a failure.
const EXPLAINED: &[&str] =
    &["pkix.key_usage_value_prohibited_for_ec", "pkix.certificate_skid_end_entity_missing", "pkix.invalid_uri_syntax"];

struct Issued {
    chain: PathBuf,
    leaf: PathBuf,
    roots: PathBuf,
    workload: Workload,
    _ca: Ca,
}

/// Issues one identity through the real daemons and leaves its files.
fn issue(workdir: &Workdir, mut ca: Ca, roots: &signet_identity::TrustBundle) -> Issued {
    ca.start_ready();
    let mut workload = Workload::new(workdir, &ca, "shop", "web", Duration::from_secs(3600));
    workload.trust(roots);
    workload.start_ready();
    let certs = workload.certs();
    let chain = certs.join("cert-chain.pem");
    let text = std::fs::read(&chain).unwrap();
    let leaf = Certificate::list_from_pem(&text, 100_000).unwrap().remove(0);
    let leaf = workdir.write("leaf.pem", leaf.to_pem());
    Issued { chain, leaf, roots: certs.join("root-cert.pem"), workload, _ca: ca }
}

fn self_signed(workdir: &Workdir) -> Issued {
    under_own_root(workdir, Ca::self_signed(workdir))
}

fn under_own_root(workdir: &Workdir, mut ca: Ca) -> Issued {
    ca.start_ready();
    let roots = ca.roots();
    ca.kill();
    issue(workdir, ca, &roots)
}

fn under_two_intermediates(workdir: &Workdir) -> Issued {
    let root = TestCa::root("cluster.local");
    let signer = root.intermediate().intermediate();
    let dir = workdir.join("plugged");
    std::fs::create_dir_all(&dir).unwrap();
    istio_layout(&dir, &signer);
    issue(workdir, Ca::plugged_in(workdir, &dir), &signer.bundle())
}

#[test]
fn openssl_verifies_a_leaf_under_our_own_root() {
    let workdir = Workdir::new();
    let issued = self_signed(&workdir);
    assert_eq!(tools::openssl_verify(&issued.chain, &issued.roots), Ok(()));
}

#[test]
fn openssl_verifies_a_leaf_under_our_own_root_of_every_kind_of_key() {
    for key_type in ["P-256", "P-384"] {
        let workdir = Workdir::new();
        // The agent's TLS library has verified the CA's own chain by then.
        let issued = under_own_root(&workdir, Ca::with_key_type(&workdir, key_type));
        let root = Certificate::list_from_pem(&std::fs::read(&issued.roots).unwrap(), 100_000).unwrap().remove(0);
        assert_eq!(root.public_key().algorithm().to_string(), key_type);
        assert_eq!(tools::openssl_verify(&issued.chain, &issued.roots), Ok(()), "{key_type}");
    }
}

#[test]
fn openssl_verifies_a_leaf_under_two_plugged_in_intermediates() {
    let workdir = Workdir::new();
    let issued = under_two_intermediates(&workdir);
    assert_eq!(tools::openssl_verify(&issued.chain, &issued.roots), Ok(()));
}

#[test]
fn openssl_refuses_the_same_leaf_under_another_root() {
    let workdir = Workdir::new();
    let issued = self_signed(&workdir);
    let stranger = workdir.write("stranger.pem", TestCa::root("cluster.local").root_pem());
    assert!(tools::openssl_verify(&issued.chain, &stranger).is_err());
}

#[test]
fn a_pkix_linter_finds_nothing_in_leaf_root_and_their_pair_that_is_not_explained() {
    let workdir = Workdir::new();
    let issued = self_signed(&workdir);
    let findings =
        [tools::lint(&issued.leaf), tools::lint(&issued.roots), tools::lint_pair(&issued.roots, &issued.leaf)];
    let unexplained: Vec<_> =
        findings.iter().flatten().filter(|finding| !EXPLAINED.iter().any(|known| finding.contains(known))).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}

#[test]
fn a_spiffe_library_accepts_chain_key_and_bundle() {
    let workdir = Workdir::new();
    for issued in [self_signed(&workdir), under_two_intermediates(&Workdir::new())] {
        let read = |path: &PathBuf| std::fs::read(path).unwrap();
        let certificates = |path: &PathBuf| Certificate::list_from_pem(&read(path), 100_000).unwrap();
        let chain: Vec<u8> = certificates(&issued.chain).iter().flat_map(|c| c.der().to_vec()).collect();
        let key = signet_identity::PrivateKey::from_pem(&read(&issued.workload.certs().join("key.pem"))).unwrap();
        let svid = spiffe::X509Svid::parse_from_der(&chain, &key.to_pkcs8()).unwrap();
        assert_eq!(svid.spiffe_id().to_string(), issued.workload.id());

        let roots: Vec<u8> = certificates(&issued.roots).iter().flat_map(|c| c.der().to_vec()).collect();
        let domain = spiffe::TrustDomain::new("cluster.local").unwrap();
        let bundle = spiffe::X509Bundle::parse_from_der(domain, &roots).unwrap();
        assert_eq!(bundle.authorities().len(), 1);
    }
}
