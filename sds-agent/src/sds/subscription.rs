//! What one client is known to hold of one secret, and what it should be sent next.
//!
//! Both forms of the protocol share this. At most one answer per name is outstanding in our books: a newer one takes
//! the place of an older one, so nothing queues up behind a slow reader.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use tokio::time::Instant;

use crate::sds::name::ResourceName;
use crate::sds::secret::Secret;
use crate::sds::view::{Found, Refusal, RootsForm, View};
use crate::secrets::Version;

/// Wait before a rejected secret is offered again; it doubles each time. Short, because what the client fell back to
/// ends sooner than what it rejected.
pub const REOFFER_FIRST: Duration = Duration::from_secs(1);

/// Longest wait before a rejected secret is offered again.
pub const REOFFER_MAX: Duration = Duration::from_secs(300);

/// Why something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client asked.
    Asked,
    /// It is new.
    Changed,
    /// The client rejected a newer one and gets back what it had accepted.
    Restored,
    /// The client rejected it earlier and may take it now.
    Reoffered,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Asked, Self::Changed, Self::Restored, Self::Reoffered];

    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Changed => "rotation",
            Self::Restored => "restored",
            Self::Reoffered => "reoffered",
        }
    }
}

/// A secret to be sent.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What.
    pub secret: Secret,
    /// Why.
    pub reason: Reason,
}

/// One message to be sent.
#[derive(Debug)]
pub struct Push {
    /// The nonce that the client will answer with.
    pub nonce: String,
    /// What is in it.
    pub offers: Vec<Offer>,
    /// Names that do not exist; only the incremental protocol can say so.
    pub removed: Vec<String>,
}

/// Nonces of one stream: a random part, so that those of an earlier stream are not taken for ours, and a count.
#[derive(Debug)]
pub struct Nonces {
    stream: u32,
    count: u64,
}

impl Nonces {
    /// Nonces of a new stream.
    pub fn new(stream: u32) -> Self {
        Self { stream, count: 0 }
    }

    /// The next one.
    pub fn issue(&mut self) -> String {
        self.count += 1;
        self.last().unwrap_or_default()
    }

    /// The last one, if there is one.
    pub fn last(&self) -> Option<String> {
        (self.count > 0).then(|| format!("{:08x}-{}", self.stream, self.count))
    }

    /// Whether this stream ever issued `nonce`.
    pub fn is_ours(&self, nonce: &str) -> bool {
        nonce.split_once('-').is_some_and(|(stream, count)| {
            stream == format!("{:08x}", self.stream)
                && count.parse::<u64>().is_ok_and(|count| (1..=self.count).contains(&count))
        })
    }
}

/// A name that is not served to this client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// As it was written.
    pub name: String,
    /// Why.
    pub why: Refusal,
}

/// What must be sent unasked.
#[derive(Debug, Default)]
pub struct Due {
    /// Secrets.
    pub offers: Vec<Offer>,
    /// Names that turned out not to be this client's; they are forgotten.
    pub refused: Vec<Refused>,
}

/// The secrets that one client subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    form: RootsForm,
    names: BTreeMap<ResourceName, Subscription>,
}

#[derive(Debug, Default)]
struct Subscription {
    /// What the client holds or is about to judge; `None` after it rejected it.
    sent: Option<Sent>,
    /// What it accepted last.
    accepted: Option<Secret>,
    refused: Option<Rejected>,
}

#[derive(Debug)]
struct Sent {
    secret: Secret,
    nonce: String,
    reason: Reason,
}

#[derive(Debug)]
struct Rejected {
    version: Version,
    times: u32,
    again_at: Instant,
}

impl Subscriptions {
    /// In which form the client wants roots, from now on.
    pub fn set_form(&mut self, form: RootsForm) {
        self.form = form;
    }

    /// The answer of `view` to `name` for this client.
    pub fn find(&self, name: &ResourceName, view: &View) -> Found {
        view.find(name, self.form)
    }

