//! The rules of the protocol, one row each. `Peer` is the only code that knows the machine.

use super::*;
use crate::sds::samples::Sample;
use crate::sds::subscription::{REOFFER_FIRST, REOFFER_MAX};
use std::time::Duration;

struct Peer {
    stream: SotwStream,
    sample: Sample,
    now: Instant,
    nonce: String,
    notes: Vec<Note>,
}

/// What a push held, in words: `default:asked`.
type Held = Vec<String>;

impl Peer {
    fn of(sample: Sample) -> Self {
        let (stream, nonce) = (SotwStream::new(1), String::new());
        Self { stream, sample, now: Instant::now(), nonce, notes: Vec::new() }
    }

    fn new() -> Self {
        Self::of(Sample::new())
    }

    fn send(&mut self, names: &[&str], nonce: &str, rejection: Option<&str>) -> Result<Held, NothingServed> {
        let mut request = Request { nonce: nonce.to_owned(), ..Request::default() };
        request.rejection = rejection.map(str::to_owned);
        for name in names {
            match name.parse() {
                Ok(name) => drop(request.known.insert(name)),
                Err(_) => request.unknown.push((*name).to_owned()),
            }
        }
        let Outcome { push, notes } = self.stream.on_request(request, &self.sample.now(), self.now)?;
        self.notes = notes;
        Ok(self.hold(push))
    }

    fn hold(&mut self, push: Option<Push>) -> Held {
        let Some(push) = push else { return Held::new() };
        self.nonce = push.nonce;
        push.offers.iter().map(|o| format!("{}:{}", o.secret.name(), o.reason.name())).collect()
    }

    fn subscribe(&mut self, names: &[&str]) -> Held {
        self.send(names, "", None).unwrap()
    }

    fn ack(&mut self, names: &[&str]) -> Held {
        self.send(names, &self.nonce.clone(), None).unwrap()
    }

    fn nack(&mut self, names: &[&str]) -> Held {
        self.send(names, &self.nonce.clone(), Some("bad")).unwrap()
    }

    fn news(&mut self) -> Held {
        let Outcome { push, notes } = self.stream.on_change(&self.sample.now(), self.now).unwrap();
        self.notes = notes;
        self.hold(push)
    }

    fn rotate(&mut self) -> Held {
        self.sample.rotate();
        self.news()
    }

    fn wait(&mut self, span: Duration) -> Held {
        self.now += span;
        self.news()
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_subscription_is_answered_in_full_and_trust_comes_first() {
    let mut peer = Peer::new();
    assert_eq!(peer.subscribe(&["default", "ROOTCA"]), ["ROOTCA:asked", "default:asked"]);
}

#[test]
fn a_first_request_with_the_nonce_of_an_earlier_stream_is_answered_in_full() {
    let mut peer = Peer::new();
    assert_eq!(peer.send(&["default"], "0000beef-7", None).unwrap(), ["default:asked"]);
}

#[test]
fn an_ack_with_the_same_names_sends_nothing() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    assert_eq!(peer.ack(&["default"]), NOTHING);
    assert_eq!(peer.news(), NOTHING);
}

#[test]
fn a_name_that_is_added_is_answered_alone() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    assert_eq!(peer.ack(&["default", "ROOTCA"]), ["ROOTCA:asked"]);
}

#[test]
fn a_stale_nonce_is_ignored_and_told() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    let stale = peer.nonce.clone();
    peer.rotate();
    assert_eq!(peer.send(&["default", "ROOTCA"], &stale, None).unwrap(), NOTHING);
    assert_eq!(peer.notes, [Note::Stale]);
    assert_eq!(peer.send(&[], "made-up", Some("bad")).unwrap(), NOTHING);
    assert_eq!(peer.notes, [Note::Stale]);
    assert_eq!(peer.rotate(), ["default:rotation"], "a stale message changes no subscription");
}

#[test]
fn an_empty_list_unsubscribes() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    assert_eq!(peer.ack(&[]), NOTHING);
    assert_eq!(peer.rotate(), NOTHING);
    assert_eq!(peer.ack(&["default"]), ["default:asked"], "and may subscribe again");
}

#[test]
fn a_rotation_is_pushed_once_and_only_where_content_changed() {
    let mut peer = Peer::new();
    peer.subscribe(&["default", "ROOTCA"]);
    peer.ack(&["default", "ROOTCA"]);
    assert_eq!(peer.rotate(), ["default:rotation"], "the root is the same");
    assert_eq!(peer.news(), NOTHING);
    peer.sample.replace_root();
    assert_eq!(peer.news(), ["ROOTCA:rotation", "default:rotation"]);
}

