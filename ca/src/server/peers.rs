//! What one address may take before anybody knows who calls: connections, handshakes, requests, and bad tokens.
//!
//! Of requests an address may have as many as are still free, so one that takes all it can leaves half to the others, and
//! two leave a third. Of connections it may have four times as many. Handshakes beyond its own bound wait and are not
//! refused. Many callers may stand behind one address, so bad tokens count against the connection that brought them: whatever its neighbours do, a connection's first token is
//! looked at, and so is every token of one that brought good ones. Only a connection that brings bad ones shares a budget
//! with its address.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::idle::crowd;

/// Bad tokens of one address that are looked at together, and how many more each second.
const BAD_TOKENS_MAX: f64 = 64.0;
const BAD_TOKENS_PER_SEC: f64 = 16.0;

/// Connections that an address may have for each that is still free.
const CONNECTIONS_PER_FREE: usize = 4;

/// Addresses without a connection that are remembered for their bad tokens.
const REMEMBERED_MAX: usize = 4096;

/// An IPv6 host can have every address of its subnet.
const IPV6_SUBNET_BITS: u32 = 64;

/// How much there is for all together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) handshakes: usize,
    /// Of these, for one address.
    pub(super) handshakes_of_one: usize,
    pub(super) requests: usize,
}

/// What an address was refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It holds as many as are left for all others.
    Share,
    /// Its connection brought only bad tokens, and its address too many of them.
    BadTokens,
}

/// All addresses.
#[derive(Debug)]
pub(super) struct Peers {
    connections: Arc<Semaphore>,
    connections_max: usize,
    handshakes: Arc<Semaphore>,
    handshakes_of_one: usize,
    requests: Shared,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    peers: HashMap<IpAddr, Arc<Peer>>,
    /// Those without a connection, the longest gone first.
    remembered: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct Shared {
    taken: AtomicUsize,
    max: usize,
}

#[derive(Debug)]
struct Peer {
    connections: AtomicUsize,
    handshakes: Arc<Semaphore>,
    requests: AtomicUsize,
    bad_tokens: Mutex<Budget>,
}

/// A bucket that fills by itself.
#[derive(Debug)]
struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    fn left(&mut self, now: Instant) -> f64 {
        let secs = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + secs * BAD_TOKENS_PER_SEC).min(BAD_TOKENS_MAX);
        self.at = self.at.max(now);
        self.left
    }

    fn take(&mut self, now: Instant) {
        self.left = (self.left(now) - 1.0).max(0.0);
    }
}

/// Room for one more connection, before anybody took it.
pub(super) struct Room {
    connection: OwnedSemaphorePermit,
}

/// A handshake under way.
pub(super) struct Handshake {
    _permits: [OwnedSemaphorePermit; 2],
}

