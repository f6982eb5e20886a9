//! What these tests share.

mod agent;
mod ca;
mod client;
mod minting;
mod roots;

use std::future::Future;
use std::time::Duration;

pub(crate) use agent::{Pod, RunningAgent, now, swap_volume};
pub(crate) use ca::{Answer, Call, FakeCa, lifetime};
pub(crate) use client::{Sds, decode, identity, inline, names, roots};
use tokio::time::{sleep, timeout};

/// Longest wait for something that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How long nothing must happen before it is believed that nothing happens.
pub(crate) const QUIET: Duration = Duration::from_millis(400);

/// Waits until `holds` does.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(SOON, wait).await.is_ok(), "{what}");
}
