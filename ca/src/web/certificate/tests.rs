//! Files that change, half and whole, while handshakes go on.

use std::fs;

use signet_runtime::Health;
use signet_testkit::{TempDir, TestCa, temp_dir};

use super::*;
use crate::metrics::Metrics;

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

struct Files {
    dir: TempDir,
    clock: Clock,
    health: Health,
}

impl Files {
    fn new() -> Self {
        Self { dir: temp_dir(), clock: Clock::manual(NOW.unix_millis()), health: Health::new() }
    }

    /// Writes certificate and key, and gives the certificate.
    fn write(&self, certificate: bool, key: bool) -> Vec<u8> {
        let lifetime = Lifetime::new(NOW, NOW.plus(Duration::from_secs(3600))).unwrap();
        let leaf = TestCa::root("cluster.local").intermediate().leaf("spiffe://cluster.local/x", lifetime).issue();
        let put = |name: &str, text: &str| fs::write(self.dir.path().join(name), text).unwrap();
        if certificate {
            put("tls.crt", &leaf.chain_pem());
        }
        if key {
            put("tls.key", &leaf.key().to_pem());
        }
        leaf.der().to_vec()
    }

    fn open(&self) -> Result<FileCertificate, CertificateError> {
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| self.dir.path().join(name));
        let metrics = Metrics::new().web();
        let (clock, health) = (self.clock.clone(), self.health.part("oidc"));
        FileCertificate::open(WebEndpoint::Oidc, certificate, key, clock, metrics, health)
    }
}

fn presented(files: &FileCertificate) -> Vec<Vec<u8>> {
    files.current.key.load().cert.iter().map(|der| der.to_vec()).collect()
}

#[test]
fn both_files_are_needed_from_the_start() {
    let files = Files::new();
    assert!(matches!(files.open().err(), Some(CertificateError::File(_))));
    files.write(true, false);
    assert!(matches!(files.open().err(), Some(CertificateError::File(_))));
    files.write(false, true);
    assert!(matches!(files.open().err(), Some(CertificateError::KeyMismatch { .. })));
    let der = files.write(true, true);
    let opened = files.open().unwrap();
    assert_eq!((presented(&opened).len(), &presented(&opened)[0]), (2, &der));
    fs::write(files.dir.path().join("tls.crt"), "").unwrap();
    assert!(matches!(files.open().err(), Some(CertificateError::Certificates { .. })));
}

#[test]
fn a_change_is_taken_up_once_it_is_whole_and_told_until_then() {
    let files = Files::new();
    let old = files.write(true, true);
    let mut opened = files.open().unwrap();
    opened.look();
    assert_eq!((&presented(&opened)[0], files.health.remarks()), (&old, vec![]));

    files.write(true, false);
    opened.look();
    assert_eq!(presented(&opened)[0], old, "half a change changes nothing");
    assert!(files.health.remarks()[0].1.contains("does not belong to the first certificate"));
    assert_eq!(files.health.reasons(), []);

    let new = files.write(true, true);
    opened.look();
    assert_eq!((&presented(&opened)[0], files.health.remarks()), (&new, vec![]));

    fs::remove_file(files.dir.path().join("tls.crt")).unwrap();
    opened.look();
    assert_eq!(presented(&opened)[0], new);
    assert!(files.health.remarks()[0].1.contains("cannot be read"));
}

#[test]
fn a_certificate_that_has_ended_is_told() {
    let files = Files::new();
    files.write(true, true);
    let mut opened = files.open().unwrap();
    files.clock.advance(Duration::from_secs(3601));
    opened.look();
    assert!(files.health.remarks()[0].1.contains("not valid now"));
}
