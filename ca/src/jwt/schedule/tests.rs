//! Months of key changes in simulated time, with clocks that lie.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

const POLICY: Policy = Policy {
    mints: true,
    key_ttl: Duration::from_secs(86_400),
    lead: Duration::from_secs(1_500),
    token_ttl_max: HOUR,
    away: Duration::ZERO,
};

/// A schedule with everything around it: a true clock that nobody sees, a wall clock that may lie, and all tokens.
struct World {
    schedule: Schedule,
    policy: Policy,
    /// Time that has truly passed since the start.
    truth: Duration,
    /// How far the wall clock is ahead of the truth, in seconds.
    error_secs: i64,
    made: u32,
    /// The true time at which each key was published first.
    published: BTreeMap<String, Duration>,
    /// The true time at which the last honest token by each key ends.
    needed: BTreeMap<String, Duration>,
    signed: BTreeSet<String>,
}

impl World {
    fn new(policy: Policy) -> Self {
        let mut world = Self {
            schedule: Schedule::new(START),
            policy,
            truth: Duration::ZERO,
            error_secs: 0,
            made: 0,
            published: BTreeMap::new(),
            needed: BTreeMap::new(),
            signed: BTreeSet::new(),
        };
        world.look();
        world
    }

    fn now(&self) -> Timestamp {
        let truth = START.plus(self.truth);
        let error = Duration::from_secs(self.error_secs.unsigned_abs());
        if self.error_secs < 0 { truth.minus(error) } else { truth.plus(error) }
    }

    /// One look of a running process after `span`.
    fn tick(&mut self, span: Duration) {
        self.truth += span;
        self.schedule.credit(span);
        self.look();
        self.mint();
    }

    /// The process was away for `span`, and what it had not written down is lost.
    fn away(&mut self, span: Duration) {
        self.truth += span;
        self.schedule = Schedule::restored(self.schedule.entries().to_vec(), self.schedule.version()).unwrap();
        self.look();
    }

    fn look(&mut self) {
        for _ in 0..8 {
            let now = self.now();
            let Some(due) = self.schedule.due(&self.policy, now) else { break };
            match due {
                Due::Publish => {
                    self.made += 1;
                    let kid = format!("k{}", self.made);
                    self.published.insert(kid.clone(), self.truth);
                    self.schedule.publish(kid, now);
                }
                Due::Activate => self.schedule.activate(&self.policy, now),
                Due::Extend => self.schedule.extend(&self.policy, now),
                Due::Drop { kid } => self.schedule.drop(&kid),
                Due::Remember => {}
            }
            self.schedule.saved();
        }
        assert_eq!(self.schedule.due(&self.policy, self.now()), None, "a look comes to an end");
        self.check();
    }

    /// A token of the longest life, as it would be minted now.
    fn mint(&mut self) {
        let active = self.schedule.active().expect("there always is a key that signs");
        let end = self.now().plus(self.policy.token_ttl_max).min(active.horizon);
        assert_eq!(end, self.now().plus(self.policy.token_ttl_max), "the horizon cuts no token short");
        if self.signed.insert(active.kid.clone()) && self.signed.len() > 1 {
            let known_for = self.truth - self.published[&active.kid];
            assert!(known_for >= self.policy.lead, "{} signs after {known_for:?}", active.kid);
        }
        self.needed.insert(active.kid.clone(), self.truth + self.policy.token_ttl_max);
    }

    /// Whatever happens, no key is gone while a token by it lives.
    fn check(&self) {
        for (kid, end) in &self.needed {
            let is_published = self.schedule.entries().iter().any(|entry| entry.kid == *kid);
            assert!(is_published || self.truth > *end, "{kid} is gone before its last token");
        }
        assert!(self.schedule.entries().len() <= KEYS_MAX);
    }

    fn phases(&self) -> Vec<(&str, Phase)> {
        self.schedule.entries().iter().map(|entry| (entry.kid.as_str(), entry.phase)).collect()
    }
}

#[test]
fn the_first_key_signs_at_once_with_the_next_one_published_beside_it() {
    let world = World::new(POLICY);
    assert_eq!(world.phases(), [("k1", Phase::Active), ("k2", Phase::Next)]);
}

#[test]
fn over_a_year_a_key_signs_for_a_day_known_a_day_before_and_an_hour_beyond() {
    let mut world = World::new(POLICY);
    for minute in 1..=365 * 24 * 60_u64 {
        world.tick(MINUTE);
        if minute % (24 * 60) == 90 {
            assert_eq!(world.schedule.entries().len(), if minute < 24 * 60 { 2 } else { 3 }, "at minute {minute}");
        }
    }
    assert_eq!((world.signed.len(), world.made), (366, 367));
    let lead = world.published["k300"];
    assert!(lead <= 298 * 24 * HOUR, "the 300th key was published a day before it signed");
}

#[test]
fn each_change_of_the_published_set_has_a_number_of_its_own() {
    let mut world = World::new(POLICY);
    let set = |world: &World| world.phases().iter().map(|(kid, _)| (*kid).to_owned()).collect::<BTreeSet<_>>();
    let mut seen = BTreeMap::new();
    for _ in 0..30 * 24 * 6 {
        world.tick(10 * MINUTE);
        let known = seen.entry(world.schedule.version()).or_insert_with(|| set(&world));
        assert_eq!(*known, set(&world));
    }
    assert!(seen.len() > 50 && *seen.keys().next().unwrap() >= 1_800_000_000);
    let again = Schedule::new(START.plus(30 * 24 * HOUR));
    assert!(again.version() > world.schedule.version(), "one who lost everything goes on counting upwards");
}

