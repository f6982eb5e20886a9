//! Steady requests through both Envoys, and what each Envoy said it saw.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::http;

/// Pause between two requests of one caller.
const PAUSE: Duration = Duration::from_millis(20);

/// Callers at the same time.
const CALLERS: usize = 2;

/// Failures whose text is kept.
const FAILURES_KEPT: usize = 3;

/// What the traffic has seen so far. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    seen: Arc<Mutex<Seen>>,
}

/// Totals.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// First few failures, in words.
    pub(crate) failures: Vec<String>,
    /// Who called, as the server's Envoy saw it.
    pub(crate) callers: BTreeSet<String>,
    /// Who answered, as the client's Envoy saw it.
    pub(crate) servers: BTreeSet<String>,
}

impl Traffic {
    /// Starts callers of the client Envoy at `address`; they stop when the set of tasks is dropped.
    pub(crate) fn start(&self, tasks: &mut JoinSet<()>, address: SocketAddr) {
        for _ in 0..CALLERS {
            let traffic = self.clone();
            tasks.spawn(async move {
                loop {
                    let answer = http::get(address, "/orders/7").await;
                    traffic.note(answer);
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }

    /// Totals up to now.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn note(&self, answer: Result<http::Answer, String>) {
        let mut seen = self.lock();
        seen.requests += 1;
        let failure = match answer {
            Ok(answer) if answer.status == 200 => {
                seen.callers.insert(answer.header("x-peer").to_owned());
                seen.servers.insert(answer.header("x-upstream-peer").to_owned());
                return;
            }
            Ok(answer) => format!("{} {}", answer.status, answer.body.trim()),
            Err(reason) => reason,
        };
        seen.failed += 1;
        if seen.failures.len() < FAILURES_KEPT {
            seen.failures.push(failure);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
