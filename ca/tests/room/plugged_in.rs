//! An authority that an operator put into a directory, and the chains that come from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use signet_ca::app::StartError;
use signet_identity::{Lifetime, Timestamp};
use signet_runtime::tasks::chain;
use signet_testkit::{TestCa, istio_layout, knobs};

use crate::lab::{HOUR, Lab, Setup, WEB, any_csr, certificates, now};

const FILES: [&str; 4] = ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"];

/// Settings for a server with `ca` plugged in and nothing kept of it, and the directory.
fn setup(ca: &TestCa) -> (Setup, PathBuf) {
    let setup = Setup::new().with("authority.state_dir", "'none'");
    let dir = setup.path("plugged");
    fs::create_dir(&dir).unwrap();
    istio_layout(&dir, ca);
    let quoted = format!("{:?}", dir.to_str().unwrap());
    (setup.with("authority.plugged_in_dir", &quoted), dir)
}

async fn start_error(setup: Setup) -> String {
    match setup.try_start().await {
        Err(error @ StartError::Authority(_)) => chain(&error),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("the server should not start"),
    }
}

/// What Istio's clients rely on, whatever the depth.
async fn check_chain_shape(lab: &Lab, dir: &Path) -> Vec<String> {
    let chain = lab.ask(&lab.token(), &any_csr(), 60).await.unwrap();
    let (roots, rest) = chain.split_last().unwrap();
    assert_eq!(*roots, fs::read_to_string(dir.join("root-cert.pem")).unwrap(), "roots are given as they are");
    for element in rest {
        assert_eq!(certificates(element).len(), 1);
        assert!(element.starts_with("-----BEGIN CERTIFICATE-----\n") && element.ends_with("-----\n"), "{element:?}");
        assert!(!element.ends_with("\n\n"));
    }
    let below: Vec<_> = rest.iter().flat_map(|pem| certificates(pem)).collect();
    assert_eq!(lab.bundle().verify(&below, lab.now()).unwrap().as_str(), WEB);
    chain
}

#[tokio::test]
async fn chains_of_every_depth_have_one_certificate_an_element_and_all_roots_in_the_last() {
    for depth in [0, 1, 3] {
        let root = TestCa::root("cluster.local");
        let ca = (0..depth).fold(root, |above, _| above.intermediate());
        let (setup, dir) = setup(&ca);
        let lab = setup.start().await;
        let chain = check_chain_shape(&lab, &dir).await;
        // The chain file holds the signing certificate, those above it, and the root.
        assert_eq!(chain.len(), 1 + depth + 1 + 1);
        let leaf = certificates(&chain[0]).remove(0);
        assert_eq!(leaf.issuer_der(), ca.certificate().subject_der());
        assert_eq!(leaf.authority_key_id(), ca.certificate().subject_key_id());
        assert!(leaf.authority_key_id().is_some());
    }
}

#[tokio::test]
async fn two_roots_stay_together_and_text_around_them_stays_where_it_is() {
    let (ca, other) = (TestCa::root("cluster.local").intermediate(), TestCa::root("cluster.local"));
    let (setup, dir) = setup(&ca);
    let roots = format!("# ours\n{}# theirs\n{}", ca.root_pem(), other.root_pem().trim_end());
    fs::write(dir.join("root-cert.pem"), &roots).unwrap();
    let lab = setup.start().await;
    let chain = check_chain_shape(&lab, &dir).await;
    assert_eq!(certificates(chain.last().unwrap()).len(), 2);
    assert!(!chain.last().unwrap().ends_with('\n'));
}

#[tokio::test]
async fn an_rsa_authority_signs_as_well() {
    let (setup, dir) = setup(&TestCa::rsa_root("cluster.local"));
    check_chain_shape(&setup.start().await, &dir).await;
}

#[tokio::test]
async fn a_signer_without_key_id_gives_leaves_without_authority_key_id() {
    let ca = TestCa::root_with("cluster.local", knobs::no_subject_key_id);
    let (setup, dir) = setup(&ca);
    let chain = check_chain_shape(&setup.start().await, &dir).await;
    assert_eq!(certificates(&chain[0])[0].authority_key_id(), None);
}

#[tokio::test]
async fn each_missing_file_stops_the_start_and_is_named() {
    for file in FILES {
        let (setup, dir) = setup(&TestCa::root("cluster.local").intermediate());
        fs::remove_file(dir.join(file)).unwrap();
        let error = start_error(setup).await;
        assert!(error.contains(&format!("lacks `{file}`")), "{error}");
    }
}

