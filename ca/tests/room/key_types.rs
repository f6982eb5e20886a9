//! Roots of other kinds of key than P-256: what is accepted, what is refused and why, and what comes of it.

use signet_ca::authority::RootKey;
use signet_identity::{KeyAlgorithm, PrivateKey};

use crate::config::{good, problems};
use crate::lab::{HOUR, Setup, WEB, certificates, csr_of};

#[test]
fn a_root_is_of_p_256_unless_p_384_is_asked_for_and_what_cannot_be_made_is_refused_with_the_reason() {
    assert_eq!(good("", &[], &[]).authority.root_key, RootKey::P256);
    for (word, key) in [("P-256", RootKey::P256), ("P-384", RootKey::P384)] {
        assert_eq!(good(&format!("[authority]\nkey_type = '{word}'"), &[], &[]).authority.root_key, key);
    }
    let refused = [
        ("RSA", "RSA keys are not made here: use `P-256` or `P-384`, or make the RSA authority elsewhere"),
        ("RSA-4096", "RSA keys are not made here"),
        ("Ed25519", "Envoy offers no Ed25519 in its handshakes"),
        ("p-384", "must be `P-256` or `P-384`"),
        ("", "must be `P-256` or `P-384`"),
    ];
    for (word, why) in refused {
        let told = problems(&format!("authority.key_type = '{word}'\n"), &[], &[]);
        assert!(told.iter().any(|problem| problem.contains("authority.key_type") && problem.contains(why)), "{told:?}");
    }
}

#[tokio::test]
async fn leaves_of_every_kind_of_key_are_signed_under_a_p_384_root_and_its_server_is_believed() {
    let lab = Setup::new().with("authority.key_type", "'P-384'").start().await;
    let root = certificates(&lab.roots_pem).remove(0);
    assert_eq!(root.public_key().algorithm(), KeyAlgorithm::EcP384);
    for key in [PrivateKey::generate_p256().unwrap(), PrivateKey::generate_p384().unwrap()] {
        let token = lab.setup.issuer.token("shop", "web", lab.now(), HOUR);
        // The handshake of this request has verified the server's certificate under that root.
        let chain = lab.ask(&token, &csr_of(&key), 3600).await.unwrap();
        let leaf = certificates(&chain[0]);
        assert_eq!(lab.bundle().verify(&leaf, lab.now()).unwrap().as_str(), WEB);
    }
}