#[test]
fn a_wall_clock_that_jumps_forward_and_back_costs_no_token_its_key() {
    for jump in [3_600, 86_400, 400 * 86_400] {
        let mut world = World::new(POLICY);
        (0..600).for_each(|_| world.tick(MINUTE));
        world.error_secs = jump;
        (0..30).for_each(|_| world.tick(MINUTE));
        world.error_secs = 0;
        (0..40 * 24 * 60).for_each(|_| world.tick(MINUTE));
        assert!(world.signed.len() >= 40, "rotation goes on after a jump of {jump} s");
    }
}

#[test]
fn a_key_that_was_published_too_briefly_does_not_sign_because_the_clock_jumped() {
    let mut world = World::new(POLICY);
    world.error_secs = 10 * 86_400;
    (0..24).for_each(|_| world.tick(MINUTE));
    assert_eq!(world.schedule.active().unwrap().kid, "k1");
    world.tick(2 * MINUTE);
    assert_eq!(world.schedule.active().unwrap().kid, "k2");
}

#[test]
fn a_wall_clock_that_went_back_stops_no_rotation() {
    let mut world = World::new(POLICY);
    world.error_secs = -365 * 86_400;
    (0..3 * 24 * 60 + 2).for_each(|_| world.tick(MINUTE));
    assert_eq!(world.signed.len(), 4);
}

#[test]
fn after_a_long_absence_the_next_key_still_has_to_be_known_first() {
    let mut world = World::new(POLICY);
    world.tick(MINUTE);
    world.away(100 * 24 * HOUR);
    assert_eq!(world.schedule.active().unwrap().kid, "k1", "nobody could read the next key while we were away");
    (0..25).for_each(|_| world.tick(MINUTE));
    assert_eq!(world.schedule.active().unwrap().kid, "k2");
}

#[test]
fn a_horizon_in_the_far_future_does_not_end_rotation() {
    let policy = Policy { key_ttl: HOUR, ..POLICY };
    let mut world = World::new(policy);
    for _ in 0..40 {
        world.error_secs = 400 * 86_400;
        world.tick(MINUTE);
        world.error_secs = 0;
        (0..70).for_each(|_| world.tick(MINUTE));
    }
    assert!(world.signed.len() > 35, "{} keys", world.signed.len());
    assert!(!world.schedule.is_overdue(&policy));
}

#[test]
fn a_key_that_signs_for_too_long_is_told() {
    let mut schedule = Schedule::new(START);
    schedule.publish("k1".to_owned(), START);
    schedule.activate(&POLICY, START);
    schedule.credit(POLICY.key_ttl);
    assert!(!schedule.is_overdue(&POLICY));
    schedule.credit(3 * POLICY.lead);
    assert!(schedule.is_overdue(&POLICY));
}

#[test]
fn a_longer_life_of_tokens_moves_the_horizon_before_it_is_used() {
    let mut world = World::new(POLICY);
    world.policy.token_ttl_max = 20 * HOUR;
    assert_eq!(world.schedule.due(&world.policy, world.now()), Some(Due::Extend));
    world.look();
    world.mint();
    world.policy.token_ttl_max = MINUTE;
    (0..60 * 48).for_each(|_| world.tick(MINUTE));
    assert!(world.schedule.entries().iter().any(|entry| entry.kid == "k2"));
}

#[test]
fn a_stored_schedule_that_cannot_be_is_refused() {
    let entry = |kid: &str, phase| Entry {
        kid: kid.to_owned(),
        phase,
        since: START,
        served: HOUR,
        horizon: START,
        longest: HOUR,
    };
    let restored = |entries: Vec<Entry>| Schedule::restored(entries, 1).map(|_| ());
    let many = (0..=KEYS_MAX).map(|i| entry(&i.to_string(), Phase::Old)).collect();
    assert_eq!(restored(many), Err(Inconsistent::TooMany { count: KEYS_MAX + 1 }));
    for phase in [Phase::Next, Phase::Active] {
        let two = vec![entry("a", phase), entry("b", phase)];
        assert_eq!(restored(two), Err(Inconsistent::NotAlone { phase: phase.as_str() }));
    }
    let same = vec![entry("a", Phase::Old), entry("b", Phase::Old), entry("a", Phase::Active)];
    assert_eq!(restored(same), Err(Inconsistent::Repeated { kid: "a".to_owned() }));
    assert_eq!(restored(vec![]), Ok(()));
}

#[derive(Debug, Clone)]
enum Fate {
    Run { minutes: u16 },
    Away { minutes: u16 },
    Clock { error_secs: i32 },
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (1_u16..2_000).prop_map(|minutes| Fate::Run { minutes }),
        2 => (1_u16..5_000).prop_map(|minutes| Fate::Away { minutes }),
        1 => any::<i32>().prop_map(|error_secs| Fate::Clock { error_secs }),
        1 => Just(Fate::Clock { error_secs: 0 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The assertions are in the world: no token without its key, no key that nobody knows, always a key that signs.
    #[test]
    fn whatever_happens_no_token_loses_its_key_and_no_key_signs_unknown(
        fates in proptest::collection::vec(fate(), 1..24),
    ) {
        let mut world = World::new(POLICY);
        for fate in fates {
            match fate {
                Fate::Run { minutes } => (0..minutes).for_each(|_| world.tick(MINUTE)),
                Fate::Away { minutes } => world.away(MINUTE * u32::from(minutes)),
                Fate::Clock { error_secs } => world.error_secs = error_secs.into(),
            }
        }
    }
}
