//! Roots of our own of each kind of key, and the change from one kind to another.

use signet_identity::{KeyAlgorithm, SignatureAlgorithm};

use super::*;

/// A world that keeps its generations in a directory, and one that keeps them in what replicas share.
fn worlds() -> [World; 2] {
    [World::new(), World::shared()]
}

#[test]
fn a_root_has_the_kind_of_key_that_was_asked_for() {
    let kinds = [
        (RootKey::P256, KeyAlgorithm::EcP256, SignatureAlgorithm::EcdsaP256Sha256),
        (RootKey::P384, KeyAlgorithm::EcP384, SignatureAlgorithm::EcdsaP384Sha384),
    ];
    for (root_key, key, signature) in kinds {
        for world in worlds() {
            let mut world = World { root_key, ..world };
            world.restart();
            assert_eq!(world.authority().certificate().public_key().algorithm(), key);
            assert_eq!(world.authority().algorithm(), signature);
            world.give_and_judge();
            world.restart();
            assert_eq!(world.authority().certificate().public_key().algorithm(), key, "it was kept as it is");
        }
    }
}

#[test]
fn another_kind_of_key_is_taken_at_the_next_prepare_and_no_leaf_is_lost_over_it() {
    let changes =
        [(RootKey::P256, RootKey::P384, KeyAlgorithm::EcP384), (RootKey::P384, RootKey::P256, KeyAlgorithm::EcP256)];
    for (before, after, kind) in changes {
        for world in worlds() {
            let mut world = World { root_key: before, ..world };
            world.restart();
            world.give_and_judge();
            let first = world.authority().certificate().public_key().clone();
            world.root_key = after;
            world.restart();
            assert_eq!(world.authority().certificate().public_key(), &first, "what signs is not touched");
            world.wish(Wish::Prepare).unwrap();
            world.pass(3 * HOUR, TICK);
            world.wish(Wish::Activate { id: 2, readiness: Readiness::Now }).unwrap();
            world.give_and_judge();
            assert_eq!(world.authority().certificate().public_key().algorithm(), kind);
            world.pass(LEAF_MAX, TICK);
        }
    }
}
