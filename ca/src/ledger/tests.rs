//! What waits, and for how long.

use std::borrow::Cow;

use super::*;

fn record() -> Issued<'static> {
    let (time, text) = (Timestamp::from_unix_secs(0), Cow::Borrowed("text"));
    Issued {
        time,
        request: text.clone(),
        id: text.clone(),
        kind: None,
        serial: text.clone(),
        not_before: time,
        not_after: time,
        asked_secs: 0,
        granted_secs: 0,
        key: text.clone(),
        key_sha256: text.clone(),
        authority: text.clone(),
        audience: Vec::new(),
        authenticator: text,
        caller: None,
        cluster: None,
        namespace: None,
        service_account: None,
        pod: None,
        pod_uid: None,
        node: None,
        token_id: None,
        peer: None,
        impersonated: false,
    }
}

/// A ledger of which `room` records may wait, and whose writer does nothing.
fn stuck(room: usize) -> (Ledger, Receiver<Order>) {
    let (orders, taken) = sync_channel(room);
    let state = Arc::new(State::new(Health::new().part("ledger")));
    (Ledger { to: Some(To { orders, state, metrics: LedgerMetrics::default() }) }, taken)
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_without_bound_and_a_full_queue_refuses_at_once() {
    let (ledger, taken) = stuck(1);
    let began = tokio::time::Instant::now();
    let record = record();
    let (waits, refused) = tokio::join!(ledger.append(&record, ()), ledger.append(&record, ()));
    assert_eq!((waits, refused), (Err(LedgerError::Slow), Err(LedgerError::Full)));
    assert_eq!(began.elapsed(), CONFIRM_MAX);
    drop(taken);
    assert_eq!(ledger.append(&record, ()).await, Err(LedgerError::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_dies_lets_nobody_wait() {
    let (ledger, taken) = stuck(1);
    let record = record();
    let dies = async { drop(taken) };
    let (waits, ()) = tokio::join!(ledger.append(&record, ()), dies);
    assert_eq!(waits, Err(LedgerError::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_for_a_record_is_held_until_it_is_written_although_nobody_waits_any_more() {
    let (ledger, taken) = stuck(2);
    let (record, held) = (record(), Arc::new(()));
    for _ in 0..2 {
        let gives_up = tokio::time::timeout(Duration::from_millis(1), ledger.append(&record, held.clone()));
        assert!(gives_up.await.is_err());
    }
    assert_eq!(Arc::strong_count(&held), 3);
    (taken.recv().unwrap().done)(Ok(()));
    assert_eq!(Arc::strong_count(&held), 2);
    drop(taken);
    assert_eq!(Arc::strong_count(&held), 1);
}
