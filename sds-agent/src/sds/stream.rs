//! The state-of-the-world form of SDS: each request names everything the client wants, each answer is acknowledged.
//!
//! Pure: requests, snapshots and time go in, messages to send come out. A rejected message is never sent again at
//! once; what the client had accepted before is, since a proxy may go on half-way with what it rejected.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::sds::SecretName;
use crate::sds::subscription::{Nonces, Offer, Push, Reason, Secret, Subscriptions};
use crate::secrets::Snapshot;

/// One message of a client, in words of this room.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Known names it asks for.
    pub known: BTreeSet<SecretName>,
    /// Other names it asks for.
    pub unknown: Vec<String>,
    /// The nonce it answers, empty when it answers none.
    pub nonce: String,
    /// Why it rejected that answer, if it did.
    pub rejection: Option<String>,
}

/// Something worth counting and logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The client rejected an answer.
    Rejected {
        /// The secrets in it that are still wanted.
        names: Vec<SecretName>,
        /// The client's words.
        message: String,
    },
    /// The message answers something older than the last answer.
    Stale,
    /// Names that do not exist.
    Unknown {
        /// As they were written.
        names: Vec<String>,
    },
}

/// What follows from one message.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What to send.
    pub push: Option<Push>,
    /// What to tell.
    pub notes: Vec<Note>,
}

/// Every name that the client asked for is unknown: there is nothing to serve on this stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no secret is named {}", quoted(names))]
pub struct NothingKnown {
    /// As they were written.
    pub names: Vec<String>,
}

/// One client's state.
#[derive(Debug)]
pub struct SotwStream {
    wanted: Subscriptions,
    nonces: Nonces,
}

/// How a message relates to what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It answers nothing: a subscription, to be answered in full.
    Fresh,
    /// It answers the last message.
    Answer,
    /// It answers an older one, or one of somebody else.
    Stale,
}

impl SotwStream {
    /// A new stream; `random` tells its nonces from those of other streams.
    pub fn new(random: u32) -> Self {
        Self { wanted: Subscriptions::default(), nonces: Nonces::new(random) }
    }

    /// Takes in one message.
    ///
    /// # Errors
    /// [`NothingKnown`]; the stream must then end.
    pub fn on_request(&mut self, request: Request, snapshot: &Snapshot, now: Instant) -> Result<Outcome, NothingKnown> {
        let relation = self.relation(&request.nonce);
        let mut notes = Vec::new();
        if relation == Relation::Stale {
            return Ok(Outcome { push: None, notes: vec![Note::Stale] });
        }
        let mut offers = self.judge(relation, &request, &mut notes, now);
        if request.known.is_empty() && !request.unknown.is_empty() {
            return Err(NothingKnown { names: request.unknown });
        }
        self.wanted.retain(|name| request.known.contains(&name));
        offers.retain(|offer| request.known.contains(&offer.secret.name()));
        for name in request.known {
            let added = self.wanted.add(name);
            if added || (relation == Relation::Fresh && request.rejection.is_none()) {
                let secret = Secret::current(name, snapshot);
                offers.extend(secret.map(|secret| Offer { secret, reason: Reason::Asked }));
            }
        }
        if !request.unknown.is_empty() {
            notes.push(Note::Unknown { names: request.unknown });
        }
        Ok(Outcome { push: self.push(offers), notes })
    }

    /// What must be sent after secrets changed or a wait ended.
    pub fn on_change(&mut self, snapshot: &Snapshot, now: Instant) -> Option<Push> {
        let offers = self.wanted.due(snapshot, now);
        self.push(offers)
    }

    /// When [`SotwStream::on_change`] is due without news.
    pub fn wake_at(&self) -> Option<Instant> {
        self.wanted.reoffer_at()
    }

    fn relation(&self, nonce: &str) -> Relation {
        match self.nonces.last() {
            // A client that reconnects may still hold the nonce of an earlier stream; that is no fault.
            None => Relation::Fresh,
            Some(_) if nonce.is_empty() => Relation::Fresh,
            Some(last) if last == nonce => Relation::Answer,
            Some(_) => Relation::Stale,
        }
    }

    fn judge(&mut self, relation: Relation, request: &Request, notes: &mut Vec<Note>, now: Instant) -> Vec<Offer> {
        match &request.rejection {
            Some(message) => {
                let (names, offers) = self.wanted.rejected(&request.nonce, now);
                notes.push(Note::Rejected { names, message: message.clone() });
                offers
            }
            None => {
                if relation == Relation::Answer {
                    self.wanted.accepted(&request.nonce);
                }
                Vec::new()
            }
        }
    }

    fn push(&mut self, offers: Vec<Offer>) -> Option<Push> {
        if offers.is_empty() {
            return None;
        }
        let nonce = self.nonces.issue();
        self.wanted.sent(&offers, &nonce);
        Some(Push { nonce, offers, removed: Vec::new() })
    }
}

/// Names told in an error or a log line, at most.
const NAMES_TOLD_MAX: usize = 5;

/// Characters of a name told, at most.
const NAME_TOLD_MAX_CHARS: usize = 100;

/// Names for an error or a log line: escaped, cut short, a few.
pub fn quoted(names: &[String]) -> String {
    let quote = |name: &String| format!("`{}`", name.escape_debug().take(NAME_TOLD_MAX_CHARS).collect::<String>());
    let mut text = names.iter().take(NAMES_TOLD_MAX).map(quote).collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(NAMES_TOLD_MAX).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests;
