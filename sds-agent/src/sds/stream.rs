//! The state-of-the-world form of SDS: each request names everything the client wants, each answer is acknowledged.
//!
//! Pure: requests, snapshots and time go in, messages to send come out. A rejected message is never sent again at
//! once; what the client had accepted before is, since a proxy may go on half-way with what it rejected.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::sds::ResourceName;
use crate::sds::subscription::{Due, Nonces, Offer, Push, Reason, Refused, Subscriptions};
use crate::sds::view::{Found, Refusal, RootsForm, View};

/// One message of a client, in words of this room.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Known names it asks for.
    pub known: BTreeSet<ResourceName>,
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
        names: Vec<ResourceName>,
        /// The client's words.
        message: String,
    },
    /// The message answers something older than the last answer.
    Stale,
    /// Names that are not served.
    Refused(Vec<Refused>),
}

/// What follows from one message.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What to send.
    pub push: Option<Push>,
    /// What to tell.
    pub notes: Vec<Note>,
}

/// No name that the client asked for is served: there is nothing to do on this stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", why(refused))]
pub struct NothingServed {
    /// Each name with the reason; at least one.
    pub refused: Vec<Refused>,
}

impl NothingServed {
    /// The weightiest reason: a name that exists, but not for this client, before one that does not exist.
    pub fn refusal(&self) -> Refusal {
        self.refused.iter().map(|refused| refused.why).max().unwrap_or(Refusal::Unknown)
    }
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
    /// [`NothingServed`]; the stream must then end.
    pub fn on_request(&mut self, request: Request, view: &View, now: Instant) -> Result<Outcome, NothingServed> {
        let relation = self.relation(&request.nonce);
        let mut notes = Vec::new();
        if relation == Relation::Stale {
            return Ok(Outcome { push: None, notes: vec![Note::Stale] });
        }
        let mut offers = self.judge(relation, &request, &mut notes, now);
        let is_fresh = relation == Relation::Fresh && request.rejection.is_none();
        let mut refused = unknown(request.unknown);
        self.wanted.retain(|name| request.known.contains(name));
        offers.retain(|offer| request.known.contains(offer.secret.name()));
        for name in request.known {
            match self.wanted.find(&name, view) {
                Found::Refused(why) => {
                    self.wanted.remove(&name);
                    refused.push(Refused { name: name.to_string(), why });
                }
                Found::Absent => drop(self.wanted.add(name)),
                Found::Ready(secret) if self.wanted.add(name) || is_fresh => {
                    offers.push(Offer { secret, reason: Reason::Asked });
                }
                Found::Ready(_) => {}
            }
        }
        if !refused.is_empty() {
            if self.wanted.is_empty() {
                return Err(NothingServed { refused });
            }
            notes.push(Note::Refused(refused));
        }
        Ok(Outcome { push: self.push(offers), notes })
    }

    /// What must be sent after secrets changed or a wait ended.
    ///
    /// # Errors
    /// [`NothingServed`]; the stream must then end.
    pub fn on_change(&mut self, view: &View, now: Instant) -> Result<Outcome, NothingServed> {
        let Due { offers, refused } = self.wanted.due(view, now);
        if !refused.is_empty() && self.wanted.is_empty() {
            return Err(NothingServed { refused });
        }
        let notes = if refused.is_empty() { Vec::new() } else { vec![Note::Refused(refused)] };
        Ok(Outcome { push: self.push(offers), notes })
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

/// The names that nobody knows, as refused.
pub fn unknown(names: Vec<String>) -> Vec<Refused> {
    names.into_iter().map(|name| Refused { name, why: Refusal::Unknown }).collect()
}

/// One sentence about names that are not served.
pub fn why(refused: &[Refused]) -> String {
    match refused.iter().find(|refused| refused.why != Refusal::Unknown) {
        Some(Refused { name, why }) => format!("secret {} {why}", quoted(std::slice::from_ref(name))),
        None => {
            let names: Vec<_> = refused.iter().map(|refused| refused.name.clone()).collect();
            format!("no secret is named {}", quoted(&names))
        }
    }
}

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
