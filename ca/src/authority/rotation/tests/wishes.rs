//! With an operator: each verb against each phase.

use super::*;

/// A world with one generation in each phase: 1 revoked, 2 tainted, 3 old, 4 active, 5 published.
fn every_phase() -> World {
    let mut world = World::new(Policy { automatic: false, ..policy() }, YEAR);
    for id in 2..=4 {
        world.happens(Event::Prepare).unwrap();
        world.happens(Event::Activate { id, readiness: Readiness::Whatever }).unwrap();
    }
    world.happens(Event::Taint { id: 1 }).unwrap();
    world.happens(Event::Revoke { id: 1 }).unwrap();
    world.happens(Event::Taint { id: 2 }).unwrap();
    world.happens(Event::Prepare).unwrap();
    assert_eq!(world.phases(), "2:tainted 3:old 4:active 5:published");
    assert_eq!(world.phase(1), Phase::Revoked);
    world
}

fn check(event: &Event, wanted: Result<&str, Refusal>) {
    let mut world = every_phase();
    let before = world.rotation.clone();
    let happened = world.happens(event.clone());
    match wanted {
        Ok(phases) => {
            assert_eq!(happened, Ok(()), "{event:?}");
            assert_eq!(world.phases(), phases, "{event:?}");
        }
        Err(refusal) => {
            assert_eq!(happened, Err(refusal), "{event:?}");
            assert_eq!(world.rotation, before, "what is refused changes nothing");
        }
    }
}

#[test]
fn only_a_generation_whose_root_is_known_is_activated_unless_it_is_forced() {
    let activate = |id, readiness| Event::Activate { id, readiness };
    check(&activate(5, Readiness::Whatever), Ok("2:tainted 3:old 4:old 5:active"));
    check(&activate(5, Readiness::WhenKnown), Ok("2:tainted 3:old 4:active 5:published"));
    check(&activate(3, Readiness::Whatever), Ok("2:tainted 3:active 4:old 5:published"));
    for readiness in [Readiness::Now, Readiness::WhenKnown] {
        check(&activate(3, readiness), Err(Refusal::SignedBefore { id: 3 }));
    }
    for readiness in [Readiness::Now, Readiness::WhenKnown, Readiness::Whatever] {
        check(&activate(9, readiness), Err(Refusal::Unknown { id: 9 }));
        for (id, phase) in [(1, Phase::Revoked), (2, Phase::Tainted), (4, Phase::Active)] {
            check(&activate(id, readiness), Err(Refusal::NotActivatable { id, phase }));
        }
    }
    let mut world = every_phase();
    let refusal = world.happens(activate(5, Readiness::Now)).unwrap_err();
    assert!(matches!(refusal, Refusal::NotYet { id: 5, .. }), "{refusal}");
    world.pass(48 * HOUR);
    assert_eq!(world.phase(5), Phase::Published, "what an operator prepared waits for the operator");
    world.happens(activate(5, Readiness::Now)).unwrap();
    assert_eq!(world.phase(5), Phase::Active);
}

#[test]
fn only_an_old_generation_is_tainted() {
    check(&Event::Taint { id: 3 }, Ok("2:tainted 3:tainted 4:active 5:published"));
    check(&Event::Taint { id: 4 }, Err(Refusal::Signs { id: 4 }));
    for (id, phase) in [(1, Phase::Revoked), (2, Phase::Tainted), (5, Phase::Published)] {
        check(&Event::Taint { id }, Err(Refusal::NotTaintable { id, phase }));
    }
    check(&Event::Taint { id: 9 }, Err(Refusal::Unknown { id: 9 }));
}

#[test]
fn only_a_tainted_generation_or_one_that_never_signed_is_revoked() {
    check(&Event::Revoke { id: 2 }, Ok("3:old 4:active 5:published"));
    check(&Event::Revoke { id: 5 }, Ok("2:tainted 3:old 4:active"));
    for (id, phase) in [(1, Phase::Revoked), (3, Phase::Old), (4, Phase::Active)] {
        check(&Event::Revoke { id }, Err(Refusal::NotRevocable { id, phase }));
    }
    check(&Event::Revoke { id: 9 }, Err(Refusal::Unknown { id: 9 }));
}

#[test]
fn only_one_generation_waits_at_a_time() {
    check(&Event::Prepare, Err(Refusal::AlreadyWaiting { id: 5 }));
}

#[test]
fn a_taint_is_a_new_bundle_that_names_the_key_and_a_revocation_takes_the_root_away() {
    let mut world = every_phase();
    let bundle = world.rotation.bundle();
    assert_eq!(world.rotation.tainted_key_ids(), ["key of root-2"]);
    world.happens(Event::Taint { id: 3 }).unwrap();
    assert_eq!(world.rotation.bundle(), bundle + 1);
    assert_eq!(world.rotation.tainted_key_ids(), ["key of root-2", "key of root-3"]);
    assert!(world.rotation.roots().contains_key("root-2"));
    world.happens(Event::Revoke { id: 2 }).unwrap();
    assert_eq!(world.rotation.bundle(), bundle + 2);
    assert_eq!(world.rotation.tainted_key_ids(), ["key of root-3"]);
    assert!(!world.rotation.roots().contains_key("root-2"));
}

#[test]
fn a_tainted_generation_that_nobody_revokes_retires_like_an_old_one() {
    let mut world = every_phase();
    world.pass(4 * DAY);
    assert_eq!(world.phases(), "4:active 5:published");
    assert_eq!(world.phase(2), Phase::Retired);
}

