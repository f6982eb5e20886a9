//! The rules of the incremental form, one row each.

use super::*;
use crate::sds::samples::Sample;
use std::time::Duration;

struct Peer {
    stream: DeltaStream,
    sample: Sample,
    now: Instant,
    nonce: String,
    notes: Vec<Note>,
}

impl Peer {
    fn of(sample: Sample) -> Self {
        let (stream, nonce) = (DeltaStream::new(1), String::new());
        Self { stream, sample, now: Instant::now(), nonce, notes: Vec::new() }
    }

    fn new() -> Self {
        Self::of(Sample::new())
    }

    fn send(&mut self, request: DeltaRequest) -> Vec<String> {
        let Outcome { push, notes } = self.stream.on_request(request, &self.sample.now(), self.now).unwrap();
        self.notes = notes;
        self.hold(push)
    }

    fn hold(&mut self, push: Option<Push>) -> Vec<String> {
        let Some(push) = push else { return Vec::new() };
        self.nonce = push.nonce;
        let offers = push.offers.iter().map(|o| format!("{}:{}", o.secret.name(), o.reason.name()));
        offers.chain(push.removed.iter().map(|name| format!("-{name}"))).collect()
    }

    fn change(&mut self, subscribe: &[&str], unsubscribe: &[&str]) -> Vec<String> {
        let mut request = DeltaRequest::default();
        for name in subscribe {
            match name.parse() {
                Ok(name) => drop(request.known.insert(name)),
                Err(_) => request.unknown.push((*name).to_owned()),
            }
        }
        request.dropped = unsubscribe.iter().filter_map(|name| name.parse().ok()).collect();
        self.send(request)
    }

    fn ack(&mut self) -> Vec<String> {
        self.send(DeltaRequest { nonce: self.nonce.clone(), ..DeltaRequest::default() })
    }

    fn nack(&mut self) -> Vec<String> {
        let rejection = Some("bad".to_owned());
        self.send(DeltaRequest { nonce: self.nonce.clone(), rejection, ..DeltaRequest::default() })
    }

    fn news(&mut self) -> Vec<String> {
        let Outcome { push, notes } = self.stream.on_change(&self.sample.now(), self.now);
        self.notes = notes;
        self.hold(push)
    }

    fn rotate(&mut self) -> Vec<String> {
        self.sample.rotate();
        self.news()
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn names_that_are_subscribed_to_are_always_answered() {
    let mut peer = Peer::new();
    assert_eq!(peer.change(&["default"], &[]), ["default:asked"]);
    assert_eq!(peer.ack(), NOTHING);
    assert_eq!(peer.change(&["default"], &[]), ["default:asked"], "the client may have dropped it");
    assert_eq!(peer.change(&["ROOTCA"], &[]), ["ROOTCA:asked"]);
}

#[test]
fn a_subscription_to_nothing_is_no_wildcard() {
    let mut peer = Peer::new();
    assert_eq!(peer.change(&[], &[]), NOTHING);
    assert_eq!(peer.rotate(), NOTHING);
}

#[test]
fn only_what_changed_is_pushed_until_it_is_unsubscribed() {
    let mut peer = Peer::new();
    peer.change(&["default", "ROOTCA"], &[]);
    peer.ack();
    assert_eq!(peer.rotate(), ["default:rotation"]);
    assert_eq!(peer.news(), NOTHING);
    assert_eq!(peer.change(&[], &["default", "never-had"]), NOTHING);
    assert_eq!(peer.rotate(), NOTHING);
    peer.sample.replace_root();
    assert_eq!(peer.news(), ["ROOTCA:rotation"]);
}

#[test]
fn unknown_names_are_told_as_removed_and_forgotten() {
    let mut peer = Peer::new();
    assert_eq!(peer.change(&["nope", "default", ""], &[]), ["default:asked", "-nope", "-"]);
    assert_eq!(peer.change(&["nope"], &[]), ["-nope"]);
    assert_eq!(peer.notes, [Note::Refused(unknown(vec!["nope".to_owned()]))]);
    assert_eq!(peer.nack(), NOTHING, "a client that rejects a removal is left in peace");
    assert_eq!(peer.rotate(), ["default:rotation"]);
}

#[test]
fn a_secret_that_does_not_exist_yet_is_answered_when_it_does() {
    let mut peer = Peer::of(Sample::empty());
    assert_eq!(peer.change(&["default", "ROOTCA"], &[]), NOTHING);
    assert_eq!(peer.rotate(), ["ROOTCA:rotation", "default:rotation"]);
}

#[test]
fn an_answer_to_somebody_elses_message_is_told_as_stale() {
    let mut peer = Peer::new();
    peer.change(&["default"], &[]);
    peer.nonce = "0000beef-1".to_owned();
    assert_eq!(peer.ack(), NOTHING);
    assert_eq!(peer.notes, [Note::Stale]);
}

#[test]
fn a_late_answer_to_an_older_message_is_no_fault() {
    let mut peer = Peer::new();
    peer.change(&["default"], &[]);
    let first = peer.nonce.clone();
    peer.rotate();
    let second = std::mem::replace(&mut peer.nonce, first);
    peer.ack();
    assert_eq!(peer.notes, []);
    peer.nonce = second;
    peer.ack();
    assert_eq!(peer.news(), NOTHING);
}

#[test]
fn after_a_rejection_what_was_accepted_comes_back_at_once_and_only_once() {
    let mut peer = Peer::new();
    peer.change(&["default"], &[]);
    peer.ack();
    peer.rotate();
    assert_eq!(peer.nack(), ["default:restored"]);
    assert_eq!(peer.nack(), NOTHING);
    assert_eq!(peer.news(), NOTHING);
    peer.now += Duration::from_secs(10);
    assert_eq!(peer.news(), ["default:reoffered"]);
}

#[test]
fn a_rejection_may_change_the_subscription_in_the_same_message() {
    let mut peer = Peer::new();
    peer.change(&["default"], &[]);
    let known = [ResourceName::RootCa].into();
    let dropped = [ResourceName::Default].into();
    let (nonce, rejection) = (peer.nonce.clone(), Some("bad".to_owned()));
    let answer = peer.send(DeltaRequest { known, dropped, nonce, rejection, ..DeltaRequest::default() });
    assert_eq!(answer, ["ROOTCA:asked"]);
    assert_eq!(peer.rotate(), NOTHING);
}

#[test]
fn what_is_not_the_clients_is_told_as_removed() {
    let mut peer = Peer::of(Sample::empty());
    let other = "spiffe://cluster.local/ns/shop/sa/other";
    assert_eq!(peer.change(&["file-root:/etc/x", other, "default"], &[]), ["-file-root:/etc/x"]);
    assert_eq!(peer.rotate(), ["default:rotation".to_owned(), format!("-{other}")]);
    assert_eq!(peer.rotate(), ["default:rotation"], "it is forgotten");
}

#[test]
fn names_added_one_message_after_the_other_are_bounded() {
    let mut peer = Peer::new();
    let names = |from: usize| (from..from + NAMES_MAX / 2).map(|n| format!("file-root:/etc/certs/{n}"));
    for from in [0, NAMES_MAX / 2] {
        let known = names(from).map(|name| name.parse().unwrap()).collect();
        assert_eq!(peer.send(DeltaRequest { known, ..DeltaRequest::default() }), NOTHING);
    }
    let known = ["default".parse().unwrap()].into();
    let request = DeltaRequest { known, ..DeltaRequest::default() };
    assert_eq!(peer.stream.on_request(request, &peer.sample.now(), peer.now).unwrap_err(), TooManyWanted);
}