#[test]
fn rotations_do_not_wait_for_acknowledgements() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    assert_eq!(peer.rotate(), ["default:rotation"]);
    assert_eq!(peer.rotate(), ["default:rotation"]);
}

#[test]
fn a_secret_that_does_not_exist_yet_is_answered_when_it_does() {
    let mut peer = Peer::of(Sample::empty());
    assert_eq!(peer.subscribe(&["default", "ROOTCA"]), NOTHING);
    assert_eq!(peer.rotate(), ["ROOTCA:rotation", "default:rotation"]);
}

#[test]
fn a_withdrawn_identity_sends_nothing_and_the_next_one_is_pushed() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    peer.ack(&["default"]);
    peer.sample.withdraw();
    assert_eq!(peer.news(), NOTHING);
    let mut late = Peer::of(peer.sample);
    assert_eq!(late.subscribe(&["default", "ROOTCA"]), ["ROOTCA:asked"]);
    assert_eq!(late.rotate(), ["default:rotation"]);
}

#[test]
fn a_rejected_secret_is_not_sent_again_at_once() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    assert_eq!(peer.nack(&["default"]), NOTHING);
    assert_eq!(peer.notes, [Note::Rejected { names: vec![ResourceName::Default], message: "bad".to_owned() }]);
    assert_eq!(peer.news(), NOTHING);
    assert_eq!(peer.rotate(), ["default:rotation"], "a new one is");
}

#[test]
fn after_a_rejection_what_was_accepted_comes_back_at_once_and_only_once() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    peer.ack(&["default"]);
    peer.rotate();
    assert_eq!(peer.nack(&["default"]), ["default:restored"]);
    assert_eq!(peer.ack(&["default"]), NOTHING);
    assert_eq!(peer.news(), NOTHING, "the rejected one is not pushed behind it");
}

#[test]
fn a_client_that_rejects_everything_is_not_answered_for_ever() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    peer.ack(&["default"]);
    peer.rotate();
    let mut pushes = 0;
    for _ in 0..3600 {
        while !peer.nack(&["default"]).is_empty() {
            pushes += 1;
        }
        pushes += peer.wait(Duration::from_secs(1)).len();
    }
    // Waits of 1, 2, 4 ... 300 seconds: some 20 offers in an hour, each followed by one return.
    assert!((30..=50).contains(&pushes), "{pushes}");
}

#[test]
fn a_rejected_secret_is_offered_again_after_a_while_and_then_counts_as_held() {
    let mut peer = Peer::new();
    peer.subscribe(&["ROOTCA"]);
    peer.ack(&["ROOTCA"]);
    peer.sample.replace_root();
    peer.news();
    peer.nack(&["ROOTCA"]);
    peer.ack(&["ROOTCA"]);
    assert_eq!(peer.stream.wake_at(), Some(peer.now + REOFFER_FIRST));
    assert_eq!(peer.wait(REOFFER_FIRST / 2), NOTHING);
    assert_eq!(peer.wait(REOFFER_FIRST / 2), ["ROOTCA:reoffered"]);
    assert_eq!(peer.ack(&["ROOTCA"]), NOTHING);
    assert_eq!(peer.stream.wake_at(), None);
    assert_eq!(peer.wait(REOFFER_MAX), NOTHING);
}

/// A wake-up in the past would make the task that drives the stream spin.
#[track_caller]
fn check_sleeps(peer: &mut Peer) {
    assert_eq!(peer.wait(REOFFER_MAX), NOTHING);
    assert!(peer.stream.wake_at().is_none_or(|at| at > peer.now), "{:?} at {:?}", peer.stream.wake_at(), peer.now);
}

/// A client that took one identity and rejected the next, which it has just been offered again.
fn reoffered() -> Peer {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    peer.ack(&["default"]);
    peer.rotate();
    peer.nack(&["default"]);
    peer.ack(&["default"]);
    assert_eq!(peer.wait(REOFFER_FIRST), ["default:reoffered"]);
    peer
}

#[test]
fn a_client_that_is_silent_after_an_offer_leaves_nothing_to_wake_for() {
    check_sleeps(&mut reoffered());
}

