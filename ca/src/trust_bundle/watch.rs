//! One watch: what its client acknowledges comes in, bundles go out.
//!
//! Nothing waits in a queue: what goes out is looked up when the client has room for it, so it is the newest, and what
//! comes in is read one at a time, and not too fast.

use std::sync::Arc;
use std::time::Duration;

use signet_proto::signet_ca::{WatchRequest, WatchResponse};
use signet_runtime::Shutdown;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::acknowledgements::Watcher;
use super::places::Place;
use crate::authority::{Authority, Published};

/// Longest watch. Its credential was good when it began; a client that is still there comes back with a fresh one.
const AGE_MAX: Duration = Duration::from_secs(3600);

/// By how much a watch may end earlier, so that those who came together do not come back together.
const AGE_JITTER: Duration = Duration::from_secs(600);

/// How long the first message may take.
const OPENING_DEADLINE: Duration = Duration::from_secs(10);

/// Least time between two messages of a client.
const MESSAGE_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// A watch under way.
pub(super) struct Watch<Incoming> {
    incoming: Incoming,
    authority: watch::Receiver<Arc<Authority>>,
    /// The client's own, which is what its bundle is for.
    trust_domain: String,
    watcher: Watcher,
    shutdown: Shutdown,
    /// The bundle that was sent last.
    sent: Option<u64>,
    is_open: bool,
    ends_at: Instant,
    read_at: Instant,
    _place: Place,
}

/// What a watch waited for.
enum Came {
    End,
    Message(Option<Result<WatchRequest, Status>>),
    Change,
}

impl<Incoming> Watch<Incoming>
where
    Incoming: Stream<Item = Result<WatchRequest, Status>> + Unpin,
{
    pub(super) fn new(
        incoming: Incoming,
        authority: watch::Receiver<Arc<Authority>>,
        trust_domain: String,
        watcher: Watcher,
        place: Place,
        shutdown: Shutdown,
    ) -> Self {
        let now = Instant::now();
        Self {
            incoming,
            authority,
            trust_domain,
            watcher,
            shutdown,
            sent: None,
            is_open: false,
            ends_at: now + OPENING_DEADLINE,
            read_at: now,
            _place: place,
        }
    }

    /// The bundles as they come, until one side ends the watch.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<WatchResponse, Status>> {
        futures_util::stream::unfold(Some(self), |watch| async { watch?.next().await })
    }

    async fn next(mut self) -> Option<(Result<WatchResponse, Status>, Option<Self>)> {
        loop {
            let published = self.authority.borrow_and_update().published().clone();
            if self.is_open && self.sent != Some(published.generation) {
                self.sent = Some(published.generation);
                return Some((Ok(response(&published, self.trust_domain.clone())), Some(self)));
            }
            match self.wait().await {
                Came::Change => {}
                Came::Message(Some(Ok(message))) => self.take(message, published.generation),
                // A client that says no more acknowledges no more.
                Came::Message(_) => return None,
                Came::End if self.is_open || self.shutdown.has_begun() => return None,
                Came::End => return Some((Err(Status::deadline_exceeded("no message opened the watch")), None)),
            }
        }
    }

    async fn wait(&mut self) -> Came {
        let Self { incoming, authority, shutdown, ends_at, read_at, .. } = self;
        let message = async {
            sleep_until(*read_at).await;
            incoming.next().await
        };
        tokio::select! {
            // A message is taken from the stream only when this arm is; the others tell of states that last.
            () = shutdown.begun() => Came::End,
            () = sleep_until(*ends_at) => Came::End,
            message = message => Came::Message(message),
            changed = authority.changed() => changed.map_or(Came::End, |()| Came::Change),
        }
    }

    fn take(&mut self, message: WatchRequest, newest: u64) {
        let now = Instant::now();
        self.read_at = now + MESSAGE_INTERVAL_MIN;
        if !self.is_open {
            self.is_open = true;
            self.ends_at = now + AGE_MAX - AGE_JITTER.mul_f64(fastrand::f64());
        }
        // What is yet to come cannot be here already: that is another authority's, or none.
        let acknowledged = message.acknowledged_generation;
        self.watcher.acknowledge(if acknowledged <= newest { acknowledged } else { 0 });
    }
}

fn response(published: &Published, trust_domain: String) -> WatchResponse {
    WatchResponse {
        generation: published.generation,
        trust_domain,
        roots_pem: published.pem.clone(),
        tainted_key_ids: published.tainted_key_ids.clone(),
        renewal_spread_seconds: i64::try_from(published.renewal_spread.as_secs()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests;
