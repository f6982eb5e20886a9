//! Rotation in simulated time: a year, outages, clocks that jump, and random lives.

use super::*;
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const START: Moment = Moment { wall: Timestamp::from_unix_secs(1_700_000_000), uptime: Duration::from_secs(1000) };

/// A rotation, its clocks, and a CA that answers or not.
struct Sim {
    rotation: Rotation,
    now: Moment,
    life: Duration,
    ca_up: bool,
    latency: Duration,
    requests: Vec<Moment>,
    published: Vec<Moment>,
    withdrawn: Vec<Moment>,
    ends: Option<Moment>,
}

impl Sim {
    fn new(life: Duration) -> Self {
        let policy = Policy { ratio: 0.5, jitter: 0.1 };
        let rotation = Rotation::new(policy, START, fastrand::Rng::with_seed(7));
        let latency = Duration::from_millis(20);
        let none = Vec::new;
        let (requests, published, withdrawn) = (none(), none(), none());
        Self { rotation, now: START, life, ca_up: true, latency, requests, published, withdrawn, ends: None }
    }

    fn step(&mut self, event: Event) {
        for effect in self.rotation.step(event, self.now) {
            match effect {
                Effect::Request => self.requests.push(self.now),
                Effect::Publish => self.published.push(self.now),
                Effect::Withdraw => self.withdrawn.push(self.now),
            }
        }
    }

