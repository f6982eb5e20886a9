//! A token that is slow, hangs, goes away and comes back, as its threads and those who wait see it.

use std::collections::VecDeque;
use std::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering};

use signet_identity::{PrivateKey, Signer};

use super::*;
use crate::token::keys::{TokenKey, TokenKeys};

const TIMEOUT: Duration = Duration::from_millis(200);

/// Long enough for any thread of a busy machine.
const PATIENT: Duration = Duration::from_secs(30);

/// A token made of a key in memory.
struct Fake {
    key: PrivateKey,
    /// How the next attempts to enter end; then they succeed.
    entering: Mutex<VecDeque<TokenError>>,
    entered: AtomicUsize,
    /// How the next signatures end; then they succeed.
    signing: Mutex<VecDeque<TokenError>>,
    signed: AtomicUsize,
    hangs: Mutex<bool>,
    let_go: Condvar,
}

impl Fake {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            key: PrivateKey::generate_p256().unwrap(),
            entering: Mutex::default(),
            entered: AtomicUsize::new(0),
            signing: Mutex::default(),
            signed: AtomicUsize::new(0),
            hangs: Mutex::new(false),
            let_go: Condvar::new(),
        })
    }

    fn keys(self: &Arc<Self>, threads: usize, timeout: Duration, clock: &Clock) -> TokenKeys {
        let metrics = TokenMetrics::default();
        TokenKeys::behind(Arc::new(Door(self.clone())), threads, timeout, clock.clone(), metrics)
    }

    fn key(self: &Arc<Self>, threads: usize, timeout: Duration, clock: &Clock) -> TokenKey {
        self.keys(threads, timeout, clock).find(self.key.public()).unwrap()
    }

    fn hang(&self, hangs: bool) {
        *self.hangs.lock().unwrap() = hangs;
        self.let_go.notify_all();
    }

    fn counts(&self) -> (usize, usize) {
        (self.entered.load(Ordering::SeqCst), self.signed.load(Ordering::SeqCst))
    }
}

struct Door(Arc<Fake>);

struct Way(Arc<Fake>, Signer);

impl Entrance for Door {
    fn enter(&self) -> Result<Box<dyn Session>, TokenError> {
        self.0.entered.fetch_add(1, Ordering::SeqCst);
        match self.0.entering.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(Box::new(Way(self.0.clone(), self.0.key.signer().unwrap()))),
        }
    }
}

impl Session for Way {
    fn sign(&mut self, _: &PublicKey, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let fake = &self.0;
        fake.signed.fetch_add(1, Ordering::SeqCst);
        let hangs = fake.hangs.lock().unwrap();
        drop(fake.let_go.wait_while(hangs, |hangs| *hangs).unwrap());
        match fake.signing.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(self.1.sign(message).unwrap()),
        }
    }
}

fn lost() -> TokenError {
    TokenError::Lost { code: "C_Sign: SessionHandleInvalid".to_owned() }
}

fn clock() -> Clock {
    Clock::manual(1_700_000_000_000)
}

#[tokio::test]
async fn a_session_that_was_lost_is_opened_anew_and_the_request_does_not_notice() {
    let fake = Fake::new();
    let key = fake.key(1, PATIENT, &clock());
    fake.signing.lock().unwrap().push_back(lost());
    assert!(key.sign(b"leaf").await.is_ok());
    assert_eq!(fake.counts(), (2, 3));
    assert!(key.sign(b"leaf").await.is_ok());
    assert_eq!(fake.counts(), (2, 4), "the fresh session stays");
}