    /// Adds a name; `false` when it was there.
    pub fn add(&mut self, name: ResourceName) -> bool {
        match self.names.entry(name) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(Subscription::default());
                true
            }
        }
    }

    /// Forgets a name.
    pub fn remove(&mut self, name: &ResourceName) {
        self.names.remove(name);
    }

    /// Forgets every name that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&ResourceName) -> bool) {
        self.names.retain(|name, _| keep(name));
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &ResourceName> {
        self.names.keys()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether this name is one of them.
    pub fn contains(&self, name: &ResourceName) -> bool {
        self.names.contains_key(name)
    }

    /// The client accepted what was sent under `nonce`.
    pub fn accepted(&mut self, nonce: &str) {
        for subscription in self.names.values_mut() {
            let Some(sent) = subscription.sent.as_ref().filter(|sent| sent.nonce == nonce) else { continue };
            // Whatever was refused before is settled, unless this is only what the client was given back meanwhile.
            if sent.reason != Reason::Restored {
                subscription.refused = None;
            }
            subscription.accepted = Some(sent.secret.clone());
        }
    }

    /// The client rejected what was sent under `nonce`: says which names those are, and what to send back at once.
    pub fn rejected(&mut self, nonce: &str, now: Instant) -> (Vec<ResourceName>, Vec<Offer>) {
        let (mut names, mut offers) = (Vec::new(), Vec::new());
        for (name, subscription) in &mut self.names {
            if subscription.sent.as_ref().is_none_or(|sent| sent.nonce != nonce) {
                continue;
            }
            names.push(name.clone());
            offers.extend(subscription.reject(now));
        }
        (names, offers)
    }

    /// What must be sent unasked: news, and rejected secrets whose wait is over.
    pub fn due(&mut self, view: &View, now: Instant) -> Due {
        let mut due = Due::default();
        let form = self.form;
        self.names.retain(|name, subscription| {
            let offer = match view.find(name, form) {
                Found::Ready(current) => subscription.due(current, now),
                Found::Absent => None,
                Found::Refused(why) => {
                    due.refused.push(Refused { name: name.to_string(), why });
                    return false;
                }
            };
            if offer.is_none() && subscription.refused.as_ref().is_some_and(|refused| refused.again_at <= now) {
                // What was refused is not current any more; waiting for it would be waiting for a time that is past.
                subscription.refused = None;
            }
            due.offers.extend(offer);
            true
        });
        due
    }

    /// When something may become due without news.
    pub fn reoffer_at(&self) -> Option<Instant> {
        self.names.values().filter_map(Subscription::reoffer_at).min()
    }

    /// Notes that `offers` are being sent under `nonce`.
    pub fn sent(&mut self, offers: &[Offer], nonce: &str) {
        for offer in offers {
            if let Some(subscription) = self.names.get_mut(offer.secret.name()) {
                let sent = Sent { secret: offer.secret.clone(), nonce: nonce.to_owned(), reason: offer.reason };
                subscription.sent = Some(sent);
            }
        }
    }
}

impl Subscription {
    fn reject(&mut self, now: Instant) -> Option<Offer> {
        let sent = self.sent.take()?;
        let version = sent.secret.version();
        if sent.reason == Reason::Restored {
            // Even what it had accepted is refused now: the fault is elsewhere. Only time can tell.
            return None;
        }
        let times = self.refused.as_ref().filter(|refused| refused.version == *version).map_or(0, |r| r.times);
        let wait = REOFFER_FIRST.saturating_mul(2u32.saturating_pow(times)).min(REOFFER_MAX);
        self.refused =
            Some(Rejected { version: version.clone(), times: times.saturating_add(1), again_at: now + wait });
        let good = self.accepted.clone().filter(|good| good.version() != version)?;
        Some(Offer { secret: good, reason: Reason::Restored })
    }

    /// When the refused version may be offered again, unless that or something newer is on its way already.
    fn reoffer_at(&self) -> Option<Instant> {
        let waits = self.sent.as_ref().is_none_or(|sent| sent.reason == Reason::Restored);
        self.refused.as_ref().filter(|_| waits).map(|refused| refused.again_at)
    }

    fn due(&self, current: Secret, now: Instant) -> Option<Offer> {
        if self.sent.as_ref().is_some_and(|sent| sent.secret.version() == current.version()) {
            return None;
        }
        match &self.refused {
            Some(refused) if refused.version == *current.version() => {
                (refused.again_at <= now).then_some(Offer { secret: current, reason: Reason::Reoffered })
            }
            _ => Some(Offer { secret: current, reason: Reason::Changed }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_of_another_stream_or_of_the_future_is_not_ours() {
        let mut nonces = Nonces::new(7);
        assert_eq!(nonces.last(), None);
        let first = nonces.issue();
        let second = nonces.issue();
        assert!(nonces.is_ours(&first) && nonces.is_ours(&second));
        for foreign in ["", "1", "00000007-3", "00000007-0", "00000008-1", "00000007--1", "00000007-1-1"] {
            assert!(!nonces.is_ours(foreign), "{foreign}");
        }
    }
}