#[test]
fn what_was_distrusted_does_not_come_back() {
    let mut world = every_phase();
    let life = Lifetime::new(world.now, world.now.plus(YEAR)).unwrap();
    for (id, phase) in [(1, Phase::Revoked), (2, Phase::Tainted)] {
        let again = Event::Offered(offer(&format!("root-{id}"), life));
        assert_eq!(world.happens(again), Err(Refusal::Distrusted { id, phase }));
    }
}

#[test]
fn an_ended_generation_is_not_activated() {
    let mut world = every_phase();
    world.now = world.now.plus(2 * YEAR);
    for id in [3, 5] {
        let refusal = world.happens(Event::Activate { id, readiness: Readiness::Whatever });
        assert_eq!(refusal, Err(Refusal::Ended { id }));
    }
}

#[test]
fn a_generation_in_use_before_anything_was_written_down_signs_on_with_the_horizon_it_came_with() {
    let mut world = World::new(policy(), YEAR);
    world.rotation = Rotation::new(0);
    world.told.clear();
    let life = Lifetime::new(world.now, world.now.plus(YEAR)).unwrap();
    let horizon = Some(world.now.plus(90 * DAY));
    world.happens(Event::Found(Offer { horizon, ..offer("root-1", life) })).unwrap();
    assert_eq!(world.phases(), "1:active");
    assert_eq!(world.entered(1, Phase::Active).1, Why::Found);
    assert_eq!(world.rotation.active().unwrap().horizon, horizon);
    assert!(world.rotation.roots()["root-1"].is_known);
}

#[test]
fn a_state_that_cannot_be_is_not_taken_for_one() {
    let world = every_phase();
    let check = |change: &dyn Fn(&mut Rotation), wanted: Inconsistent| {
        let mut rotation = world.rotation.clone();
        change(&mut rotation);
        let Rotation { generations, roots, bundle, next_id, distrusted, .. } = rotation;
        assert_eq!(Rotation::restored(generations, roots, bundle, next_id, distrusted), Err(wanted));
    };
    check(&|rotation| rotation.next_id = 5, Inconsistent::Ids);
    check(&|rotation| rotation.generations.reverse(), Inconsistent::Ids);
    check(&|rotation| rotation.generations[0].id = 0, Inconsistent::Ids);
    check(&|rotation| rotation.generations[2].phase = Phase::Active, Inconsistent::Active);
    check(&|rotation| rotation.generations[2].phase = Phase::Prepared, Inconsistent::Waiting);
    check(&|rotation| rotation.bundle = 1, Inconsistent::Roots);
    check(&|rotation| rotation.roots.clear(), Inconsistent::Roots);
    check(&|rotation| rotation.generations[0].phase = Phase::Old, Inconsistent::Roots);
    let many = |rotation: &mut Rotation| {
        rotation.next_id = 100;
        let retired = rotation.generations[0].clone();
        rotation.generations.extend((50..80).map(|id| Generation { id, ..retired.clone() }));
    };
    check(&many, Inconsistent::TooMany);
    let many_keys = |rotation: &mut Rotation| {
        rotation.distrusted.extend((0..=DISTRUSTED_MAX).map(|key| (key.to_string(), start())));
    };
    check(&many_keys, Inconsistent::TooManyKeys);
}

#[test]
fn a_key_that_was_tainted_or_revoked_is_not_believed_again_whatever_became_of_its_generation() {
    let mut world = every_phase();
    let distrusted = ["key of root-1", "key of root-2"];
    assert_eq!(world.rotation.distrusted_key_ids(), distrusted);
    world.pass(4 * DAY);
    assert_eq!(world.phase(2), Phase::Retired, "its last leaf has ended, the key may still be in a thief's hands");
    assert_eq!(world.rotation.distrusted_key_ids(), distrusted);
    let life = Lifetime::new(world.now, world.now.plus(YEAR)).unwrap();
    let again = offer("root-2", life);
    let renewed = Offer { key_id: "key of root-1".to_owned(), ..offer("a new certificate", life) };
    for offer in [again, renewed] {
        let key_id = offer.key_id.clone();
        assert_eq!(world.happens(Event::Offered(offer)), Err(Refusal::DistrustedKey { key_id }));
    }

    // Until they are not listed any more.
    for id in 5..20 {
        world.happens(Event::Revoke { id }).unwrap();
        world.happens(Event::Prepare).unwrap();
    }
    assert!(world.rotation.get(1).is_none() && world.rotation.get(2).is_none());
    let ids = world.rotation.distrusted_key_ids();
    assert!(ids.len() == 17 && distrusted.iter().all(|id| ids.contains(&(*id).to_owned())), "{ids:?}");

    // And never more than the bound.
    for id in 20..20 + DISTRUSTED_MAX as u64 {
        world.happens(Event::Revoke { id }).unwrap();
        world.happens(Event::Prepare).unwrap();
    }
    assert_eq!(world.rotation.distrusted_key_ids().len(), DISTRUSTED_MAX);
}

#[test]
fn a_state_from_before_distrusted_keys_were_remembered_still_knows_those_by_their_phase() {
    let Rotation { generations, roots, bundle, next_id, distrusted, .. } = every_phase().rotation;
    let again = Rotation::restored(generations, roots, bundle, next_id, BTreeMap::new()).unwrap();
    assert_eq!(again.distrusted, distrusted);
}