    fn tick(&mut self) {
        let before = self.requests.len();
        self.step(Event::Tick);
        if self.requests.len() > before {
            self.now = self.now.plus(self.latency);
            let not_after = self.now.wall.plus(self.life);
            if self.ca_up {
                self.ends = Some(self.now.plus(self.life));
            }
            self.step(if self.ca_up { Event::Issued { not_after } } else { Event::Failed { retry_after: None } });
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now.uptime + span;
        while self.now.uptime < end {
            self.tick();
            let wait = self.rotation.wake_in(self.now);
            assert!((CHECK_WAIT_MIN..=CHECK_WAIT_MAX).contains(&wait));
            self.now = self.now.plus(wait.min(end.saturating_sub(self.now.uptime)).max(CHECK_WAIT_MIN));
        }
    }

    fn gaps(&self) -> Vec<Duration> {
        self.requests.windows(2).map(|pair| pair[1].uptime - pair[0].uptime).collect()
    }
}

#[test]
fn a_year_passes_without_a_gap_in_service() {
    let mut sim = Sim::new(DAY);
    sim.run(365 * DAY);
    assert_eq!(sim.withdrawn, []);
    assert_eq!(sim.published.len(), sim.requests.len());
    let gaps = sim.gaps();
    assert!(gaps.iter().all(|gap| *gap >= DAY.mul_f64(0.4) && *gap <= DAY.mul_f64(0.6) + Duration::from_secs(1)));
    let spread = gaps.iter().max().unwrap().saturating_sub(*gaps.iter().min().unwrap());
    assert!(spread > HOUR, "renewals are spread out");
}

#[test]
fn lives_of_seconds_are_renewed_in_time() {
    let mut sim = Sim::new(Duration::from_secs(6));
    sim.run(HOUR);
    assert_eq!(sim.withdrawn, []);
    assert!((1000..2000).contains(&sim.published.len()), "{}", sim.published.len());
}

#[test]
fn an_outage_of_half_a_life_is_survived_and_ends_within_the_backoff() {
    let mut sim = Sim::new(DAY);
    sim.run(HOUR);
    sim.ca_up = false;
    sim.run(14 * HOUR);
    assert!(matches!(sim.rotation.state(), State::Overdue { .. }));
    sim.ca_up = true;
    let published = sim.published.len();
    sim.run(RETRY_MAX);
    assert_eq!(sim.published.len(), published + 1);
    assert_eq!(sim.withdrawn, []);
    assert!(matches!(sim.rotation.state(), State::Current { .. }));
}

#[test]
fn an_outage_beyond_the_end_withdraws_once_and_keeps_asking() {
    let mut sim = Sim::new(DAY);
    sim.run(HOUR);
    sim.ca_up = false;
    sim.run(2 * DAY);
    let [withdrawn] = sim.withdrawn[..] else { panic!("withdrawn {} times", sim.withdrawn.len()) };
    assert!(withdrawn.wall >= sim.ends.unwrap().wall);
    assert_eq!(sim.rotation.standing(sim.now), Standing::Absent);
    let last = sim.requests.len();
    sim.run(Duration::from_secs(60));
    assert!(sim.requests.len() >= last + 60 / 6);
    sim.ca_up = true;
    sim.run(RETRY_ABSENT_MAX);
    assert_eq!(sim.published.len(), 2);
}

#[test]
fn retries_slow_down_while_there_is_time_and_hurry_when_there_is_not() {
    let mut sim = Sim::new(DAY);
    sim.run(HOUR);
    sim.ca_up = false;
    sim.run(12 * HOUR);
    let calm = *sim.gaps().last().unwrap();
    assert!(calm > RETRY_URGENT_MAX && calm <= RETRY_MAX + Duration::from_secs(1), "{calm:?}");
    assert_eq!(sim.rotation.standing(sim.now), Standing::Overdue);
    sim.run(10 * HOUR);
    assert_eq!(sim.rotation.standing(sim.now), Standing::Urgent);
    let urgent = *sim.gaps().last().unwrap();
    assert!(urgent <= RETRY_URGENT_MAX + Duration::from_secs(1), "{urgent:?}");
}

#[test]
fn a_clock_that_jumps_ahead_asks_at_once_and_drops_nothing() {
    let mut sim = Sim::new(DAY);
    sim.run(HOUR);
    sim.now.wall = sim.now.wall.plus(2 * DAY);
    sim.ca_up = false;
    sim.tick();
    assert_eq!(sim.requests.len(), 2);
    sim.run(HOUR);
    assert_eq!(sim.withdrawn, []);
    assert!(sim.rotation.wake_in(sim.now) >= REQUEST_GAP_MIN / 2, "no hot loop");
}

#[test]
fn a_clock_that_falls_back_does_not_delay_renewal() {
    let mut sim = Sim::new(DAY);
    sim.run(HOUR);
    sim.now.wall = sim.now.wall.minus(2 * DAY);
    sim.run(14 * HOUR);
    assert_eq!(sim.published.len(), 2);
}

#[test]
fn a_machine_that_slept_past_the_end_withdraws_and_asks_in_one_step() {
    let mut sim = Sim::new(DAY);
    sim.run(HOUR);
    sim.now = sim.now.plus(3 * DAY);
    let effects = sim.rotation.step(Event::Tick, sim.now);
    assert_eq!(effects, [Effect::Withdraw, Effect::Request]);
}

#[test]
fn a_paused_machine_renews_as_soon_as_it_sees_the_wall_clock() {
    let mut sim = Sim::new(DAY);
    sim.run(HOUR);
    sim.now.wall = sim.now.wall.plus(13 * HOUR);
    assert_eq!(sim.rotation.step(Event::Tick, sim.now), [Effect::Request]);
}

#[test]
fn what_has_ended_on_arrival_is_a_failure_and_waits() {
    let mut rotation = Rotation::new(Policy { ratio: 0.5, jitter: 0.0 }, START, fastrand::Rng::with_seed(1));
    assert_eq!(rotation.step(Event::Tick, START), [Effect::Request]);
    assert_eq!(rotation.step(Event::Issued { not_after: START.wall }, START), []);
    assert_eq!(rotation.state(), State::Absent { failures: 1 });
    assert_eq!(rotation.step(Event::Tick, START.plus(REQUEST_GAP_MIN / 2)), []);
}

#[test]
fn ticks_during_a_request_ask_no_second_time() {
    let mut rotation = Rotation::new(Policy { ratio: 0.5, jitter: 0.0 }, START, fastrand::Rng::with_seed(1));
    assert_eq!(rotation.step(Event::Tick, START), [Effect::Request]);
    assert_eq!(rotation.step(Event::Tick, START.plus(HOUR)), []);
    assert_eq!(rotation.wake_in(START), CHECK_WAIT_MAX);
}

#[derive(Debug, Clone)]
enum Move {
    Sleep,
    WallJumps(i64),
    Pause(u32),
    Suspend(u32),
    Answer { life_secs: u32 },
    Fail,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => Just(Move::Sleep),
        1 => (-200_000i64..200_000).prop_map(Move::WallJumps),
        1 => (0u32..200_000).prop_map(Move::Pause),
        1 => (0u32..200_000).prop_map(Move::Suspend),
        2 => (0u32..100_000).prop_map(|life_secs| Move::Answer { life_secs }),
        2 => Just(Move::Fail),
    ];
    prop::collection::vec(one, 1..200)
}

