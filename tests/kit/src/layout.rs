//! Directories as operators lay them out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::TestCa;

/// Writes `ca` into `dir` as an operator plugs a CA into Istio: `ca-cert.pem`, `ca-key.pem` (0600), `cert-chain.pem`
/// (the signing certificate, those above it, and the root) and `root-cert.pem`.
///
/// # Panics
/// When the directory is not writable.
pub fn istio_layout(dir: &Path, ca: &TestCa) {
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).expect("the directory should be writable");
        path
    };
    write("ca-cert.pem", &ca.pem());
    write("cert-chain.pem", &format!("{}{}", ca.intermediates_pem(), ca.root_pem()));
    write("root-cert.pem", &ca.root_pem());
    let key = write("ca-key.pem", &ca.key_pem());
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).expect("the key file should be ours");
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_identity::{Certificate, PrivateKey};

    #[test]
    fn the_plugged_in_directory_holds_a_key_that_belongs_to_its_certificate() {
        let dir = crate::temp_dir();
        let ca = TestCa::root("cluster.local").intermediate();
        istio_layout(dir.path(), &ca);
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        let certificates = |name: &str| Certificate::list_from_pem(&read(name), 1 << 20).unwrap();
        let key = PrivateKey::from_pem(&read("ca-key.pem")).unwrap();
        assert_eq!(certificates("ca-cert.pem")[0].public_key(), key.public());
        assert_eq!(certificates("cert-chain.pem").len(), 2);
        assert_eq!(certificates("root-cert.pem")[0].der(), ca.root_der());
    }
}
