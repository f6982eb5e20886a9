//! How much is under way, and who comes next. Pure: what waits is whatever the caller hands in.

use super::queue::{FairQueue, Key, Queued, Ticket};

/// What became of somebody who came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival<T> {
    /// It may go on, and must say [`Gate::leave`] once.
    Enters,
    /// It waits.
    Waits(Ticket),
    /// It waits, in a place that another had to give up.
    WaitsInsteadOf(Ticket, T),
    /// It is turned away.
    TurnedAway,
}

/// Counts who is inside, and keeps the others in order.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    inside: usize,
    inside_max: usize,
    queue: FairQueue<T>,
}

impl<T> Gate<T> {
    /// At most `inside_max` inside, which must be at least one, and `waiting_max` waiting.
    pub(crate) fn new(inside_max: usize, waiting_max: usize) -> Self {
        Self { inside: 0, inside_max: inside_max.max(1), queue: FairQueue::new(waiting_max) }
    }

    /// Somebody comes; `waiter` is made when it has to wait.
    pub(crate) fn arrive(&mut self, key: Key, waiter: impl FnOnce() -> T) -> Arrival<T> {
        // Nobody waits while there is room, so nobody is overtaken here.
        if self.inside < self.inside_max {
            self.inside += 1;
            return Arrival::Enters;
        }
        match self.queue.push(key, waiter()) {
            Queued::Waits(ticket) => Arrival::Waits(ticket),
            Queued::WaitsInsteadOf(ticket, other) => Arrival::WaitsInsteadOf(ticket, other),
            Queued::Full(_) => Arrival::TurnedAway,
        }
    }

    /// Somebody leaves; the one whose turn it is, if anybody waits, is inside from now on.
    pub(crate) fn leave(&mut self) -> Option<T> {
        let next = self.queue.pop();
        if next.is_none() {
            self.inside = self.inside.saturating_sub(1);
        }
        next
    }

    /// Somebody does not want to wait any more; `None` when it is not waiting.
    pub(crate) fn give_up(&mut self, ticket: Ticket) -> Option<T> {
        self.queue.remove(ticket)
    }

    pub(crate) fn inside(&self) -> usize {
        self.inside
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests;