#[tokio::test]
async fn files_that_do_not_make_an_authority_stop_the_start() {
    let root = TestCa::root("cluster.local");
    let ca = root.intermediate();
    let stranger = TestCa::root("cluster.local");
    let no_ca = root.intermediate_with(knobs::not_ca);
    let narrow = root.intermediate_with(knobs::path_len(0)).intermediate();
    let cases: [(&TestCa, &str, String, &str); 9] = [
        (&ca, "ca-key.pem", stranger.key_pem(), "signing key does not belong to the signing certificate"),
        (&ca, "ca-key.pem", "garbage".to_owned(), "no PEM block found"),
        (&ca, "ca-cert.pem", ca.pem().replace("-----END", "END"), "PEM text is malformed"),
        (&ca, "ca-cert.pem", ca.key_pem(), "PEM block is not a CERTIFICATE"),
        (&ca, "cert-chain.pem", root.pem(), "would not be trusted"),
        (&ca, "root-cert.pem", stranger.pem(), "would not be trusted"),
        (&ca, "root-cert.pem", String::new(), "no PEM block found"),
        (&no_ca, "cert-chain.pem", no_ca.pem(), "signing certificate is not a CA certificate"),
        (&narrow, "cert-chain.pem", narrow.intermediates_pem(), "would not be trusted"),
    ];
    for (ca, file, content, wanted) in cases {
        let (setup, dir) = setup(ca);
        fs::write(dir.join(file), &content).unwrap();
        let error = start_error(setup).await;
        assert!(error.contains(wanted), "{file}: {error}");
    }
}

fn until(end: Timestamp) -> impl FnOnce(&mut rcgen::CertificateParams) {
    knobs::lifetime(Lifetime::new(now().minus(HOUR), end).unwrap())
}

#[tokio::test]
async fn a_signer_that_has_expired_stops_the_start() {
    let ca = TestCa::root("cluster.local").intermediate_with(until(now().minus(HOUR / 2)));
    let error = start_error(setup(&ca).0).await;
    assert!(error.contains("signing certificate expired at"), "{error}");
}

#[tokio::test]
async fn no_leaf_outlives_any_certificate_above_it() {
    let soon = now().plus(HOUR / 4).whole_secs();
    let short_root = TestCa::root_with("cluster.local", until(soon)).intermediate().intermediate();
    let short_middle = TestCa::root("cluster.local").intermediate_with(until(soon)).intermediate();
    let short_signer = TestCa::root("cluster.local").intermediate().intermediate_with(until(soon));
    for ca in [short_root, short_middle, short_signer] {
        let lab = setup(&ca).0.start().await;
        let chain = lab.ask(&lab.token(), &any_csr(), 86_400).await.unwrap();
        assert_eq!(certificates(&chain[0])[0].lifetime().not_after(), soon);
    }
}

#[tokio::test]
async fn the_layout_of_a_kubernetes_tls_secret_is_read_too() {
    let ca = TestCa::root("cluster.local").intermediate();
    let (setup, dir) = setup(&ca);
    FILES.iter().for_each(|file| fs::remove_file(dir.join(file)).unwrap());
    fs::write(dir.join("tls.crt"), ca.pem()).unwrap();
    fs::write(dir.join("tls.key"), ca.key_pem()).unwrap();
    fs::write(dir.join("ca.crt"), ca.root_pem()).unwrap();
    let lab = setup.start().await;
    let chain = lab.ask(&lab.token(), &any_csr(), 60).await.unwrap();
    assert_eq!(chain[1..], [ca.pem(), ca.root_pem(), ca.root_pem()]);
}

fn cacerts(dir: &Path, setup: Setup) -> Setup {
    setup.with("authority.cacerts_dir", &format!("{:?}", dir.to_str().unwrap()))
}

#[tokio::test]
async fn istios_directory_is_used_whole_ignored_when_empty_and_refused_in_part() {
    let dir = signet_testkit::temp_dir();
    let lab = cacerts(dir.path(), Setup::new()).start().await;
    assert_eq!(lab.issue().await.chain.len(), 2, "an empty directory means a root of our own");
    lab.stop().await;

    let ca = TestCa::root("cluster.local").intermediate();
    istio_layout(dir.path(), &ca);
    let setup = Setup::new();
    fs::create_dir(setup.path("plugged")).unwrap();
    fs::copy(dir.path().join("root-cert.pem"), setup.path("plugged/root-cert.pem")).unwrap();
    let lab = cacerts(dir.path(), setup).start().await;
    assert_eq!(lab.issue().await.leaf().issuer_der(), ca.certificate().subject_der());
    let mode = |name: &str| fs::metadata(lab.setup.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state"), mode("state/authority.pem")), (0o700, 0o600), "the key is kept for ourselves");

    fs::remove_file(dir.path().join("ca-key.pem")).unwrap();
    let error = start_error(cacerts(dir.path(), Setup::new())).await;
    assert!(error.contains("lacks `ca-key.pem`"), "{error}");
}

#[tokio::test]
async fn a_directory_whose_files_cannot_be_looked_at_never_leads_to_a_root_of_our_own() {
    let dir = signet_testkit::temp_dir();
    for name in FILES {
        std::os::unix::fs::symlink("not-mounted-yet", dir.path().join(name)).unwrap();
    }
    let error = start_error(cacerts(dir.path(), Setup::new())).await;
    assert!(error.contains("cannot open"), "{error}");
}
