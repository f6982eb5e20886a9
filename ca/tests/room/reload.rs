//! A plugged-in directory that changes while the server runs: taken as a whole and in stages, or not at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signet_identity::{Certificate, Lifetime, TrustBundle};
use signet_runtime::Clock;
use signet_testkit::{TestCa, istio_layout, knobs};

use crate::lab::{HOUR, Lab, Setup, certificates, eventually, now};

/// A server with `ca` plugged in, under which a root is known a minute after it was published.
async fn start(ca: &TestCa) -> (Lab, PathBuf) {
    start_by("authority.plugged_in_dir", Setup::new(), ca).await
}

/// The same by the setting `key`.
async fn start_by(key: &str, setup: Setup, ca: &TestCa) -> (Lab, PathBuf) {
    let setup = setup.with_clock(Clock::manual(now().unix_millis()));
    let dir = setup.path("plugged");
    fs::create_dir(&dir).unwrap();
    istio_layout(&dir, ca);
    let setup = setup
        .with(key, &format!("{:?}", dir.to_str().unwrap()))
        .with("authority.rotation.min_wait", "'0s'")
        .with("authority.rotation.deadline", "'60s'");
    (setup.start().await, dir)
}

async fn signer(lab: &Lab) -> Vec<u8> {
    lab.issue().await.leaf().issuer_der().to_vec()
}

async fn key_of_signer(lab: &Lab) -> Vec<u8> {
    lab.issue().await.leaf().authority_key_id().unwrap().to_vec()
}

fn key_of(ca: &TestCa) -> Vec<u8> {
    ca.certificate().subject_key_id().unwrap().to_vec()
}

async fn signs(lab: &Lab, ca: &TestCa) {
    let wanted = key_of(ca);
    eventually("the new files sign", async || key_of_signer(lab).await == wanted).await;
}

async fn roots(lab: &Lab) -> Vec<Certificate> {
    certificates(lab.issue().await.chain.last().unwrap())
}

async fn refused(lab: &Lab, reason: &str) {
    let series = format!("signet_ca_authority_reloads_total{{result=\"refused\",reason=\"{reason}\"}}");
    eventually(&format!("the files are refused as {reason}"), async || lab.metric(&series).await >= 1).await;
    assert_eq!(lab.metric("signet_ca_authority_directory_in_force").await, 0);
    let (status, said) = lab.get("/healthz/ready").await;
    assert_eq!(status, 200, "what was in force signs on: {said}");
    assert!(said.contains("authority: plugged-in files are not in force: "), "{said}");
}

#[tokio::test]
async fn a_new_intermediate_under_the_same_root_signs_at_once_however_the_files_were_replaced() {
    let root = TestCa::root("cluster.local");
    let first = root.intermediate();
    let (lab, dir) = start(&first).await;
    let before = lab.issue().await.chain;
    // In place.
    let second = root.intermediate();
    istio_layout(&dir, &second);
    signs(&lab, &second).await;
    let bundle = TrustBundle::new("cluster.local".parse().unwrap(), roots(&lab).await).unwrap();
    let old: Vec<_> = before[..2].iter().flat_map(|pem| certificates(pem)).collect();
    bundle.verify(&old, lab.now()).expect("what the old one signed is trusted on");
    // One file after the other, by rename.
    let third = root.intermediate();
    let beside = signet_testkit::temp_dir();
    istio_layout(beside.path(), &third);
    for name in ["ca-cert.pem", "cert-chain.pem", "root-cert.pem", "ca-key.pem"] {
        fs::copy(beside.path().join(name), dir.join("new")).unwrap();
        fs::rename(dir.join("new"), dir.join(name)).unwrap();
    }
    signs(&lab, &third).await;
    assert_eq!(lab.metric("signet_ca_authority_directory_in_force").await, 1);
}

#[tokio::test]
async fn a_secret_volume_that_kubernetes_swaps_is_followed() {
    let root = TestCa::root("cluster.local");
    let (lab, dir) = start(&root.intermediate()).await;
    for generation in 1..=3 {
        let next = root.intermediate();
        let data = dir.join(format!("..{generation}"));
        fs::create_dir(&data).unwrap();
        istio_layout(&data, &next);
        symlink(&data, dir.join("..data_tmp")).unwrap();
        fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
        for name in ["ca-cert.pem", "cert-chain.pem", "root-cert.pem", "ca-key.pem"] {
            let _ = fs::remove_file(dir.join(name));
            symlink(Path::new("..data").join(name), dir.join(name)).unwrap();
        }
        signs(&lab, &next).await;
    }
}

