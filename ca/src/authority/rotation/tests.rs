//! Rotation in simulated time: what follows from what, over years.

use std::collections::BTreeSet;
use std::time::Duration;

use signet_identity::{Lifetime, Timestamp};

use super::step::Step;
use super::*;

mod automatic;
mod gates;
mod wishes;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Time between two looks while a root is on its way.
const TICK: Duration = Duration::from_secs(300);

/// Time between two looks while nothing is.
const CALM_TICK: Duration = HOUR;

fn start() -> Timestamp {
    Timestamp::from_unix_secs(1_800_000_000)
}

fn policy() -> Policy {
    Policy { automatic: true, leaf_max: DAY, ..Policy::by_hand() }
}

/// A rotation, its clock, who watches, and what its source makes.
struct World {
    rotation: Rotation,
    policy: Policy,
    now: Timestamp,
    watching: Watching,
    can_make: bool,
    root_ttl: Duration,
    /// Each change with the instant at which it came.
    told: Vec<(Timestamp, Change)>,
}

impl World {
    /// With a first generation that signs.
    fn new(policy: Policy, root_ttl: Duration) -> Self {
        let mut world = Self {
            rotation: Rotation::new(0),
            policy,
            now: start(),
            watching: Watching::default(),
            can_make: true,
            root_ttl,
            told: Vec::new(),
        };
        world.look(Duration::ZERO);
        assert_eq!(world.phases(), "1:active");
        world
    }

    fn moment(&self, served: Duration) -> Moment {
        Moment { now: self.now, served, watching: self.watching.clone(), can_make: self.can_make }
    }

    fn step(&self, event: Event, served: Duration) -> Result<Step, Refusal> {
        self.rotation.step(event, &self.policy, &self.moment(served))
    }

    /// An event with everything that follows from it at once.
    fn happens(&mut self, event: Event) -> Result<(), Refusal> {
        let step = self.step(event, Duration::ZERO)?;
        self.take(step);
        self.look(Duration::ZERO);
        Ok(())
    }

    fn take(&mut self, step: Step) -> bool {
        let is_change = step.change.is_some() || step.make.is_some();
        self.told.extend(step.change.map(|change| (self.now, change)));
        self.rotation = step.next;
        if step.make.is_some() {
            let (id, life) = (self.rotation.next_id(), Lifetime::new(self.now, self.now.plus(self.root_ttl)));
            let made = self.step(Event::Offered(offer(&format!("root-{id}"), life.unwrap())), Duration::ZERO).unwrap();
            self.take(made);
        }
        self.check();
        is_change
    }

    fn look(&mut self, served: Duration) {
        let mut served = served;
        loop {
            let step = self.step(Event::Look, std::mem::take(&mut served)).unwrap();
            if !self.take(step) {
                return;
            }
        }
    }

    /// Lets time pass, look by look.
    fn pass(&mut self, span: Duration) {
        let until = self.now.plus(span);
        while self.now < until {
            let is_calm = self.rotation.roots.values().all(|root| root.is_known);
            let tick = if is_calm { CALM_TICK } else { TICK }.min(until.since(self.now));
            self.now = self.now.plus(tick);
            self.look(tick);
        }
    }

    /// What holds in every state that can be reached.
    fn check(&self) {
        let rotation = &self.rotation;
        let Rotation { generations, roots, bundle, next_id, distrusted, .. } = rotation.clone();
        let again = Rotation::restored(generations, roots, bundle, next_id, distrusted);
        assert_eq!(again.as_ref(), Ok(rotation), "a state should be readable once it is written");
        if let Some(active) = rotation.active() {
            assert!(active.horizon.is_some());
            let end = active.usable.not_after();
            if !active.has_ended(self.now) && !rotation.waiting().is_some_and(|found| found.phase == Phase::Prepared) {
                // After a look the horizon covers the longest leaf that can be signed before the next one.
                let longest = self.now.plus(self.policy.leaf_max).min(end).whole_secs();
                assert!(active.horizon >= Some(longest) || self.told.is_empty(), "{:?}", self.told.last());
            }
        }
    }

    fn phases(&self) -> String {
        let words = self.rotation.generations.iter().filter(|found| !found.phase.is_over());
        words.map(|found| format!("{}:{}", found.id, found.phase)).collect::<Vec<_>>().join(" ")
    }

    fn phase(&self, id: u64) -> Phase {
        self.rotation.get(id).unwrap().phase
    }

    /// The instant at which generation `id` entered `phase`, and why.
    fn entered(&self, id: u64, phase: Phase) -> (Timestamp, Why) {
        let found = self.told.iter().find_map(|(at, change)| match change {
            Change::Entered { id: of, phase: into, why } if (*of, *into) == (id, phase) => Some((*at, *why)),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{id} never became {phase}: {:?}", self.told))
    }

    /// Agents that have these bundles.
    fn agents(&mut self, bundles: &[u64]) {
        let mut counts = BTreeMap::new();
        bundles.iter().for_each(|bundle| *counts.entry(*bundle).or_default() += 1);
        self.watching = Watching::new(counts);
    }
}

/// A generation with one root called `name`.
fn offer(name: &str, usable: Lifetime) -> Offer {
    offer_with(name, &[name], &[name], usable)
}

/// A generation with these roots, of which `anchors` make its leaves trusted.
fn offer_with(name: &str, roots: &[&str], anchors: &[&str], usable: Lifetime) -> Offer {
    Offer {
        origin: Origin::SelfSigned,
        key_id: format!("key of {name}"),
        content: name.to_owned(),
        roots: Roots::named(roots),
        anchors: anchors.iter().map(|anchor| (*anchor).to_owned()).collect::<BTreeSet<_>>(),
        usable,
        is_armed: false,
        horizon: None,
    }
}
