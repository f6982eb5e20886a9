//! Keyed things that take turns.
//!
//! Whoever is new goes to the end of the round, whoever had its turn does too. It is known at any time which of them
//! weighs most. Every operation costs a logarithm.

use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug)]
pub(super) struct Round<V> {
    members: HashMap<u64, Member<V>>,
    /// Keys by the number of their next turn.
    turns: BTreeMap<u64, u64>,
    /// Weight and key.
    weights: BTreeSet<(usize, u64)>,
    next_turn: u64,
}

#[derive(Debug)]
struct Member<V> {
    turn: u64,
    weight: usize,
    value: V,
}

impl<V> Default for Round<V> {
    fn default() -> Self {
        Self { members: HashMap::new(), turns: BTreeMap::new(), weights: BTreeSet::new(), next_turn: 0 }
    }
}

impl<V: Default> Round<V> {
    /// The value at `key`, made when there is none, with one more unit of weight.
    pub(super) fn add(&mut self, key: u64) -> &mut V {
        let turn = self.next_turn;
        let member = self.members.entry(key).or_insert_with(|| {
            self.next_turn += 1;
            self.turns.insert(turn, key);
            Member { turn, weight: 0, value: V::default() }
        });
        self.weights.remove(&(member.weight, key));
        member.weight += 1;
        self.weights.insert((member.weight, key));
        &mut member.value
    }

    /// Takes something that weighs one unit out of the value at `key`; a value without weight leaves the round.
    pub(super) fn take<T>(&mut self, key: u64, from: impl FnOnce(&mut V) -> Option<T>) -> Option<T> {
        let member = self.members.get_mut(&key)?;
        let taken = from(&mut member.value)?;
        self.weights.remove(&(member.weight, key));
        member.weight = member.weight.saturating_sub(1);
        if member.weight > 0 {
            self.weights.insert((member.weight, key));
        } else {
            self.turns.remove(&member.turn);
            self.members.remove(&key);
        }
        Some(taken)
    }

    /// Whose turn it is.
    pub(super) fn first(&self) -> Option<u64> {
        self.turns.first_key_value().map(|(_, key)| *key)
    }

    /// The one at `key` had its turn.
    pub(super) fn had_turn(&mut self, key: u64) {
        if let Some(member) = self.members.get_mut(&key) {
            self.turns.remove(&member.turn);
            member.turn = self.next_turn;
            self.next_turn += 1;
            self.turns.insert(member.turn, key);
        }
    }

    /// The heaviest and its weight.
    pub(super) fn heaviest(&self) -> Option<(usize, u64)> {
        self.weights.last().copied()
    }

    /// Whether one could give a unit to `key` and not have less than it then.
    pub(super) fn has_heavier_than(&self, key: u64) -> bool {
        let weight = self.members.get(&key).map_or(0, |member| member.weight);
        self.heaviest().is_some_and(|(most, _)| most > weight + 1)
    }
}
