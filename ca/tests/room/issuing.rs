//! What a good request gets.

use signet_identity::PrivateKey;
use signet_testkit::keys;

use crate::lab::{Lab, WEB, csr_of};

#[tokio::test]
async fn a_good_request_gets_a_chain_that_its_roots_trust() {
    let lab = Lab::start().await;
    let issued = lab.issue().await;
    assert_eq!(issued.chain.len(), 2);
    assert_eq!(issued.chain[1], lab.roots_pem);
    let svid = issued.svid();
    assert_eq!(lab.bundle().verify(svid.chain(), lab.now()).unwrap().as_str(), WEB);
    lab.stop().await;
}

#[tokio::test]
async fn keys_of_every_accepted_kind_are_certified_as_they_came() {
    let lab = Lab::start().await;
    let keys = [PrivateKey::generate_p256().unwrap(), PrivateKey::generate_p384().unwrap(), keys::rsa_2048()];
    for key in keys {
        let chain = lab.ask(&lab.token(), &csr_of(&key), 60).await.unwrap();
        let leaf = crate::lab::certificates(&chain[0]).remove(0);
        assert_eq!(leaf.public_key().spki_der(), key.public().spki_der());
    }
    assert_eq!(lab.metric("citadel_server_success_cert_issuance_count").await, 3);
}
