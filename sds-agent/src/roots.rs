//! The roots that the CA tells on its own, apart from certificates: what was told, what of it is in force.
//!
//! `announced` judges what was told, `watcher` keeps the watch open. The rotator alone publishes: it hears here what was
//! told and says what it has put in force, which is what the watcher acknowledges.

use std::sync::Arc;

use signet_identity::{Svid, Timestamp, TrustBundle};
use tokio::sync::watch;

pub mod announced;
pub mod watcher;

pub use announced::{Announced, AnnouncementError, Condemned};
pub use watcher::RootsWatcher;

/// What the CA has told so far.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The newest that was taken.
    pub announced: Option<Arc<Announced>>,
    /// Whether a newer one would be heard of.
    pub is_watched: bool,
}

/// Makes both ends of what is told between the watcher and the rotator.
pub fn channel() -> (RootsTeller, RootsListener) {
    let (told, hears) = watch::channel(Told::default());
    let (says, in_force) = watch::channel(None);
    (RootsTeller { told, in_force }, RootsListener { told: hears, in_force: says })
}

/// The watcher's end.
#[derive(Debug)]
pub struct RootsTeller {
    told: watch::Sender<Told>,
    in_force: watch::Receiver<Option<Arc<Announced>>>,
}

impl RootsTeller {
    /// Tells what was announced.
    pub fn announce(&self, announced: Arc<Announced>) {
        self.told.send_replace(Told { announced: Some(announced), is_watched: true });
    }

    /// Tells that nothing would be heard of news.
    pub fn lost(&self) {
        self.told.send_if_modified(|told| std::mem::replace(&mut told.is_watched, false));
    }

    /// The newest that was taken.
    pub fn announced(&self) -> Option<Arc<Announced>> {
        self.told.borrow().announced.clone()
    }

    /// Waits for the next one that is in force; for ever when nobody publishes any more. Losing this future loses
    /// nothing.
    pub async fn published(&mut self) -> Arc<Announced> {
        loop {
            if self.in_force.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(announced) = self.in_force.borrow_and_update().clone() {
                return announced;
            }
        }
    }
}

/// The rotator's end.
#[derive(Debug)]
pub struct RootsListener {
    told: watch::Receiver<Told>,
    in_force: watch::Sender<Option<Arc<Announced>>>,
}

impl RootsListener {
    /// Waits for something that was not heard; for ever when nobody tells any more. Losing this future loses nothing.
    pub async fn changed(&mut self) {
        if self.told.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What was told; marks it as heard.
    pub fn heard(&mut self) -> Told {
        self.told.borrow_and_update().clone()
    }

    /// What was told.
    pub fn told(&self) -> Told {
        self.told.borrow().clone()
    }

    /// Says that this one is published.
    pub fn in_force(&self, announced: Arc<Announced>) {
        self.in_force.send_replace(Some(announced));
    }
}

impl Told {
    /// The roots to publish with `svid`, which came with `answered`. What the CA tells is newer than what came with an
    /// answer, which another replica may have given; unless nothing newer would be heard of, or `svid` is not trusted by
    /// it: then that is about another authority.
    pub fn beside(&self, svid: &Svid, answered: TrustBundle, now: Timestamp) -> TrustBundle {
        match &self.announced {
            Some(announced) if self.is_watched && announced.bundle().verify(svid.chain(), now).is_ok() => {
                announced.bundle().clone()
            }
            _ => answered,
        }
    }
}