#[tokio::test]
async fn a_request_is_tried_twice_and_not_more_often() {
    let fake = Fake::new();
    let key = fake.key(1, PATIENT, &clock());
    fake.signing.lock().unwrap().extend([lost(), lost(), lost()]);
    assert_eq!(key.sign(b"leaf").await, Err(lost()));
    assert_eq!(fake.signing.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_that_has_nothing_to_do_with_the_session_leaves_it_open() {
    let fake = Fake::new();
    let key = fake.key(1, PATIENT, &clock());
    let refused = TokenError::Refused { code: "C_SignInit: MechanismInvalid".to_owned() };
    fake.signing.lock().unwrap().push_back(refused.clone());
    assert_eq!(key.sign(b"leaf").await, Err(refused));
    assert!(key.sign(b"leaf").await.is_ok());
    assert_eq!(fake.counts().0, 1);
}

#[tokio::test]
async fn a_token_that_let_nobody_in_is_not_asked_again_within_a_second_by_however_many() {
    let (fake, clock) = (Fake::new(), clock());
    let key = fake.key(4, PATIENT, &clock);
    let absent = TokenError::Absent { wanted: "label `ca`".to_owned() };
    fake.signing.lock().unwrap().extend(vec![lost(); 100]);
    fake.entering.lock().unwrap().extend(vec![absent.clone(); 100]);
    let before = fake.counts().0;
    for _ in 0..50 {
        assert_eq!(key.sign(b"leaf").await, Err(absent.clone()));
    }
    assert_eq!(fake.counts().0, before + 1);
    clock.advance(ENTER_INTERVAL);
    assert_eq!(key.sign(b"leaf").await, Err(absent));
    assert_eq!(fake.counts().0, before + 2);
    fake.entering.lock().unwrap().clear();
    fake.signing.lock().unwrap().clear();
    clock.advance(ENTER_INTERVAL);
    assert!(key.sign(b"leaf").await.is_ok());
}

#[tokio::test]
async fn a_token_that_hangs_costs_each_caller_its_deadline_and_the_queue_before_it_is_bounded() {
    let fake = Fake::new();
    let key = Arc::new(fake.key(2, TIMEOUT, &clock()));
    fake.hang(true);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..WAITING_MAX + 100 {
        let key = key.clone();
        callers.spawn(async move { key.sign(b"leaf").await });
    }
    let answers = callers.join_all().await;
    let of = |wanted: &TokenError| answers.iter().filter(|answer| answer.as_ref().err() == Some(wanted)).count();
    let (slow, busy) = (of(&TokenError::Slow { waited: TIMEOUT }), of(&TokenError::Busy));
    assert_eq!(slow + busy, WAITING_MAX + 100);
    // Those that wait, and those that the two threads hold.
    assert!((WAITING_MAX..=WAITING_MAX + 2).contains(&slow), "{slow} waited");

    let begun = fake.counts().1;
    fake.hang(false);
    let mut signed = key.sign(b"leaf").await;
    while signed == Err(TokenError::Busy) {
        tokio::task::yield_now().await;
        signed = key.sign(b"leaf").await;
    }
    assert!(signed.is_ok(), "{signed:?}");
    assert_eq!(fake.counts().1, begun + 1, "what nobody waits for any more is not begun");
}

#[tokio::test(flavor = "current_thread")]
async fn the_thread_that_serves_everybody_does_not_wait_for_the_token() {
    let fake = Fake::new();
    let key = fake.key(1, PATIENT, &clock());
    fake.hang(true);
    let asked = async { key.sign(b"leaf").await };
    // The only thread of this runtime gets to the second future while the token hangs.
    let others = async { fake.hang(false) };
    let (signed, ()) = tokio::join!(asked, others);
    assert!(signed.is_ok());
}

#[tokio::test]
async fn trouble_is_remembered_until_the_token_signs_again() {
    let fake = Fake::new();
    let keys = fake.keys(1, PATIENT, &clock());
    let key = keys.find(fake.key.public()).unwrap();
    assert_eq!(keys.trouble(), None);
    fake.signing.lock().unwrap().extend([lost(), lost()]);
    let _ = key.sign(b"leaf").await;
    assert_eq!(keys.trouble(), Some(lost()));
    keys.rung().await;
    key.sign(b"leaf").await.unwrap();
    assert_eq!(keys.trouble(), None);
    keys.rung().await;
    assert!(keys.has_signed_within(Duration::from_secs(1)));
}

#[test]
fn the_threads_end_with_those_who_may_ask() {
    let fake = Fake::new();
    let keys = fake.keys(3, PATIENT, &clock());
    keys.find(fake.key.public()).unwrap();
    drop(keys);
    let deadline = Instant::now() + PATIENT;
    // Each thread holds the door.
    while Arc::strong_count(&fake) > 1 {
        assert!(Instant::now() < deadline, "a thread stays");
        thread::yield_now();
    }
}
