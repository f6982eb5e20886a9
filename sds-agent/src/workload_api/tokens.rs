//! Tokens that were minted lately and may be handed out again: programs ask for one before each call of theirs, and the
//! CA need not hear of it. Pure: time comes in.

use std::collections::BTreeMap;

use signet_identity::{SpiffeId, Timestamp};
use zeroize::Zeroizing;

/// Most tokens kept.
pub(super) const TOKENS_MAX: usize = 64;

/// A token of the CA.
#[derive(Clone)]
pub(super) struct Minted {
    pub(super) id: SpiffeId,
    pub(super) token: Zeroizing<String>,
    pub(super) minted_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

impl Minted {
    /// Whether it is in the first half of its life: whoever gets it has the other half to use it. A clock that went back
    /// makes it no younger.
    fn is_fresh(&self, now: Timestamp) -> bool {
        let life = self.expires_at.since(self.minted_at);
        self.minted_at <= now && now < self.minted_at.plus(life / 2)
    }
}

/// The tokens, by identity and by whom they are for.
#[derive(Default)]
pub(super) struct Tokens {
    kept: BTreeMap<Vec<String>, Minted>,
}

impl Tokens {
    /// A fresh token of `id` for exactly these audiences, whatever their order.
    pub(super) fn fresh(&self, id: &SpiffeId, audiences: &[String], now: Timestamp) -> Option<Minted> {
        self.kept.get(&key(audiences)).filter(|minted| minted.id == *id && minted.is_fresh(now)).cloned()
    }

    /// Keeps a token; where there is no room, in the place of those that are not fresh, or else of the one that ends first.
    pub(super) fn keep(&mut self, audiences: &[String], minted: Minted, now: Timestamp) {
        if self.kept.len() >= TOKENS_MAX {
            self.kept.retain(|_, minted| minted.is_fresh(now));
        }
        while self.kept.len() >= TOKENS_MAX {
            let first = self.kept.iter().min_by_key(|(_, minted)| minted.expires_at).map(|(key, _)| key.clone());
            first.map(|key| self.kept.remove(&key));
        }
        self.kept.insert(key(audiences), minted);
    }
}

fn key(audiences: &[String]) -> Vec<String> {
    let mut key = audiences.to_vec();
    key.sort();
    key.dedup();
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

    fn id(name: &str) -> SpiffeId {
        format!("spiffe://cluster.local/ns/shop/sa/{name}").parse().unwrap()
    }

    fn minted(name: &str, secs: u64) -> Minted {
        let token = Zeroizing::new("token".to_owned());
        Minted { id: id(name), token, minted_at: NOW, expires_at: NOW.plus(Duration::from_secs(secs)) }
    }

    fn audiences(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_token_is_handed_out_again_in_the_first_half_of_its_life_for_the_same_audiences_and_identity() {
        let mut tokens = Tokens::default();
        tokens.keep(&audiences(&["a", "b"]), minted("web", 100), NOW);
        let fresh = |name: &str, names: &[&str], secs: u64| {
            tokens.fresh(&id(name), &audiences(names), NOW.plus(Duration::from_secs(secs))).is_some()
        };
        assert!(fresh("web", &["a", "b"], 0) && fresh("web", &["b", "a", "b"], 49));
        assert!(!fresh("web", &["a", "b"], 50), "half of its life is over");
        assert!(!fresh("web", &["a"], 0) && !fresh("web", &["a", "b", "c"], 0), "for others");
        assert!(!fresh("orders", &["a", "b"], 0), "another's");
        let before = NOW.minus(Duration::from_secs(1));
        assert!(tokens.fresh(&id("web"), &audiences(&["a", "b"]), before).is_none(), "a clock that went back");
    }

    #[test]
    fn no_number_of_audiences_fills_more_than_the_room_there_is() {
        let mut tokens = Tokens::default();
        for number in 0..3 * TOKENS_MAX {
            tokens.keep(&audiences(&[&number.to_string()]), minted("web", 100 + number as u64), NOW);
        }
        assert_eq!(tokens.kept.len(), TOKENS_MAX);
        let last = (3 * TOKENS_MAX - 1).to_string();
        assert!(tokens.fresh(&id("web"), &audiences(&[&last]), NOW).is_some());
    }
}
