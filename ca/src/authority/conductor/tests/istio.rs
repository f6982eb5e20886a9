//! What stands under Istio's keys before there is a journal: adopted whole, or refused whole; never written over.

use signet_testkit::{TestCa, istio_layout, knobs};

use super::replicas::conductor_on;
use super::*;
use crate::shared::{Entries, SharedError};

fn life() -> Lifetime {
    Lifetime::new(start().minus(HOUR), start().plus(4000 * DAY)).unwrap()
}

fn root() -> TestCa {
    TestCa::root_with("cluster.local", knobs::lifetime(life()))
}

fn entries(texts: &[(&str, String)]) -> Entries {
    texts.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into_bytes().into())).collect()
}

/// What Istio keeps of a root of its own, which publishes `roots`.
fn istios(root: &TestCa, roots: String) -> Entries {
    entries(&[
        ("ca-cert.pem", root.pem()),
        ("ca-key.pem", root.key_pem()),
        ("root-cert.pem", roots),
        ("key.pem", "".into()),
    ])
}

/// With `plugged` in a directory, where only what is plugged in may sign.
fn plugged_in(fake: &Arc<Fake>, plugged: &TestCa) -> (Conductor, TempDir) {
    let files = memory_dir();
    istio_layout(files.path(), plugged);
    let store = Box::new(SecretStore::new(fake.seat(), trust_domain(), start(), IMPATIENCE));
    let directory = Some(Directory::new(files.path(), Keys::Beside));
    (Conductor::new(store, trust_domain(), policy(), None, directory), files)
}

#[test]
fn an_intermediate_under_istios_keys_is_not_taken_for_a_root() {
    let signer = root().intermediate_with(knobs::lifetime(life()));
    let files = memory_dir();
    istio_layout(files.path(), &signer);
    let names = ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"];
    let read = |name: &'static str| (name, std::fs::read_to_string(files.path().join(name)).unwrap());
    let there = entries(&names.map(read));
    let fake = Arc::new(Fake::default());
    fake.put(Some(there.clone()));
    let error = conductor_on(fake.seat(), start()).start(start()).unwrap_err();
    assert!(matches!(error, AuthorityError::SelfSigned(StateError::NotRoot { .. })), "{error:?}");
    assert!(chain(&error).contains("ca-cert.pem` is an intermediate"), "{}", chain(&error));
    assert_eq!(fake.snapshot().unwrap().entries, there);
}

#[test]
fn every_root_that_istio_publishes_is_published_on_and_its_key_signs() {
    let (now, before) = (root(), root());
    // After a rotation by Istio the file of roots holds those from before it.
    for roots in [format!("{}{}", now.pem(), before.pem()), before.pem()] {
        let fake = Arc::new(Fake::default());
        fake.put(Some(istios(&now, roots)));
        let mut world = World { shared: Some(fake), ..World::new() };
        world.restart();
        let authority = world.authority();
        assert_eq!(authority.certificate(), &now.certificate());
        let published: Vec<_> = authority.roots().roots().to_vec();
        assert_eq!(published, [now.certificate().clone(), before.certificate().clone()]);
        assert_eq!(world.roots_file().roots(), published);
        world.restart();
        assert_eq!(world.authority().roots().roots(), published, "it is written down so");
        world.wish(Wish::Prepare).unwrap();
        world.wish(Wish::Activate { id: 2, readiness: Readiness::Whatever }).unwrap();
        world.restart();
        assert_eq!(world.authority().roots().roots().len(), 3);
        world.wish(Wish::Activate { id: 1, readiness: Readiness::Whatever }).unwrap();
        assert_eq!(world.authority().certificate(), &now.certificate(), "it can be gone back to");
    }
}

#[test]
fn a_key_of_istios_is_not_written_over_by_what_is_plugged_in() {
    let (istio, plugged) = (root(), root());
    let fake = Arc::new(Fake::default());
    let there = istios(&istio, istio.pem());
    fake.put(Some(there.clone()));
    let (mut conductor, _files) = plugged_in(&fake, &plugged);
    let error = conductor.start(start()).unwrap_err();
    assert!(matches!(error, AuthorityError::SelfSigned(StateError::AnotherAuthority { .. })), "{error:?}");
    assert_eq!(fake.snapshot().unwrap().entries, there);
    // As the message says: it is adopted first, and then followed.
    conductor_on(fake.seat(), start()).start(start()).unwrap();
    let (mut conductor, _files) = plugged_in(&fake, &plugged);
    let authority = conductor.start(start()).unwrap();
    assert_eq!(authority.certificate(), &istio.certificate());
    assert_eq!(authority.roots().roots().len(), 2, "both are published");
    let key = istio.key_pem();
    assert!(fake.snapshot().unwrap().entries.values().any(|text| text.as_slice() == key.as_bytes()));
}

#[test]
fn what_is_plugged_in_may_stand_under_istios_keys_already() {
    let plugged = root().intermediate_with(knobs::lifetime(life()));
    let files = memory_dir();
    istio_layout(files.path(), &plugged);
    let read = |name: &'static str| (name, std::fs::read_to_string(files.path().join(name)).unwrap());
    let names = ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"];
    let fake = Arc::new(Fake::default());
    fake.put(Some(entries(&names.map(read))));
    let (mut conductor, _files) = plugged_in(&fake, &plugged);
    assert_eq!(conductor.start(start()).unwrap().certificate(), &plugged.certificate());
}

#[test]
fn roots_that_are_published_already_must_be_among_those_that_are_plugged_in() {
    let (plugged, other) = (root().intermediate_with(knobs::lifetime(life())), root());
    let check = |published: String, is_fine: bool| {
        let fake = Arc::new(Fake::default());
        *fake.witness.lock().unwrap() = Some(published.clone());
        let (mut conductor, _files) = plugged_in(&fake, &plugged);
        match conductor.start(start()) {
            Ok(authority) => assert!(is_fine && *authority.certificate() == plugged.certificate(), "{published}"),
            Err(error) => {
                let is_lost = matches!(error, AuthorityError::SelfSigned(StateError::Shared(SharedError::Lost { .. })));
                assert!(!is_fine && is_lost, "{error:?}");
                assert!(fake.snapshot().is_none(), "nothing is kept");
            }
        }
    };
    check(plugged.root_pem(), true);
    check(other.pem(), false);
    check(format!("{}{}", plugged.root_pem(), other.pem()), false);
    check("not a root".to_owned(), false);
}

#[test]
fn no_root_of_our_own_is_made_where_roots_are_published_already() {
    let fake = Arc::new(Fake::default());
    *fake.witness.lock().unwrap() = Some(root().pem());
    let error = conductor_on(fake.seat(), start()).start(start()).unwrap_err();
    assert!(chain(&error).contains("holds roots but"), "{error:?}");
    assert!(fake.snapshot().is_none());
}

#[test]
fn a_key_that_was_adopted_is_not_adopted_again_when_the_journal_is_lost() {
    let fake = Arc::new(Fake::default());
    conductor_on(fake.seat(), start()).start(start()).unwrap();
    let mut entries = fake.snapshot().unwrap().entries;
    entries.remove("signet-state.json");
    fake.put(Some(entries));
    let error = conductor_on(fake.seat(), start()).start(start()).unwrap_err();
    assert!(matches!(error, AuthorityError::SelfSigned(StateError::JournalLost { .. })), "{error:?}");
}
