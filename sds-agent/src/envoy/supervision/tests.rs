//! Lives of Envoys, in simulated time.

use proptest::prelude::*;

use super::*;

const SEC: Duration = Duration::from_secs(1);

fn policy() -> Policy {
    let drain = DrainConfig { time: 5 * SEC, until_idle: false, min: 2 * SEC, max: 60 * SEC };
    Policy { drain, restart: Restart::Never, restarts_max: 3, hung_after: Some(120 * SEC) }
}

/// A life and the time it is at.
struct Life {
    supervision: Supervision,
    now: Duration,
}

impl Life {
    fn begin(policy: Policy) -> Self {
        let mut life = Self { supervision: Supervision::new(policy), now: Duration::ZERO };
        assert_eq!(life.on(Event::Time), Some(Action::Start));
        life
    }

    fn live(policy: Policy) -> Self {
        let mut life = Self::begin(policy);
        assert_eq!(life.on(Event::Heard { live: true }), None);
        life
    }

    fn on(&mut self, event: Event) -> Option<Action> {
        self.supervision.on(event, self.now)
    }

    fn ask(&mut self, ask: Ask) -> Option<Action> {
        self.on(Event::Asked(ask))
    }

    /// Lets time pass second by second; the first thing to be done, and after how many seconds.
    fn pass(&mut self, seconds: u32, mut event: impl FnMut() -> Event) -> Option<(u32, Action)> {
        (1..=seconds).find_map(|second| {
            self.now += SEC;
            let action = self.on(Event::Time).or_else(|| self.on(event()));
            action.map(|action| (second, action))
        })
    }
}

fn heard() -> Event {
    Event::Heard { live: true }
}

#[test]
fn an_envoy_that_ends_by_itself_gives_its_status() {
    for (end, code) in [(End::Status(0), 0), (End::Status(3), 3), (End::Signal(9), 137), (End::Signal(6), 134)] {
        assert_eq!(Life::live(policy()).on(Event::Ended(end)), Some(Action::Exit(code)), "{end}");
        assert_eq!(Life::begin(policy()).on(Event::Ended(end)), Some(Action::Exit(code)), "{end} in warming");
    }
}

#[test]
fn a_stop_drains_for_the_time_that_is_set_and_then_ends_envoy_gently() {
    let mut life = Life::live(policy());
    assert_eq!(life.ask(Ask::Stop), Some(Action::Drain));
    assert_eq!(life.pass(60, || Event::Connections(Some(0))), Some((5, Action::Terminate)), "not before, not after");
    assert_eq!(life.on(Event::Ended(End::Status(0))), Some(Action::Exit(0)));
}

#[test]
fn an_envoy_that_does_not_end_is_killed() {
    let mut life = Life::live(policy());
    life.ask(Ask::Stop);
    life.pass(60, heard);
    assert_eq!(life.pass(60, heard), Some((5, Action::Kill)));
    assert_eq!(life.pass(600, heard), None);
    assert_eq!(life.on(Event::Ended(End::Signal(9))), Some(Action::Exit(137)));
}

#[test]
fn the_last_connection_ends_the_drain_where_that_is_asked_for() {
    let drain = DrainConfig { until_idle: true, ..policy().drain };
    let mut life = Life::live(Policy { drain, ..policy() });
    life.ask(Ask::Stop);
    let mut open = 10;
    let ended = life.pass(60, || {
        open -= 1;
        Event::Connections(Some(open))
    });
    assert_eq!(ended, Some((10, Action::Terminate)));

    let mut life = Life::live(Policy { drain, ..policy() });
    life.ask(Ask::Stop);
    assert_eq!(life.pass(60, || Event::Connections(Some(0))), Some((2, Action::Terminate)), "at least so long");

    let mut life = Life::live(Policy { drain, ..policy() });
    life.ask(Ask::Stop);
    assert_eq!(life.pass(100, || Event::Connections(Some(1))), Some((60, Action::Terminate)), "at most so long");

    let mut life = Life::live(Policy { drain, ..policy() });
    life.ask(Ask::Stop);
    assert_eq!(life.pass(100, || Event::Connections(None)), Some((5, Action::Terminate)), "nobody knows");
}

#[test]
fn a_stop_in_warming_has_nothing_to_drain() {
    let mut life = Life::begin(policy());
    life.on(Event::Heard { live: false });
    assert_eq!(life.ask(Ask::Stop), Some(Action::Terminate));
}

#[test]
fn each_further_stop_shortens_the_end() {
    let mut life = Life::live(policy());
    let asked = [Ask::Stop; 4].map(|ask| life.ask(ask));
    assert_eq!(asked, [Some(Action::Drain), Some(Action::Terminate), Some(Action::Kill), None]);
    let mut life = Life::live(policy());
    assert_eq!([Ask::Quit; 2].map(|ask| life.ask(ask)), [Some(Action::Terminate), Some(Action::Kill)]);
}

#[test]
fn a_drain_alone_waits_for_the_stop_that_follows_and_does_not_drain_twice() {
    let mut life = Life::live(policy());
    assert_eq!(life.ask(Ask::Drain), Some(Action::Drain));
    assert!(!life.supervision.is_drained());
    assert_eq!(life.pass(60, heard), None);
    assert!(life.supervision.is_drained());
    assert_eq!(life.ask(Ask::Stop), Some(Action::Terminate));

    let mut life = Life::live(policy());
    life.ask(Ask::Drain);
    life.pass(3, heard);
    assert_eq!(life.ask(Ask::Stop), None);
    assert_eq!(life.pass(60, heard), Some((2, Action::Terminate)), "the rest of the drain");
}

