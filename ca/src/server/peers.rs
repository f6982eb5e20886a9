//! What one address may take before anybody knows who calls: connections, handshakes, requests and their bytes, streams
//! that anybody may open, bad tokens, and lines in the log.
//!
//! Of requests, bytes and streams an address may have as many as are still free (`pool`), of connections four times as
//! many. Handshakes beyond its own bound wait and are not refused. Many callers may stand behind one address, so bad
//! tokens count against the connection that brought them: every token of one that brought good ones is looked at, and
//! the first token of a new one, unless its address made hundreds of connections for nothing but a bad one. A connection
//! that brings bad ones shares a budget with its address.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::budget::{Budget, Lines};
use super::idle::crowd;
use super::pool::Pool;

/// Bad tokens of one address that are looked at together, and how many more each second.
const BAD_TOKENS_MAX: f64 = 64.0;
const BAD_TOKENS_PER_SEC: f64 = 16.0;

/// New connections of one address that are looked at together although each brings a bad token first, and how many more
/// each second.
const BAD_FIRSTS_MAX: f64 = 256.0;
const BAD_FIRSTS_PER_SEC: f64 = 32.0;

/// Most streams of one connection that anybody may open.
const STREAMS_OF_ONE_MAX: usize = 4;

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
    /// Bytes of requests between their headers and their answer.
    pub(super) bytes: usize,
    /// Streams that anybody may open.
    pub(super) streams: usize,
}

/// What an address was refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It holds as many as are left for all others.
    Share,
    /// Its requests hold as many bytes as are left for all others.
    Bytes,
    /// It, or its connection, has as many open streams as it may.
    Streams,
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
    requests: Pool,
    bytes: Pool,
    streams: Pool,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    peers: HashMap<IpAddr, Arc<Peer>>,
    /// Those without a connection, the longest gone first.
    remembered: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct Peer {
    connections: AtomicUsize,
    handshakes: Arc<Semaphore>,
    requests: AtomicUsize,
    bytes: AtomicUsize,
    streams: AtomicUsize,
    patience: Mutex<Patience>,
}

/// What is left of the patience with an address.
#[derive(Debug)]
struct Patience {
    bad_tokens: Budget,
    bad_firsts: Budget,
    lines: Lines,
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
            requests: Pool::new(limits.requests),
            bytes: Pool::new(limits.bytes),
            streams: Pool::new(limits.streams),
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
        let (is_known, brought_bad) = (AtomicBool::new(false), AtomicBool::new(false));
        let (peers, streams) = (self.clone(), AtomicUsize::new(0));
        Ok(Connection { peers, peer, key, is_known, brought_bad, streams, _permit: room.connection })
    }

    /// Forgets an address without a connection, unless its bad tokens must be remembered; bounds how many are.
    fn forget(&self, table: &mut Table, key: IpAddr, now: Instant) {
        let Some(peer) = table.peers.get(&key).filter(|peer| peer.connections.load(Ordering::Relaxed) == 0) else {
            return;
        };
        if peer.patience().is_whole(now) {
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
            bytes: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            patience: Mutex::new(Patience {
                bad_tokens: Budget::new(BAD_TOKENS_MAX, BAD_TOKENS_PER_SEC, now),
                bad_firsts: Budget::new(BAD_FIRSTS_MAX, BAD_FIRSTS_PER_SEC, now),
                lines: Lines::new(now),
            }),
        })
    }

    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Patience {
    fn is_whole(&mut self, now: Instant) -> bool {
        self.bad_tokens.is_full(now) && self.bad_firsts.is_full(now)
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
    /// Whether any of its tokens was judged.
    is_known: AtomicBool,
    /// Whether the newest token was bad.
    brought_bad: AtomicBool,
    /// Streams that anybody may open.
    streams: AtomicUsize,
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

    /// Leave to have a token looked at.
    pub(super) fn bring_token(&self, now: Instant) -> Result<(), Refused> {
        let is_spent = if self.brought_bad.load(Ordering::Relaxed) {
            self.peer.patience().bad_tokens.is_spent(now)
        } else if self.is_known.load(Ordering::Relaxed) {
            false
        } else {
            self.peer.patience().bad_firsts.is_spent(now)
        };
        if is_spent { Err(Refused::BadTokens) } else { Ok(()) }
    }

    /// A place for one request, which holds so many bytes already.
    pub(super) fn ask(self: &Arc<Self>, bytes: usize) -> Result<Place, Refused> {
        let (all, own) = (&self.peers, &self.peer);
        if !all.requests.take(&own.requests, 1) {
            return Err(Refused::Share);
        }
        if !all.bytes.take(&own.bytes, bytes) {
            all.requests.give_back(&own.requests, 1);
            return Err(Refused::Bytes);
        }
        Ok(Place { connection: self.clone(), bytes: AtomicUsize::new(bytes), is_read: AtomicBool::new(false) })
    }

    /// Leave to open a stream without saying who opens it.
    pub(super) fn open_stream(self: &Arc<Self>) -> Result<OpenStream, Refused> {
        let own = self.streams.fetch_add(1, Ordering::Relaxed);
        if own < STREAMS_OF_ONE_MAX && self.peers.streams.take(&self.peer.streams, 1) {
            return Ok(OpenStream { connection: self.clone() });
        }
        self.streams.fetch_sub(1, Ordering::Relaxed);
        Err(Refused::Streams)
    }

    /// Its token was good.
    pub(crate) fn brought_good_token(&self) {
        self.is_known.store(true, Ordering::Relaxed);
        if self.brought_bad.load(Ordering::Relaxed) {
            self.brought_bad.store(false, Ordering::Relaxed);
        }
    }

    /// Its token was bad, and will be.
    pub(crate) fn brought_bad_token(&self, now: Instant) {
        let was_known = self.is_known.swap(true, Ordering::Relaxed);
        self.brought_bad.store(true, Ordering::Relaxed);
        let mut patience = self.peer.patience();
        patience.bad_tokens.take(now);
        if !was_known {
            patience.bad_firsts.take(now);
        }
    }

    /// Whether the log gets one more line about what its address is refused, and how many it did not get since the last.
    pub(crate) fn line(&self, now: Instant) -> Option<u64> {
        self.peer.patience().lines.next(now)
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
    bytes: AtomicUsize,
    is_read: AtomicBool,
}

impl Place {
    /// The request holds so many bytes more, if there is room for them.
    pub(super) fn grow(&self, bytes: usize) -> bool {
        let fits = self.connection.peers.bytes.take(&self.connection.peer.bytes, bytes);
        if fits {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Nothing more comes.
    pub(super) fn was_read(&self) {
        self.is_read.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (all, own) = (&self.connection.peers, &self.connection.peer);
        all.bytes.give_back(&own.bytes, self.bytes.load(Ordering::Relaxed));
        all.requests.give_back(&own.requests, 1);
    }
}

/// A stream that anybody may open.
pub(super) struct OpenStream {
    connection: Arc<Connection>,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.streams.fetch_sub(1, Ordering::Relaxed);
        connection.peers.streams.give_back(&connection.peer.streams, 1);
    }
}

#[cfg(test)]
mod tests;
