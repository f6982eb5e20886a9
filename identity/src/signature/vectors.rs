//! Project Wycheproof's vectors against every path on which Signet believes a signature: X.509's, and JWS's.
//!
//! A vector marked acceptable may go either way; a valid one must verify and an invalid one must not.

use wycheproof::TestResult;
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify as rsa};

use crate::jwk::{self, JwkSet};
use crate::jws::Algorithm;
use crate::{PublicKey, SignatureAlgorithm};

/// Vectors judged, by what they must be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    valid: usize,
    invalid: usize,
}

impl Tally {
    fn judge(&mut self, what: &str, result: TestResult, verified: bool) {
        match result {
            TestResult::Valid => {
                self.valid += 1;
                assert!(verified, "{what} should verify");
            }
            TestResult::Invalid => {
                self.invalid += 1;
                assert!(!verified, "{what} should not verify");
            }
            TestResult::Acceptable => {}
        }
    }

    /// A set without both kinds shows nothing.
    fn finish(self) {
        assert!(self.valid > 20 && self.invalid > 20, "{self:?}");
    }
}

/// Walks one set of one kind; the closure says whether a vector of a group verifies.
macro_rules! check {
    ($kind:ident, $name:expr, |$group:ident, $test:ident| $verifies:expr) => {{
        let set = $kind::TestSet::load($name).expect("the vectors should load");
        let mut tally = Tally::default();
        for $group in &set.test_groups {
            for $test in &$group.tests {
                let what = format!("{:?} {} ({})", $name, $test.tc_id, $test.comment);
                tally.judge(&what, $test.result, $verifies);
            }
        }
        tally.finish();
    }};
}

fn x509(spki: &[u8], algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
    PublicKey::from_spki_der(spki).is_ok_and(|key| key.verify(algorithm, message, signature))
}

fn jws(spki: &[u8], algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let key = PublicKey::from_spki_der(spki).ok().and_then(|key| jwk::to_json(&key, "k"));
    let Some(mut key) = key else { return false };
    // RSA keys are published for RS256; the vectors use them with other digests too.
    key.as_object_mut().unwrap().remove("alg");
    let Ok(set) = JwkSet::from_json(serde_json::json!({ "keys": [key] }).to_string().as_bytes()) else { return false };
    set.verify(Some("k"), algorithm, message, signature) == Some(true)
}

#[test]
fn ecdsa_signatures_in_certificates_are_believed_as_wycheproof_says() {
    let p256 = SignatureAlgorithm::EcdsaP256Sha256;
    check!(ecdsa, ecdsa::TestName::EcdsaSecp256r1Sha256, |group, test| {
        x509(&group.der, p256, &test.msg, &test.sig)
    });
    let p384 = SignatureAlgorithm::EcdsaP384Sha384;
    check!(ecdsa, ecdsa::TestName::EcdsaSecp384r1Sha384, |group, test| {
        x509(&group.der, p384, &test.msg, &test.sig)
    });
}

#[test]
fn ecdsa_signatures_of_tokens_are_believed_as_wycheproof_says() {
    check!(ecdsa, ecdsa::TestName::EcdsaSecp256r1Sha256P1363, |group, test| {
        jws(&group.der, Algorithm::Es256, &test.msg, &test.sig)
    });
    check!(ecdsa, ecdsa::TestName::EcdsaSecp384r1Sha384P1363, |group, test| {
        jws(&group.der, Algorithm::Es384, &test.msg, &test.sig)
    });
}

#[test]
fn rsa_signatures_are_believed_as_wycheproof_says_in_certificates_and_tokens() {
    use rsa::TestName::{
        Rsa2048Sha256, Rsa2048Sha384, Rsa2048Sha512, Rsa3072Sha256, Rsa3072Sha384, Rsa3072Sha512, Rsa4096Sha256,
        Rsa4096Sha384, Rsa4096Sha512,
    };
    let sha256 = (SignatureAlgorithm::RsaSha256, Algorithm::Rs256, [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256]);
    let sha384 = (SignatureAlgorithm::RsaSha384, Algorithm::Rs384, [Rsa2048Sha384, Rsa3072Sha384, Rsa4096Sha384]);
    let sha512 = (SignatureAlgorithm::RsaSha512, Algorithm::Rs512, [Rsa2048Sha512, Rsa3072Sha512, Rsa4096Sha512]);
    for (in_x509, in_jws, names) in [sha256, sha384, sha512] {
        for name in names {
            let set = rsa::TestSet::load(name).expect("the vectors should load");
            let mut tally = Tally::default();
            // Keys outside the policy (an exponent of 3) are refused before any signature is looked at.
            for group in set.test_groups.iter().filter(|group| PublicKey::from_spki_der(&group.der).is_ok()) {
                for test in &group.tests {
                    let what = format!("{name:?} {} ({})", test.tc_id, test.comment);
                    tally.judge(&what, test.result, x509(&group.der, in_x509, &test.msg, &test.sig));
                    tally.judge(&what, test.result, jws(&group.der, in_jws, &test.msg, &test.sig));
                }
            }
            assert!(tally.valid > 0 && tally.invalid > 100, "{name:?}: {tally:?}");
        }
    }
}

#[test]
fn ed25519_signatures_are_believed_as_wycheproof_says() {
    let ed25519 = SignatureAlgorithm::Ed25519;
    check!(eddsa, eddsa::TestName::Ed25519, |group, test| x509(&group.der, ed25519, &test.msg, &test.sig));
}
