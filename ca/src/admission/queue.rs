//! Who waits, and whose turn it is. Pure: no clock, no tasks.
//!
//! Fair at two heights: nodes take turns, and within a node the identities do, whatever each of them asks for. First
//! issues go before renewals, but never all the time. Bounded: when no place is left, whoever takes most of them gives
//! one up to whoever takes less.

use std::collections::BTreeMap;

use super::round::Round;

/// First issues that may go before one renewal.
const FIRSTS_PER_RENEWAL: u8 = 4;

/// One part in this many of all places belongs to each class even when the other could use it.
const RESERVED_SHARE: usize = 4;

/// Whether a caller already had a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It did not: something cannot start before it gets one.
    First,
    /// It did, and half of its life is left as a rule.
    Renewal,
}

/// Who asks. Hashes stand for names: two that fall together share their turns and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// The node, or what stands for it.
    pub(crate) node: u64,
    /// The identity.
    pub(crate) identity: u64,
    /// Whether it is in a hurry.
    pub(crate) class: Class,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    key: Key,
    number: u64,
}

/// What became of somebody who wanted to wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Queued<T> {
    /// Waits.
    Waits(Ticket),
    /// Waits, in a place that another had to give up.
    WaitsInsteadOf(Ticket, T),
    /// Does not wait: everybody else takes as little or less.
    Full(T),
}

/// Those of one identity, in order of arrival.
type Waiters<T> = BTreeMap<u64, T>;

#[derive(Debug)]
struct Lane<T> {
    nodes: Round<Round<Waiters<T>>>,
    length: usize,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { nodes: Round::default(), length: 0 }
    }
}

impl<T> Lane<T> {
    fn push(&mut self, ticket: Ticket, waiter: T) {
        self.length += 1;
        self.nodes.add(ticket.key.node).add(ticket.key.identity).insert(ticket.number, waiter);
    }

    /// Takes a waiter of one identity out.
    fn take(&mut self, node: u64, identity: u64, which: impl FnOnce(&mut Waiters<T>) -> Option<T>) -> Option<T> {
        let taken = self.nodes.take(node, |identities| identities.take(identity, which))?;
        self.length = self.length.saturating_sub(1);
        Some(taken)
    }

    /// The one whose turn it is.
    fn pop(&mut self) -> Option<T> {
        let node = self.nodes.first()?;
        let popped = self.nodes.take(node, |identities| {
            let identity = identities.first()?;
            let popped = identities.take(identity, |waiters| waiters.pop_first().map(|(_, waiter)| waiter));
            identities.had_turn(identity);
            popped
        })?;
        self.nodes.had_turn(node);
        self.length = self.length.saturating_sub(1);
        Some(popped)
    }

    /// The newest of the identity that has most waiting, on the node that has.
    fn pop_greediest(&mut self) -> Option<T> {
        let (_, node) = self.nodes.heaviest()?;
        let popped = self.nodes.take(node, |identities| {
            let (_, identity) = identities.heaviest()?;
            identities.take(identity, |waiters| waiters.pop_last().map(|(_, waiter)| waiter))
        })?;
        self.length = self.length.saturating_sub(1);
        Some(popped)
    }

    /// Somebody who gives up a place for `key`: of a node that would still not have fewer than the node of `key`, or of
    /// an identity of that same node for which the same holds.
    fn pop_greedier_than(&mut self, key: Key) -> Option<T> {
        if self.nodes.has_heavier_than(key.node) {
            return self.pop_greediest();
        }
        let popped = self.nodes.take(key.node, |identities| {
            if !identities.has_heavier_than(key.identity) {
                return None;
            }
            let (_, identity) = identities.heaviest()?;
            identities.take(identity, |waiters| waiters.pop_last().map(|(_, waiter)| waiter))
        })?;
        self.length = self.length.saturating_sub(1);
        Some(popped)
    }
}

/// Everybody who waits.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    firsts: Lane<T>,
    renewals: Lane<T>,
    /// First issues that went before the renewals now waiting.
    firsts_in_a_row: u8,
    length_max: usize,
    next_number: u64,
}

impl<T> FairQueue<T> {
    pub(crate) fn new(length_max: usize) -> Self {
        let (firsts, renewals) = (Lane::default(), Lane::default());
        Self { firsts, renewals, firsts_in_a_row: 0, length_max, next_number: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.firsts.length + self.renewals.length
    }

    pub(crate) fn push(&mut self, key: Key, waiter: T) -> Queued<T> {
        let pushed_out = if self.len() < self.length_max {
            None
        } else {
            match self.place_for(key) {
                Some(pushed_out) => Some(pushed_out),
                None => return Queued::Full(waiter),
            }
        };
        let ticket = Ticket { key, number: self.next_number };
        self.next_number += 1;
        self.lane(key.class).push(ticket, waiter);
        match pushed_out {
            None => Queued::Waits(ticket),
            Some(other) => Queued::WaitsInsteadOf(ticket, other),
        }
    }

    /// The one whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let renewals_wait = self.renewals.length > 0;
        if self.firsts.length > 0 && !(renewals_wait && self.firsts_in_a_row >= FIRSTS_PER_RENEWAL) {
            self.firsts_in_a_row = if renewals_wait { self.firsts_in_a_row + 1 } else { 0 };
            return self.firsts.pop();
        }
        self.firsts_in_a_row = 0;
        self.renewals.pop()
    }

    /// Takes out who does not want to wait any more; `None` when it is not there any more.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let Ticket { key, number } = ticket;
        self.lane(key.class).take(key.node, key.identity, |waiters| waiters.remove(&number))
    }

    fn lane(&mut self, class: Class) -> &mut Lane<T> {
        match class {
            Class::First => &mut self.firsts,
            Class::Renewal => &mut self.renewals,
        }
    }

    /// Somebody who gives up a place for `key`, if anybody should.
    fn place_for(&mut self, key: Key) -> Option<T> {
        let reserved = self.length_max / RESERVED_SHARE;
        let (own, others) = match key.class {
            Class::First => (self.firsts.length, self.renewals.length),
            Class::Renewal => (self.renewals.length, self.firsts.length),
        };
        let other_class = match key.class {
            Class::First => Class::Renewal,
            Class::Renewal => Class::First,
        };
        let may_take_from_other_class = match key.class {
            Class::First => others > reserved,
            Class::Renewal => own < reserved && others > 0,
        };
        if may_take_from_other_class {
            return self.lane(other_class).pop_greediest();
        }
        self.lane(key.class).pop_greedier_than(key)
    }
}

#[cfg(test)]
mod tests;