proptest! {
    /// Whatever clocks and CA do: what is valid by either clock is kept, at most one request runs, and requests keep
    /// their distance.
    #[test]
    fn nothing_valid_is_dropped_and_nothing_spins(moves in moves(), seed: u64, ratio in 0.0..=1.0, jitter in 0.0..=1.0) {
        let mut now = START;
        let mut rotation = Rotation::new(Policy { ratio, jitter }, now, fastrand::Rng::with_seed(seed));
        let (mut running, mut last_request, mut held) = (false, None::<Duration>, None::<Moment>);
        for next in moves {
            let event = match next {
                Move::Answer { life_secs } if running => {
                    running = false;
                    let life = Duration::from_secs(life_secs.into());
                    if !life.is_zero() {
                        held = Some(now.plus(life));
                    }
                    Event::Issued { not_after: now.wall.plus(life) }
                }
                Move::Fail if running => {
                    running = false;
                    Event::Failed { retry_after: None }
                }
                Move::WallJumps(secs) => {
                    now.wall = Timestamp::from_unix_millis(now.wall.unix_millis() + secs * 1000);
                    Event::Tick
                }
                Move::Pause(secs) => {
                    now.wall = now.wall.plus(Duration::from_secs(secs.into()));
                    Event::Tick
                }
                Move::Suspend(secs) => {
                    now = now.plus(Duration::from_secs(secs.into()));
                    Event::Tick
                }
                _ => {
                    now = now.plus(rotation.wake_in(now));
                    Event::Tick
                }
            };
            for effect in rotation.step(event, now) {
                match effect {
                    Effect::Request => {
                        prop_assert!(!running);
                        running = true;
                        let gap = last_request.map(|last| now.uptime - last);
                        prop_assert!(gap.is_none_or(|gap| gap >= REQUEST_GAP_MIN), "{gap:?}");
                        last_request = Some(now.uptime);
                    }
                    Effect::Publish => prop_assert!(held.is_some()),
                    Effect::Withdraw => {
                        let ends = held.take().unwrap();
                        prop_assert!(now.wall >= ends.wall && now.uptime >= ends.uptime);
                    }
                }
            }
            let wait = rotation.wake_in(now);
            prop_assert!((CHECK_WAIT_MIN..=CHECK_WAIT_MAX).contains(&wait));
        }
    }
}

/// The wait after a failure with this hint, for an identity of a day of which so much is left.
fn wait_after(hint: Duration, left: Duration) -> Duration {
    let mut sim = Sim::new(DAY);
    sim.run(Duration::from_secs(10));
    sim.now = sim.now.plus(sim.ends.unwrap().uptime - sim.now.uptime - left);
    sim.step(Event::Tick);
    sim.step(Event::Failed { retry_after: Some(hint) });
    let Work::Waiting { due } = sim.rotation.work else { panic!("it waits") };
    due.soonest(sim.now)
}

#[test]
fn a_ca_that_asks_for_time_gets_it_but_never_past_half_of_what_is_left() {
    let minute = Duration::from_secs(60);
    assert_eq!(wait_after(5 * minute, 10 * HOUR), 5 * minute);
    assert_eq!(wait_after(DAY, 10 * HOUR), HINT_MAX);
    assert_eq!(wait_after(DAY, 4 * minute), 2 * minute);
    let mut absent = Sim::new(DAY);
    absent.step(Event::Tick);
    absent.step(Event::Failed { retry_after: Some(DAY) });
    let Work::Waiting { due } = absent.rotation.work else { panic!("it waits") };
    assert_eq!(due.soonest(absent.now), HINT_ABSENT_MAX);
}

#[test]
fn a_hastened_renewal_comes_within_its_spread_and_never_later_than_before() {
    let mut moments = Vec::new();
    for seed in 0..50 {
        let mut sim = Sim::new(DAY);
        sim.rotation.rng = fastrand::Rng::with_seed(seed);
        sim.run(Duration::from_secs(10));
        sim.rotation.hasten(Duration::from_secs(60), HOUR, sim.now);
        let Work::Waiting { due } = sim.rotation.work else { panic!("it waits") };
        let wait = due.soonest(sim.now);
        assert!((Duration::from_secs(60)..=HOUR + Duration::from_secs(60)).contains(&wait), "{wait:?}");
        sim.rotation.hasten(Duration::from_secs(60), 30 * DAY, sim.now);
        let Work::Waiting { due } = sim.rotation.work else { panic!("it waits") };
        assert!(due.soonest(sim.now) <= wait);
        sim.run(2 * HOUR);
        assert_eq!(sim.published.len(), 2);
        moments.push(wait);
    }
    moments.sort();
    assert!(moments[49] - moments[0] > HOUR / 2, "they are spread");
}