#[test]
fn silence_alone_is_hung_only_after_its_time_and_when_somebody_asked() {
    let mut life = Life::live(policy());
    assert_eq!(life.pass(600, || Event::Unheard), Some((120, Action::Kill)));
    assert_eq!(life.on(Event::Ended(End::Signal(9))), Some(Action::Exit(137)));

    let mut life = Life::begin(policy());
    assert_eq!(life.pass(600, || Event::Unheard), Some((120, Action::Kill)), "in warming too");

    let mut life = Life::live(policy());
    life.now += 3600 * SEC;
    assert_eq!(life.on(Event::Unheard), None, "the agent itself was stopped for an hour");
    assert_eq!(life.supervision.standing(life.now), Standing::Up { silent: Some(3600 * SEC) });
    life.on(heard());
    assert_eq!(life.supervision.standing(life.now), Standing::Up { silent: None });
    assert_eq!(life.pass(119, || Event::Unheard), None);

    let mut life = Life::live(Policy { hung_after: None, ..policy() });
    assert_eq!(life.pass(3600, || Event::Unheard), None);
}

#[test]
fn failures_are_restarted_ever_more_slowly_and_not_for_ever() {
    let mut life = Life::live(Policy { restart: Restart::OnFailure, ..policy() });
    let mut waits = Vec::new();
    while life.on(Event::Ended(End::Signal(11))).is_none() {
        let (wait, action) = life.pass(60, heard).unwrap();
        assert_eq!(action, Action::Start);
        waits.push(wait);
    }
    assert_eq!(waits.len(), 3, "{waits:?}");
    assert!(waits.is_sorted() && waits[2] <= 5, "{waits:?}");
    assert_eq!(life.supervision.standing(life.now), Standing::Ending);
}

#[test]
fn a_steady_run_makes_failures_before_it_forgotten() {
    let mut life = Life::live(Policy { restart: Restart::OnFailure, ..policy() });
    for _ in 0..20 {
        assert_eq!(life.on(Event::Ended(End::Status(1))), None);
        let standing = Standing::Waiting { last: Some(End::Status(1)), failures: 1, of: 3 };
        assert_eq!(life.supervision.standing(life.now), standing);
        assert_eq!(life.pass(60, heard).map(|(_, action)| action), Some(Action::Start));
        assert_eq!(life.pass(60, heard), None);
    }
}

#[test]
fn a_good_end_and_an_end_that_was_asked_for_are_not_restarted() {
    let restarting = Policy { restart: Restart::OnFailure, ..policy() };
    assert_eq!(Life::live(restarting).on(Event::Ended(End::Status(0))), Some(Action::Exit(0)));
    let mut life = Life::live(restarting);
    life.ask(Ask::Stop);
    assert_eq!(life.on(Event::Ended(End::Signal(11))), Some(Action::Exit(139)));
    let mut life = Life::live(restarting);
    life.on(Event::Ended(End::Signal(11)));
    assert_eq!(life.ask(Ask::Stop), Some(Action::Exit(139)), "while it waits for its restart");
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Time),
        any::<bool>().prop_map(|live| Event::Heard { live }),
        Just(Event::Unheard),
        any::<Option<u64>>().prop_map(Event::Connections),
        any::<u8>().prop_map(|code| Event::Ended(End::Status(code))),
        prop_oneof![Just(Ask::Drain), Just(Ask::Stop), Just(Ask::Quit)].prop_map(Event::Asked),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_stop_ends_it_in_bounded_time(
        events in prop::collection::vec((event(), 0..100u32), 0..60),
        until_idle: bool,
    ) {
        let drain = DrainConfig { until_idle, ..policy().drain };
        let mut life = Life::begin(Policy { drain, restart: Restart::OnFailure, ..policy() });
        let mut runs = true;
        let mut over = false;
        for (event, seconds) in events {
            life.now += seconds * SEC;
            // Only a process that runs can end.
            if matches!(event, Event::Ended(_)) && !runs {
                continue;
            }
            runs &= !matches!(event, Event::Ended(_));
            let action = life.on(event);
            prop_assert!(!over || action.is_none(), "after the end nothing is done");
            match action {
                Some(Action::Start) => { prop_assert!(!runs, "one at a time"); runs = true; }
                Some(Action::Exit(_)) => { prop_assert!(!runs, "nothing is left behind"); over = true; }
                _ => {}
            }
        }
        if over {
            return Ok(());
        }
        let asked = life.ask(Ask::Stop);
        if !runs {
            prop_assert!(matches!(asked, Some(Action::Exit(_))), "{:?}", asked);
            return Ok(());
        }
        // Whatever it is told, this one ends only when it is killed.
        let killed = |life: &Life| matches!(life.supervision.phase, Phase::Killed);
        for _ in 0..3 {
            if !killed(&life) {
                life.pass(70, || Event::Connections(Some(1)));
            }
        }
        prop_assert!(killed(&life), "{:?}", life.supervision);
        prop_assert_eq!(life.on(Event::Ended(End::Signal(9))), Some(Action::Exit(137)));
    }
}
