//! The incremental form of SDS: requests change the subscription, answer a message, or both.
//!
//! Pure, like its sibling. A name that is subscribed to is always answered, also when the client seems to hold the
//! newest version: it may have dropped it. A name that does not exist is told as removed and not remembered.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::sds::SecretName;
use crate::sds::stream::{Note, Outcome};
use crate::sds::subscription::{Nonces, Offer, Push, Reason, Secret, Subscriptions};
use crate::secrets::Snapshot;

/// One message of a client, in words of this room.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DeltaRequest {
    /// Known names it subscribes to.
    pub known: BTreeSet<SecretName>,
    /// Other names it subscribes to.
    pub unknown: Vec<String>,
    /// Known names it gives up.
    pub dropped: BTreeSet<SecretName>,
    /// The nonce it answers, empty when it answers none.
    pub nonce: String,
    /// Why it rejected that message, if it did.
    pub rejection: Option<String>,
}

/// One client's state.
#[derive(Debug)]
pub struct DeltaStream {
    wanted: Subscriptions,
    nonces: Nonces,
}

impl DeltaStream {
    /// A new stream; `random` tells its nonces from those of other streams.
    pub fn new(random: u32) -> Self {
        Self { wanted: Subscriptions::default(), nonces: Nonces::new(random) }
    }

    /// Takes in one message.
    pub fn on_request(&mut self, request: DeltaRequest, snapshot: &Snapshot, now: Instant) -> Outcome {
        let mut notes = Vec::new();
        let mut offers = self.judge(&request, &mut notes, now);
        for name in request.dropped {
            self.wanted.remove(name);
        }
        offers.retain(|offer| !request.known.contains(&offer.secret.name()));
        for name in request.known {
            self.wanted.add(name);
            let secret = Secret::current(name, snapshot);
            offers.extend(secret.map(|secret| Offer { secret, reason: Reason::Asked }));
        }
        if !request.unknown.is_empty() {
            notes.push(Note::Unknown { names: request.unknown.clone() });
        }
        Outcome { push: self.push(offers, request.unknown), notes }
    }

    /// What must be sent after secrets changed or a wait ended.
    pub fn on_change(&mut self, snapshot: &Snapshot, now: Instant) -> Option<Push> {
        let offers = self.wanted.due(snapshot, now);
        self.push(offers, Vec::new())
    }

    /// When [`DeltaStream::on_change`] is due without news.
    pub fn wake_at(&self) -> Option<Instant> {
        self.wanted.reoffer_at()
    }

    fn judge(&mut self, request: &DeltaRequest, notes: &mut Vec<Note>, now: Instant) -> Vec<Offer> {
        if let Some(message) = &request.rejection {
            let (names, offers) = self.wanted.rejected(&request.nonce, now);
            notes.push(Note::Rejected { names, message: message.clone() });
            return offers;
        }
        if !request.nonce.is_empty() {
            if self.nonces.is_ours(&request.nonce) {
                self.wanted.accepted(&request.nonce);
            } else {
                notes.push(Note::Stale);
            }
        }
        Vec::new()
    }

    fn push(&mut self, offers: Vec<Offer>, removed: Vec<String>) -> Option<Push> {
        if offers.is_empty() && removed.is_empty() {
            return None;
        }
        let nonce = self.nonces.issue();
        self.wanted.sent(&offers, &nonce);
        Some(Push { nonce, offers, removed })
    }
}

#[cfg(test)]
mod tests;
