//! When a connection that asks for nothing is told to leave.
//!
//! An agent asks once in hours and keeps its connection until then. Ten thousand of them held some 27 KiB each, three
//! hundred MiB, for nothing. An open stream, such as a watch of the trust bundle, is something that is asked for. Clients
//! of gRPC connect again when they have the next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long a connection may be idle.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The same while there is a crowd.
const IDLE_IN_CROWD_MAX: Duration = Duration::from_secs(1);

/// From how many open connections on they are a crowd: what they hold then is a few dozen MiB.
const CROWD: usize = 1_024;

/// The same where only so many `connections` may be open: before half of them are taken by those that ask for nothing.
pub(super) fn crowd(connections: usize) -> usize {
    CROWD.min(connections / 2)
}

/// How long an answer may take from where it is made to its last byte.
const ANSWER_LEAVES_MAX: Duration = Duration::from_secs(1);

/// What is open on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    streams: AtomicUsize,
    /// Those of them that end by themselves, with their answer.
    answers: AtomicUsize,
    began: Instant,
    /// When the last stream ended, in milliseconds from `began` on.
    ended_millis: AtomicU64,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One answer, within a deadline.
    Answer,
    /// Whatever comes, until somebody leaves.
    Watch,
}

/// A stream that is open.
#[derive(Debug)]
pub(super) struct Stream(Arc<Activity>, Kind);

impl Activity {
    /// Of a connection that begins now.
    pub(super) fn new() -> Arc<Self> {
        let (streams, answers) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { streams, answers, began: Instant::now(), ended_millis: AtomicU64::new(0) })
    }

    /// A stream begins; it ends when what is given is dropped.
    pub(super) fn stream(self: &Arc<Self>, kind: Kind) -> Stream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        if kind == Kind::Answer {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        Stream(self.clone(), kind)
    }

    /// Whether an answer is being made, or may not have left.
    pub(super) fn is_answering(&self) -> bool {
        let ended = self.began + Duration::from_millis(self.ended_millis.load(Ordering::Relaxed));
        self.answers.load(Ordering::Relaxed) > 0 || ended.elapsed() < ANSWER_LEAVES_MAX
    }

    /// Ends when the connection has been idle for too long. `is_crowd` says whether there are many.
    pub(super) async fn ended(&self, is_crowd: impl Fn() -> bool) {
        loop {
            let bound = if is_crowd() { IDLE_IN_CROWD_MAX } else { IDLE_MAX };
            let now = Instant::now();
            let due = match self.streams.load(Ordering::Relaxed) {
                0 => self.began + Duration::from_millis(self.ended_millis.load(Ordering::Relaxed)) + bound,
                _ => now + bound,
            };
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Self(activity, kind) = self;
        let millis = u64::try_from(activity.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        activity.ended_millis.store(millis, Ordering::Relaxed);
        activity.streams.fetch_sub(1, Ordering::Relaxed);
        if *kind == Kind::Answer {
            activity.answers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until `activity` has ended in a crowd or without one; `None` beyond an hour.
    async fn secs_until_end(activity: &Activity, is_crowd: bool) -> Option<u64> {
        let began = Instant::now();
        let ended = tokio::time::timeout(Duration::from_secs(3600), activity.ended(|| is_crowd)).await;
        ended.ok().map(|()| began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_asks_leaves_after_a_minute_and_in_a_crowd_after_a_second() {
        assert_eq!(secs_until_end(&Activity::new(), false).await, Some(60));
        assert_eq!(secs_until_end(&Activity::new(), true).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn time_counts_from_the_end_of_the_last_stream() {
        let activity = Activity::new();
        tokio::time::sleep(Duration::from_secs(50)).await;
        drop(activity.stream(Kind::Answer));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(secs_until_end(&activity, false).await, Some(40));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_an_open_stream_stays() {
        let activity = Activity::new();
        let (watch, request) = (activity.stream(Kind::Watch), activity.stream(Kind::Answer));
        drop(request);
        assert_eq!(secs_until_end(&activity, true).await, None);
        drop(watch);
        assert_eq!(secs_until_end(&activity, true).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_gathers_while_a_connection_is_idle_counts_from_then_on() {
        let (activity, began) = (Activity::new(), Instant::now());
        activity.ended(|| began.elapsed() >= Duration::from_secs(30)).await;
        assert_eq!(began.elapsed(), IDLE_MAX);
    }
}