impl Peers {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            connections: Arc::new(Semaphore::new(limits.connections)),
            connections_max: limits.connections,
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            handshakes_of_one: limits.handshakes_of_one,
            requests: Shared { taken: AtomicUsize::new(0), max: limits.requests },
            table: Mutex::default(),
        })
    }

    /// Waits until there is room for one more connection. `None` never comes, as nothing closes what is waited for.
    pub(super) async fn room(&self) -> Option<Room> {
        Some(Room { connection: self.connections.clone().acquire_owned().await.ok()? })
    }

    /// A connection from `address` that takes `room`.
    pub(super) fn connect(self: &Arc<Self>, room: Room, address: IpAddr, now: Instant) -> Result<Connection, Refused> {
        let key = key(address);
        let mut table = self.lock();
        let peer = table.peers.entry(key).or_insert_with(|| Peer::new(self.handshakes_of_one, now)).clone();
        // The room that it takes is not among the free any more.
        let share = CONNECTIONS_PER_FREE * (self.connections.available_permits() + 1);
        if peer.connections.load(Ordering::Relaxed) >= share {
            self.forget(&mut table, key, now);
            return Err(Refused::Share);
        }
        peer.connections.fetch_add(1, Ordering::Relaxed);
        drop(table);
        let (peers, brought_bad) = (self.clone(), AtomicBool::new(false));
        Ok(Connection { peers, peer, key, brought_bad, _permit: room.connection })
    }

    /// Forgets an address without a connection, unless its bad tokens must be remembered; bounds how many are.
    fn forget(&self, table: &mut Table, key: IpAddr, now: Instant) {
        let Some(peer) = table.peers.get(&key).filter(|peer| peer.connections.load(Ordering::Relaxed) == 0) else {
            return;
        };
        if peer.budget().left(now) >= BAD_TOKENS_MAX {
            table.peers.remove(&key);
            return;
        }
        if !table.remembered.contains(&key) {
            table.remembered.push_back(key);
        }
        while table.remembered.len() > REMEMBERED_MAX {
            let oldest = table.remembered.pop_front();
            // One that came back meanwhile is forgotten when its last connection ends.
            if let Some(oldest) = oldest
                && table.peers.get(&oldest).is_some_and(|peer| peer.connections.load(Ordering::Relaxed) == 0)
            {
                table.peers.remove(&oldest);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    fn new(handshakes: usize, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            connections: AtomicUsize::new(0),
            handshakes: Arc::new(Semaphore::new(handshakes)),
            requests: AtomicUsize::new(0),
            bad_tokens: Mutex::new(Budget { left: BAD_TOKENS_MAX, at: now }),
        })
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.bad_tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Addresses that are one host.
fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let subnet = address.to_bits() & (u128::MAX << (u128::BITS - IPV6_SUBNET_BITS));
            IpAddr::V6(Ipv6Addr::from_bits(subnet))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// One connection's standing; its place is given back when it ends.
#[derive(Debug)]
pub(crate) struct Connection {
    peers: Arc<Peers>,
    peer: Arc<Peer>,
    key: IpAddr,
    /// Whether the newest token was bad.
    brought_bad: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Waits until it may shake hands: first for its own address, then for all. `None` never comes, as nothing closes
    /// what is waited for.
    pub(super) async fn handshake(&self) -> Option<Handshake> {
        let own = self.peer.handshakes.clone().acquire_owned().await.ok()?;
        let of_all = self.peers.handshakes.clone().acquire_owned().await.ok()?;
        Some(Handshake { _permits: [own, of_all] })
    }

    /// Whether so many connections are open in all that none of them should be idle for long.
    pub(super) fn is_in_crowd(&self) -> bool {
        let max = self.peers.connections_max;
        max.saturating_sub(self.peers.connections.available_permits()) >= crowd(max)
    }

    /// A place for one request, and leave to have its token looked at.
    pub(super) fn ask(self: &Arc<Self>, now: Instant) -> Result<Place, Refused> {
        if self.brought_bad.load(Ordering::Relaxed) && self.peer.budget().left(now) < 1.0 {
            return Err(Refused::BadTokens);
        }
        let all = &self.peers.requests;
        let taken = all.taken.fetch_add(1, Ordering::Relaxed);
        let own = self.peer.requests.fetch_add(1, Ordering::Relaxed);
        let place = Place { connection: self.clone() };
        if own < all.max.saturating_sub(taken) { Ok(place) } else { Err(Refused::Share) }
    }

    /// Its token was good.
    pub(crate) fn brought_good_token(&self) {
        if self.brought_bad.load(Ordering::Relaxed) {
            self.brought_bad.store(false, Ordering::Relaxed);
        }
    }

    /// Its token was bad, and will be.
    pub(crate) fn brought_bad_token(&self, now: Instant) {
        self.brought_bad.store(true, Ordering::Relaxed);
        self.peer.budget().take(now);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut table = self.peers.lock();
        if self.peer.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.peers.forget(&mut table, self.key, Instant::now());
        }
    }
}

/// A request's place; given back when it ends.
pub(super) struct Place {
    connection: Arc<Connection>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.peer.requests.fetch_sub(1, Ordering::Relaxed);
        self.connection.peers.requests.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
