//! What is told, what is not, and what is not told twice.

use signet_identity::Timestamp;

use signet_identity::Lifetime;

use super::*;
use crate::authority::BundleView;

fn refused(expired: u64, gone: u64) -> Refused {
    BTreeMap::from([("token_expired", expired), ("pod_gone", gone)])
}

#[test]
fn a_burst_is_told_once_and_again_when_it_goes_on() {
    let (start, mut watchman) = (Instant::now(), Watchman::default());
    let mut look = |secs: u64, counts: Refused| watchman.refusals(&counts, start + Duration::from_secs(secs));
    assert_eq!(look(0, refused(5_000, 0)), None, "what was before is nobody's burst");
    assert_eq!(look(10, refused(5_060, 39)), None);
    let told = look(20, refused(5_070, 40)).unwrap();
    assert_eq!(
        told.note,
        "110 requests were refused within a minute, 70 of them for `token_expired`; the log names each caller"
    );
    assert_eq!((told.reason, told.is_warning), ("RefusalBurst", true));
    assert_eq!(look(30, refused(9_000, 40)), None, "it was told a moment ago");
    assert_eq!(look(319, refused(20_000, 40)), None);
    assert!(look(329, refused(30_000, 40)).is_some());
    assert_eq!(look(700, refused(30_050, 40)), None);
    assert_eq!(look(710, refused(30_100, 40)), None, "fifty within a minute are none");
}

#[test]
fn refusals_that_drip_are_no_burst() {
    let (start, mut watchman) = (Instant::now(), Watchman::default());
    for look in 0..600 {
        let counts = refused(look * 15, 0);
        assert_eq!(watchman.refusals(&counts, start + Duration::from_secs(look * 10)), None);
    }
}

fn generation(id: u64, phase: &'static str) -> GenerationView {
    GenerationView {
        id,
        phase,
        is_over: false,
        since: String::new(),
        origin: "self-signed",
        key_id: String::new(),
        not_before: String::new(),
        not_after: "2030-01-01T00:00:00Z".to_owned(),
        not_after_unix: 0,
        horizon: None,
        waits_for: (phase == "published").then(|| "2 of 5 agents".to_owned()),
        is_armed: false,
        roots: Vec::new(),
    }
}

fn overview(phases: &[&'static str]) -> Overview {
    let bundle = BundleView { generation: 1, watchers: 0, acknowledged: 0, roots: BTreeMap::new() };
    let generations = (1..).zip(phases).map(|(id, phase)| generation(id, phase)).collect();
    let trust_domain = "cluster.local".to_owned();
    Overview { trust_domain, leads: true, remark: None, directory: None, bundle, ending: None, generations }
}

#[test]
fn every_step_of_a_rotation_is_told_once() {
    let mut watchman = Watchman::default();
    let mut look = |phases: &[&'static str]| -> Vec<String> {
        let overview = overview(phases);
        let told: Vec<_> = watchman.rotation(&overview).into_iter().map(|it| it.reason.to_owned()).collect();
        assert_eq!(watchman.rotation(&overview), [], "nothing changed since");
        told
    };
    assert!(look(&["active"]).is_empty(), "a start is no rotation");
    assert_eq!(look(&["active", "prepared"]), ["GenerationPrepared"]);
    assert_eq!(look(&["active", "published"]), ["RootPublished"]);
    assert_eq!(look(&["old", "active"]), ["GenerationActive"]);
    assert_eq!(look(&["tainted", "active"]), ["GenerationTainted"]);
    assert_eq!(look(&["revoked", "active", "published"]), ["RootRevoked", "RootPublished"]);
    assert_eq!(look(&["revoked", "retired", "active"]), ["RootRetired", "GenerationActive"]);
    watchman.rotation(&overview(&["active"]));
    let told = watchman.rotation(&overview(&["published"]));
    assert_eq!(told[0].note, "the root of generation 1 is published; it waits for 2 of 5 agents");
}

#[test]
fn an_end_is_told_when_it_is_near_when_it_is_past_and_once_a_day() {
    let at = |hours: i64| Timestamp::from_unix_secs(1_900_000_000 + hours * 3600);
    let ending = |from, to| Ending {
        usable: Lifetime::new(at(from), at(to)).unwrap(),
        alarm_before: Duration::from_secs(50 * 3600),
    };
    let mut watchman = Watchman::default();
    let mut look = |hours: i64| watchman.end(ending(0, 1_000), at(hours)).map(|told| told.reason);
    assert_eq!(look(0), None);
    assert_eq!(look(949), None);
    assert_eq!(look(950), Some("AuthorityExpires"));
    assert_eq!([look(951), look(973)], [None, None]);
    assert_eq!(look(974), Some("AuthorityExpires"));
    assert_eq!(look(1_001), Some("AuthorityExpired"));
    assert_eq!([look(1_002), look(1_025)], [None, Some("AuthorityExpired")]);
    assert_eq!(watchman.end(ending(1_000, 2_000), at(1_030)), None);
}