#[test]
fn a_rotation_settles_what_was_rejected_before() {
    let mut peer = reoffered();
    assert_eq!(peer.rotate(), ["default:rotation"]);
    assert_eq!(peer.ack(&["default"]), NOTHING);
    check_sleeps(&mut peer);
}

#[test]
fn a_rejected_identity_that_is_withdrawn_is_not_waited_for() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    assert_eq!(peer.nack(&["default"]), NOTHING);
    peer.sample.withdraw();
    check_sleeps(&mut peer);
}

#[test]
fn a_rejection_that_changes_the_names_still_changes_them() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    assert_eq!(peer.nack(&["ROOTCA"]), ["ROOTCA:asked"]);
    assert_eq!(peer.rotate(), NOTHING, "the name that was dropped is not pushed");
}

#[test]
fn an_unknown_name_blocks_no_other() {
    let mut peer = Peer::new();
    assert_eq!(peer.subscribe(&["default", "defualt", ""]), ["default:asked"]);
    assert_eq!(peer.notes, [Note::Refused(unknown(vec!["defualt".to_owned(), String::new()]))]);
    assert_eq!(peer.rotate(), ["default:rotation"]);
}

#[test]
fn a_stream_that_asks_for_unknown_names_only_is_ended_by_name() {
    for name in ["defualt", "", "DEFAULT", "default ", "file-cert:/etc/certs/x", "spiffe://else.where"] {
        let error = Peer::new().send(&[name], "", None).unwrap_err();
        assert_eq!(error.refused, unknown(vec![name.to_owned()]));
        assert_eq!(error.refusal(), Refusal::Unknown);
    }
    let names: Vec<_> = (0..7).map(|n| format!("{n}\n{}", "x".repeat(200))).collect();
    let text = NothingServed { refused: unknown(names) }.to_string();
    assert!(text.ends_with("and 2 more") && !text.contains('\n') && text.len() < 700, "{text}");
}

#[test]
fn an_empty_nonce_later_on_asks_anew() {
    let mut peer = Peer::new();
    peer.subscribe(&["default"]);
    assert_eq!(peer.subscribe(&["default"]), ["default:asked"]);
}

#[test]
fn a_name_that_is_not_the_clients_is_refused_with_the_reason_and_blocks_no_other() {
    let mut peer = Peer::new();
    let file = "file-cert:/etc/x~/etc/y";
    let error = peer.send(&["nope", file], "", None).unwrap_err();
    assert_eq!(error.refusal(), Refusal::Outside);
    assert_eq!(error.to_string(), "secret `file-cert:/etc/x~/etc/y` is outside the directories of `sds.file_dirs`");
    assert_eq!(peer.subscribe(&["default", file]), ["default:asked"]);
    assert_eq!(peer.notes, [Note::Refused(vec![Refused { name: file.to_owned(), why: Refusal::Outside }])]);
    assert_eq!(peer.rotate(), ["default:rotation"]);
}

#[test]
fn an_identity_by_its_own_name_is_served_beside_default() {
    let mut peer = Peer::new();
    let own = "spiffe://cluster.local/ns/shop/sa/web";
    let asked = peer.subscribe(&["default", own, "ALL", "spiffe://cluster.local"]);
    let wanted = ["ALL:asked", "spiffe://cluster.local:asked", "default:asked"].map(str::to_owned);
    assert_eq!(asked, wanted.into_iter().chain([format!("{own}:asked")]).collect::<Vec<_>>());
    assert_eq!(peer.rotate(), ["default:rotation".to_owned(), format!("{own}:rotation")]);
}

#[test]
fn a_name_that_turns_out_to_be_anothers_ends_the_stream_when_nothing_else_is_wanted() {
    let mut peer = Peer::of(Sample::empty());
    let other = "spiffe://cluster.local/ns/shop/sa/other";
    assert_eq!(peer.subscribe(&[other, "default"]), NOTHING);
    assert_eq!(peer.rotate(), ["default:rotation"]);
    assert_eq!(peer.notes, [Note::Refused(vec![Refused { name: other.to_owned(), why: Refusal::NotYours }])]);
    let mut peer = Peer::of(Sample::empty());
    assert_eq!(peer.subscribe(&[other]), NOTHING);
    peer.sample.rotate();
    let error = peer.stream.on_change(&peer.sample.now(), peer.now).unwrap_err();
    assert_eq!(error.refusal(), Refusal::NotYours);
}
