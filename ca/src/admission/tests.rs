//! Waiting at the gate, under a clock that the tests move.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinSet;

use super::*;

const WAIT_MAX: Duration = Duration::from_secs(10);

fn admission(in_flight: usize, waiting: usize) -> Admission {
    paced(in_flight, waiting, 0)
}

fn paced(in_flight: usize, waiting: usize, burst: u32) -> Admission {
    let pace = PaceConfig { burst, interval: Duration::from_secs(10) };
    Admission::new(&AdmissionConfig { in_flight, waiting, wait_max: WAIT_MAX, pace }, AdmissionMetrics::default())
}

fn of(node: &'static str, holder: &'static str) -> Applicant<'static> {
    let (voucher, id) = (holder, holder);
    Applicant { holder, voucher, kind: "test", cluster: Some("one"), node: Some(node), id, peer: None, deadline: None }
}

fn inside(admission: &Admission) -> (usize, usize) {
    let state = admission.shared.lock();
    (state.gate.inside(), state.gate.waiting())
}

/// Looks at a future once.
async fn look<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(pin!(&mut *future).poll(cx))).await
}

#[tokio::test(start_paused = true)]
async fn who_waits_enters_when_another_leaves() {
    let admission = admission(1, 10);
    let permit = admission.enter(&of("a", "1")).await.unwrap();
    let second = of("a", "2");
    let mut waiting = Box::pin(admission.enter(&second));
    assert!(look(&mut waiting).await.is_pending());
    assert_eq!(inside(&admission), (1, 1));
    drop(permit);
    let permit = waiting.await.unwrap();
    assert_eq!(inside(&admission), (1, 0));
    drop(permit);
    assert_eq!(inside(&admission), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_gives_its_place_back_whenever_that_is() {
    let admission = admission(1, 10);
    let permit = admission.enter(&of("a", "1")).await.unwrap();
    let (second, third) = (of("a", "2"), of("a", "3"));
    let (mut gone, mut told) = (Box::pin(admission.enter(&second)), Box::pin(admission.enter(&third)));
    assert!(look(&mut gone).await.is_pending() && look(&mut told).await.is_pending());
    drop(gone);
    assert_eq!(inside(&admission), (1, 1));
    // The next one is told that it may enter, and goes away before it hears of it.
    drop(permit);
    drop(told);
    assert_eq!(inside(&admission), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_past_its_deadline_is_dropped() {
    let admission = admission(1, 10);
    let _permit = admission.enter(&of("a", "1")).await.unwrap();
    let soon = Instant::now() + Duration::from_secs(2);
    let hurried = Applicant { deadline: Some(soon), ..of("a", "2") };
    assert_eq!(admission.enter(&hurried).await.unwrap_err(), ShedError::Late);
    assert_eq!(Instant::now().duration_since(soon).as_secs(), 0);
    assert_eq!(admission.enter(&hurried).await.unwrap_err(), ShedError::Late, "it need not wait for that");
    assert_eq!(inside(&admission), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_comes_too_late_goes_on_to_the_next() {
    let admission = admission(1, 10);
    let permit = admission.enter(&of("a", "1")).await.unwrap();
    let late = Applicant { deadline: Some(Instant::now() + Duration::from_secs(2)), ..of("a", "2") };
    let patient = of("b", "3");
    let (mut late, mut patient) = (Box::pin(admission.enter(&late)), Box::pin(admission.enter(&patient)));
    assert!(look(&mut late).await.is_pending() && look(&mut patient).await.is_pending());
    drop(permit);
    // Nobody looked at it while its time ran out.
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(late.await.unwrap_err(), ShedError::Late);
    patient.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_operator_lets_them_and_all_are_told_when_to_come_back() {
    let admission = admission(1, 1);
    let _permit = admission.enter(&of("a", "1")).await.unwrap();
    let (second, third) = (of("a", "2"), of("b", "3"));
    let (began, mut waiting) = (Instant::now(), Box::pin(admission.enter(&second)));
    assert!(look(&mut waiting).await.is_pending());
    let full = admission.enter(&third).await.unwrap_err();
    let waited = waiting.await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), WAIT_MAX.as_secs());
    assert_eq!((full.reason(), waited.reason()), ("queue_full", "waited_too_long"));
    for error in [full, waited] {
        let after = error.retry_after().unwrap();
        assert!((RETRY_AFTER_MIN..=RETRY_AFTER_MAX).contains(&after), "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_most_is_told_that_its_place_went_to_another() {
    let admission = admission(1, 2);
    let _permit = admission.enter(&of("a", "0")).await.unwrap();
    let (one, two, other) = (of("a", "1"), of("a", "2"), of("b", "3"));
    let (mut one, mut two) = (Box::pin(admission.enter(&one)), Box::pin(admission.enter(&two)));
    assert!(look(&mut one).await.is_pending() && look(&mut two).await.is_pending());
    let mut other = Box::pin(admission.enter(&other));
    assert!(look(&mut other).await.is_pending());
    let turned_away = match (look(&mut one).await, look(&mut two).await) {
        (Poll::Ready(Err(error)), Poll::Pending) | (Poll::Pending, Poll::Ready(Err(error))) => error,
        others => panic!("{others:?}"),
    };
    assert_eq!(turned_away.reason(), "pushed_out");
}

#[tokio::test(start_paused = true)]
async fn who_was_served_before_goes_after_who_was_not() {
    let admission = admission(1, 10);
    admission.enter(&of("a", "old")).await.unwrap().served();
    let permit = admission.enter(&of("b", "0")).await.unwrap();
    let (old, new) = (of("a", "old"), of("c", "new"));
    let (mut old, mut new) = (Box::pin(admission.enter(&old)), Box::pin(admission.enter(&new)));
    assert!(look(&mut old).await.is_pending() && look(&mut new).await.is_pending());
    drop(permit);
    let permit = new.await.unwrap();
    assert!(look(&mut old).await.is_pending());
    drop(permit);
    old.await.unwrap();
}

/// One node asks for a hundred times as much as another, each certificate taking a millisecond.
#[tokio::test(start_paused = true)]
async fn a_node_that_floods_does_not_delay_another_beyond_its_share() {
    let admission = Arc::new(admission(4, 10_000));
    let mut asking = JoinSet::new();
    let ask = |asking: &mut JoinSet<_>, node: &'static str, count: usize| {
        for _ in 0..count {
            let admission = admission.clone();
            asking.spawn(async move {
                let permit = admission.enter(&of(node, node)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
                drop(permit);
                (node, Instant::now())
            });
        }
    };
    let began = Instant::now();
    ask(&mut asking, "flood", 2_000);
    tokio::task::yield_now().await;
    ask(&mut asking, "calm", 20);
    let ended = asking.join_all().await;
    let last = |node| ended.iter().filter(|(of, _)| *of == node).map(|(_, at)| at.duration_since(began)).max().unwrap();
    // Twenty of its own and as many of the other's, four at a time, after the four that were inside.
    assert!(last("calm") <= Duration::from_millis(12), "{:?}", last("calm"));
    assert!(last("flood") >= Duration::from_millis(500), "{:?}", last("flood"));
    assert_eq!(inside(&admission), (0, 0));
}

/// Threads that come, wait, give up and leave as they like.
#[test]
fn places_add_up_whatever_happens_at_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let admission = Arc::new(admission(3, 50));
        let mut asking = JoinSet::new();
        for number in 0..4_000u64 {
            let admission = admission.clone();
            asking.spawn(async move {
                let node = ["a", "b", "c"][(number % 3) as usize];
                let applicant = of(node, node);
                let entered = tokio::time::timeout(Duration::from_micros(number % 700), admission.enter(&applicant));
                if let Ok(Ok(permit)) = entered.await {
                    tokio::task::yield_now().await;
                    assert!(inside(&admission).0 <= 3);
                    drop(permit);
                }
            });
        }
        asking.join_all().await;
        assert_eq!(inside(&admission), (0, 0));
    });
}

#[tokio::test(start_paused = true)]
async fn who_comes_too_often_is_told_when_to_come_again_and_what_was_not_given_is_not_counted() {
    let admission = paced(1, 1, 2);
    let permit = admission.enter(&of("a", "1")).await.unwrap();
    let waits = of("a", "2");
    let mut waiting = Box::pin(admission.enter(&waits));
    assert!(look(&mut waiting).await.is_pending());
    for _ in 0..100 {
        assert_eq!(admission.enter(&of("a", "1")).await.unwrap_err().reason(), "queue_full");
    }
    drop(permit);
    drop(waiting.await.unwrap());
    drop(admission.enter(&of("a", "1")).await.unwrap());
    let error = admission.enter(&of("a", "1")).await.unwrap_err();
    assert_eq!((error.reason(), error.retry_after()), ("holder_rate", Some(Duration::from_secs(10))));
    for other in [Applicant { cluster: Some("two"), ..of("a", "1") }, Applicant { kind: "other", ..of("a", "1") }] {
        assert!(admission.enter(&other).await.is_ok());
    }
    assert!(admission.enter(&Applicant { id: "another", ..of("a", "1") }).await.is_ok(), "as a node proxy does");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(admission.enter(&of("a", "1")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_node_of_the_same_name_in_another_cluster_has_turns_of_its_own() {
    let admission = admission(1, 100);
    let permit = admission.enter(&of("a", "0")).await.unwrap();
    let first: Vec<_> = ["1", "2", "3", "4"].map(|holder| of("a", holder)).into();
    let other = Applicant { cluster: Some("two"), ..of("a", "5") };
    let mut waiting: Vec<_> = first.iter().map(|applicant| Box::pin(admission.enter(applicant))).collect();
    for waits in &mut waiting {
        assert!(look(waits).await.is_pending());
    }
    let mut other = Box::pin(admission.enter(&other));
    assert!(look(&mut other).await.is_pending());
    drop(permit);
    drop(waiting.remove(0).await.unwrap());
    assert!(look(&mut other).await.is_ready(), "its turn is the second and not the fifth");
}