#[tokio::test]
async fn a_new_root_is_published_before_it_signs_and_the_old_one_stays() {
    for key in ["authority.plugged_in_dir", "authority.cacerts_dir"] {
        check_new_root(key).await;
    }
}

async fn check_new_root(key: &str) {
    let (old, new) = (TestCa::root("cluster.local").intermediate(), TestCa::root("cluster.local").intermediate());
    let (lab, dir) = start_by(key, Setup::new(), &old).await;
    istio_layout(&dir, &new);
    eventually("both roots are published", async || roots(&lab).await.len() == 2).await;
    assert_eq!(key_of_signer(&lab).await, key_of(&old), "the old one signs until the new root is known");
    // A restart in the middle goes on: the old key was kept.
    let lab = lab.stop().await.start().await;
    assert_eq!(key_of_signer(&lab).await, key_of(&old));
    lab.setup.clock.advance(Duration::from_secs(61));
    signs(&lab, &new).await;
    let published = roots(&lab).await;
    assert_eq!(published.len(), 2);
    assert_eq!(published[0].der(), new.root_der(), "the root that signs comes first");
}

#[tokio::test]
async fn half_a_set_and_a_mismatched_one_are_refused_as_a_whole_and_mended_ones_taken() {
    let root = TestCa::root("cluster.local");
    let first = root.intermediate();
    let (lab, dir) = start(&first).await;
    let before = signer(&lab).await;
    let next = root.intermediate();
    let key = fs::read(dir.join("ca-key.pem")).unwrap();

    fs::remove_file(dir.join("ca-key.pem")).unwrap();
    refused(&lab, "incomplete").await;
    let text = next.key_pem();
    fs::write(dir.join("ca-key.pem"), &text.as_bytes()[..text.len() / 2]).unwrap();
    refused(&lab, "key").await;
    fs::write(dir.join("ca-key.pem"), &text).unwrap();
    refused(&lab, "key_mismatch").await;
    let ended = Lifetime::new(lab.now().minus(2 * HOUR), lab.now().minus(HOUR)).unwrap();
    istio_layout(&dir, &root.intermediate_with(knobs::lifetime(ended)));
    refused(&lab, "expired").await;
    istio_layout(&dir, &next);
    fs::write(dir.join("root-cert.pem"), TestCa::root("cluster.local").pem()).unwrap();
    refused(&lab, "untrusted").await;
    assert_eq!((signer(&lab).await, key_of_signer(&lab).await), (before, key_of(&first)));

    // The old files again are in force again, without a change.
    istio_layout(&dir, &first);
    assert_eq!(fs::read(dir.join("ca-key.pem")).unwrap(), key);
    eventually("the directory is in force", async || lab.metric("signet_ca_authority_directory_in_force").await == 1)
        .await;
    assert_eq!(key_of_signer(&lab).await, key_of(&first));
    istio_layout(&dir, &next);
    signs(&lab, &next).await;
}

#[tokio::test]
async fn without_a_state_directory_a_change_of_roots_is_said_to_be_in_danger() {
    let (old, new) = (TestCa::root("cluster.local"), TestCa::root("cluster.local"));
    let setup = Setup::new().with("authority.state_dir", "'none'");
    let (lab, dir) = start_by("authority.plugged_in_dir", setup, &old).await;
    lab.wait_ready().await;
    assert!(!lab.get("/healthz/ready").await.1.contains("authority"), "nothing is under way");
    istio_layout(&dir, &new);
    let wanted =
        "authority: a restart would lose the change of roots that is under way: `authority.state_dir` is `none`";
    eventually("it is told", async || lab.get("/healthz/ready").await.1.contains(wanted)).await;
}

#[tokio::test]
async fn the_old_files_again_cancel_a_new_root_that_waits() {
    let (old, new) = (TestCa::root("cluster.local"), TestCa::root("cluster.local"));
    let (lab, dir) = start(&old).await;
    istio_layout(&dir, &new);
    eventually("both roots are published", async || roots(&lab).await.len() == 2).await;
    istio_layout(&dir, &old);
    eventually("one root is published", async || roots(&lab).await.len() == 1).await;
    let published = lab.metric("signet_ca_trust_bundle_generation").await;
    lab.setup.clock.advance(Duration::from_secs(90));
    let lab = lab.stop().await.start().await;
    assert_eq!(key_of_signer(&lab).await, key_of(&old));
    assert_eq!(lab.metric("signet_ca_trust_bundle_generation").await, published, "nothing was left to happen");
}
