//! What was found out about tokens a moment ago, by the tokens' SHA-256; a token itself is never kept.
//!
//! Accepted and refused tokens are remembered apart, each within its own bound, so however many bad tokens come, no
//! good one is forgotten for them. Pure: time comes in as an argument, and a clock that is set back makes forget
//! rather than remember for longer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use signet_identity::Timestamp;

/// Most tokens remembered as refused.
pub(super) const REFUSED_MAX: usize = 8192;

/// Most tokens remembered as accepted: one for each pod of a large cluster.
pub(super) const ACCEPTED_MAX: usize = 16_384;

/// How long a refusal is remembered. Also how long it outlasts its reason, so it is short.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// A token's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    from: Timestamp,
    until: Timestamp,
    /// Tells an entry from an earlier one of the same token.
    number: u64,
}

#[derive(Debug)]
struct Entries<T> {
    by_hash: HashMap<TokenHash, Entry<T>>,
    /// Oldest first; may name entries that were replaced.
    order: VecDeque<(TokenHash, u64)>,
    next: u64,
}

/// Values that are remembered for a while, within a bound; the oldest goes first.
#[derive(Debug)]
pub(super) struct Memory<T> {
    entries: Mutex<Entries<T>>,
    /// Read without the lock, so that an empty memory costs nothing.
    len: AtomicUsize,
    max: usize,
}

impl<T: Clone> Memory<T> {
    pub(super) fn new(max: usize) -> Self {
        let entries = Entries { by_hash: HashMap::new(), order: VecDeque::new(), next: 0 };
        Self { entries: Mutex::new(entries), len: AtomicUsize::new(0), max }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    pub(super) fn get(&self, hash: TokenHash, now: Timestamp) -> Option<T> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.by_hash.get(&hash)?;
        (entry.from <= now && now < entry.until).then(|| entry.value.clone())
    }

    /// Remembers `value` from `from` to `until`.
    pub(super) fn put(&self, hash: TokenHash, value: T, from: Timestamp, until: Timestamp) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let number = entries.next;
        entries.next = number.wrapping_add(1);
        entries.by_hash.insert(hash, Entry { value, from, until, number });
        entries.order.push_back((hash, number));
        while entries.order.len() > self.max || entries.has_old_front(from) {
            let Some((hash, number)) = entries.order.pop_front() else { break };
            if entries.by_hash.get(&hash).is_some_and(|entry| entry.number == number) {
                entries.by_hash.remove(&hash);
            }
        }
        self.len.store(entries.by_hash.len(), Ordering::Relaxed);
    }
}

impl<T> Entries<T> {
    /// Whether the oldest is of no use any more.
    fn has_old_front(&self, now: Timestamp) -> bool {
        let Some((hash, number)) = self.order.front() else { return false };
        let current = self.by_hash.get(hash).filter(|entry| entry.number == *number);
        current.is_none_or(|entry| entry.until <= now || entry.from > now)
    }
}

/// Refusals that are final for a token, remembered for a few moments.
#[derive(Debug)]
pub(super) struct Refused<E> {
    memory: Memory<E>,
}

impl<E: Clone> Refused<E> {
    pub(super) fn new() -> Self {
        Self { memory: Memory::new(REFUSED_MAX) }
    }

    /// What the token was refused for, if it was a moment ago.
    pub(super) fn get(&self, token: &str, now: Timestamp) -> Option<E> {
        if self.memory.is_empty() { None } else { self.memory.get(TokenHash::of(token), now) }
    }

    pub(super) fn put(&self, token: &str, error: E, now: Timestamp) {
        self.memory.put(TokenHash::of(token), error, now, now.plus(REFUSED_FOR));
    }
}

#[cfg(test)]
mod tests;
