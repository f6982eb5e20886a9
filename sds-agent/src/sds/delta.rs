//! The incremental form of SDS: requests change the subscription, answer a message, or both.
//!
//! Pure, like its sibling. A name that is subscribed to is always answered, also when the client seems to hold the
//! newest version: it may have dropped it. A name that does not exist is told as removed and not remembered.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::sds::stream::{Note, Outcome, unknown};
use crate::sds::subscription::{Due, Nonces, Offer, Push, Reason, Refused, Subscriptions};
use crate::sds::view::{Found, RootsForm, View};
use crate::sds::{NAMES_MAX, ResourceName};

/// One message of a client, in words of this room.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DeltaRequest {
    /// Known names it subscribes to.
    pub known: BTreeSet<ResourceName>,
    /// Other names it subscribes to.
    pub unknown: Vec<String>,
    /// Known names it gives up.
    pub dropped: BTreeSet<ResourceName>,
    /// The nonce it answers, empty when it answers none.
    pub nonce: String,
    /// Why it rejected that message, if it did.
    pub rejection: Option<String>,
}

/// The client asked for more names, one message after the other, than a stream may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stream has more than {NAMES_MAX} resource names")]
pub struct TooManyWanted;

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

    /// In which form the client wants roots.
    pub fn set_form(&mut self, form: RootsForm) {
        self.wanted.set_form(form);
    }

    /// What the client asks for.
    pub fn wanted(&self) -> &Subscriptions {
        &self.wanted
    }

    /// Takes in one message.
    ///
    /// # Errors
    /// [`TooManyWanted`]; the stream must then end.
    pub fn on_request(&mut self, request: DeltaRequest, view: &View, now: Instant) -> Result<Outcome, TooManyWanted> {
        let mut notes = Vec::new();
        let mut offers = self.judge(&request, &mut notes, now);
        for name in &request.dropped {
            self.wanted.remove(name);
        }
        offers.retain(|offer| !request.known.contains(offer.secret.name()));
        let mut refused = unknown(request.unknown);
        for name in request.known {
            match self.wanted.find(&name, view) {
                Found::Refused(why) => refused.push(Refused { name: name.to_string(), why }),
                Found::Absent => drop(self.wanted.add(name)),
                Found::Ready(secret) => {
                    self.wanted.add(name);
                    offers.push(Offer { secret, reason: Reason::Asked });
                }
            }
        }
        if self.wanted.len() > NAMES_MAX {
            return Err(TooManyWanted);
        }
        Ok(self.outcome(offers, refused, notes))
    }

    /// What must be sent after secrets changed or a wait ended.
    pub fn on_change(&mut self, view: &View, now: Instant) -> Outcome {
        let Due { offers, refused } = self.wanted.due(view, now);
        self.outcome(offers, refused, Vec::new())
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

    fn outcome(&mut self, offers: Vec<Offer>, refused: Vec<Refused>, mut notes: Vec<Note>) -> Outcome {
        let removed: Vec<_> = refused.iter().map(|refused| refused.name.clone()).collect();
        if !refused.is_empty() {
            notes.push(Note::Refused(refused));
        }
        Outcome { push: self.push(offers, removed), notes }
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
