//! Keeping up with the objects of a cluster: listed once, then followed, and listed again whenever following could have
//! missed something.
//!
//! A watch that fails goes on from where it was. It begins anew with a list when the server has forgotten that place
//! (410), when it ended without a word, which is how a server looks that was set back to an older state, and every now
//! and then without a reason. Every wait and every answer is bounded; nothing here ends before the process does.

mod outage;
mod pace;

pub use outage::Outage;
pub use pace::Pace;

use std::convert::Infallible;
use std::time::SystemTime;

use kube::core::params::{ListParams, WatchParams};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use signet_runtime::{Clock, Shutdown};
use tokio::time::Instant;

use crate::api::{ApiClient, ApiError, Collection, Line, Lines, OBJECT_MAX_BYTES, parse};

/// Objects in one page of a list.
const PAGE_OBJECTS: u32 = 250;

/// The same where a page would be too large, so that nobody who may make large objects can keep a list from its end: so
/// many fit into one whatever they are.
const PAGE_OBJECTS_MIN: u32 = 4;

/// Largest page.
const PAGE_MAX_BYTES: usize = PAGE_OBJECTS_MIN as usize * OBJECT_MAX_BYTES;

/// Most pages of one list, which is beyond what any view holds and any server stores.
const PAGES_MAX: usize = 4096;

/// The code of a place in time that the server has forgotten.
const GONE: u16 = 410;

/// What is followed, and what becomes of it.
pub trait Watched: Send {
    /// An object as it is read.
    type Object: DeserializeOwned + Send;
    /// The same as it is kept.
    type Kept: Send;

    /// Where the objects are.
    fn collection(&self) -> Collection;
    /// The fields that they are selected by, if not all are followed.
    fn field_selector(&self) -> Option<&str> {
        None
    }
    /// The labels that they are selected by, likewise.
    fn label_selector(&self) -> Option<&str> {
        None
    }
    /// The version of an object.
    fn version<'a>(&self, object: &'a Self::Object) -> &'a str;
    /// What is kept of an object.
    fn keep(&self, object: Self::Object) -> Self::Kept;
    /// These are all, as of `now`.
    fn replace(&mut self, all: Vec<Self::Kept>, now: SystemTime);
    /// This one is new, or is so now.
    fn apply(&mut self, kept: Self::Kept);
    /// This one is gone.
    fn delete(&mut self, kept: Self::Kept);
    /// The server was heard at `now`, be it only to say that nothing happened.
    fn heard(&mut self, now: SystemTime);
    /// How many are known.
    fn count(&self) -> usize;
}

/// Who is told how following goes, for metrics.
pub trait WatchTold: Send + Sync {
    /// What is followed, in one word.
    fn kind(&self) -> &'static str;
    /// All were listed; so many are known.
    fn listed(&self, count: usize);
    /// So many are known.
    fn counted(&self, count: usize);
    /// The server was heard.
    fn heard(&self, now: SystemTime);
    /// A watch began again before its time. `reason` is one of a few words.
    fn restarted(&self, reason: &'static str);
}

#[derive(Deserialize)]
struct Page<T> {
    metadata: PageMeta,
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

/// How a watch came to its end.
enum End {
    /// At the end of its time, with something to go on from.
    Over,
    /// The place it went on from is not known any more, or nothing at all was said.
    Lost(&'static str),
    Failed(ApiError),
}

/// One kind of object being followed.
pub struct Follower<W> {
    client: ApiClient,
    watched: W,
    clock: Clock,
    pace: Pace,
    told: Box<dyn WatchTold>,
    outage: Outage,
    /// How many objects the next page is asked for.
    page_objects: u32,
}

impl<W: Watched> Follower<W> {
    /// Follows nothing before it is run.
    pub fn new(client: ApiClient, watched: W, clock: Clock, pace: Pace, told: impl WatchTold + 'static) -> Self {
        let outage = Outage::new(pace.retry(), told.kind());
        Self { client, watched, clock, pace, told: Box::new(told), outage, page_objects: PAGE_OBJECTS }
    }

    /// Follows until shutdown begins.
    ///
    /// # Errors
    /// None.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        tokio::select! {
            // What was taken in so far stays; the end of the process is no state to be kept.
            () = shutdown.begun() => Ok(()),
            never = self.follow() => match never {},
        }
    }

    async fn follow(&mut self) -> Infallible {
        loop {
            match self.list().await {
                Ok(version) => self.follow_from(version).await,
                Err(error) => self.pause("list", &error).await,
            }
        }
    }

    /// Lists everything, and gives the version that it is of.
    async fn list(&mut self) -> Result<String, ApiError> {
        let mut all = Vec::new();
        let mut next = None;
        for _ in 0..PAGES_MAX {
            let page = self.page(next.as_deref()).await?;
            let keep = |object| self.watched.keep(object);
            all.extend(page.items.into_iter().map(keep));
            if page.metadata.next.is_empty() {
                let now = self.now();
                self.watched.replace(all, now);
                self.told.listed(self.watched.count());
                self.told.heard(now);
                return Ok(page.metadata.resource_version);
            }
            next = Some(page.metadata.next);
        }
        Err(ApiError::TooManyPages { max: PAGES_MAX })
    }

    /// The next page, of as many objects as fit; more are tried again for each that did.
    async fn page(&mut self, next: Option<&str>) -> Result<Page<W::Object>, ApiError> {
        loop {
            let page = self.page_of(self.page_objects, next).await;
            let is_least = self.page_objects <= PAGE_OBJECTS_MIN;
            if matches!(page, Err(ApiError::TooLarge { .. } | ApiError::Deadline { .. })) {
                self.page_objects = (self.page_objects / 4).max(PAGE_OBJECTS_MIN);
            }
            match page {
                Err(ApiError::TooLarge { .. }) if !is_least => {}
                Err(error) => return Err(error),
                Ok(page) => {
                    self.page_objects = (2 * self.page_objects).min(PAGE_OBJECTS);
                    return Ok(page);
                }
            }
        }
    }

    async fn page_of(&self, objects: u32, next: Option<&str>) -> Result<Page<W::Object>, ApiError> {
        let mut params = ListParams::default().limit(objects);
        params.field_selector = self.watched.field_selector().map(str::to_owned);
        params.label_selector = self.watched.label_selector().map(str::to_owned);
        params.continue_token = next.map(str::to_owned);
        let request = self.watched.collection().request().list(&params);
        parse(&self.client.send(request, PAGE_MAX_BYTES).await?)
    }

    /// Follows from `version` until a new list is needed.
    async fn follow_from(&mut self, mut version: String) {
        let list_again_at = Instant::now() + self.pace.list_again();
        while Instant::now() < list_again_at {
            let began = Instant::now();
            match self.watch(&mut version).await {
                End::Over if began.elapsed() >= self.pace.watch_min() => {}
                End::Over => tokio::time::sleep(self.pace.watch_min()).await,
                End::Lost(why) => {
                    tracing::debug!(kind = self.told.kind(), why, "objects are listed anew");
                    self.told.restarted(why);
                    tokio::time::sleep(self.outage.wait()).await;
                    return;
                }
                End::Failed(error) => {
                    self.told.restarted("failed");
                    self.pause("watch", &error).await;
                    if !may_go_on(&error) {
                        return;
                    }
                }
            }
        }
        self.told.restarted("routine");
    }

    /// One watch; moves `version` on with everything that is heard.
    async fn watch(&mut self, version: &mut String) -> End {
        let mut lines = match self.open(version).await {
            Ok(lines) => lines,
            Err(ApiError::Refused(refusal)) if refusal.code == GONE => return End::Lost("gone"),
            Err(error) => return End::Failed(error),
        };
        let mut is_heard = false;
        loop {
            let line = match tokio::time::timeout(self.pace.silence_max(), lines.next()).await {
                // A server that has a word now and then, but none at all for this place, does not know it.
                Err(_) if !is_heard => return End::Lost("silent"),
                Err(_) => return End::Failed(ApiError::Deadline { after: self.pace.silence_max() }),
                Ok(Err(error)) => return End::Failed(error),
                Ok(Ok(None)) if is_heard => return End::Over,
                Ok(Ok(None)) => return End::Lost("silent"),
                Ok(Ok(Some(line))) => line,
            };
            match line {
                Line::Error(refusal) if refusal.code == GONE => return End::Lost("gone"),
                Line::Error(refusal) => return End::Failed(ApiError::Refused(refusal)),
                Line::Bookmark(mark) => mark.version().clone_into(version),
                Line::Added(object) | Line::Modified(object) => {
                    self.watched.version(&object).clone_into(version);
                    let kept = self.watched.keep(object);
                    self.watched.apply(kept);
                }
                Line::Deleted(object) => {
                    self.watched.version(&object).clone_into(version);
                    let kept = self.watched.keep(object);
                    self.watched.delete(kept);
                }
            }
            is_heard = true;
            self.hear();
        }
    }

    async fn open(&self, version: &str) -> Result<Lines, ApiError> {
        let mut params = WatchParams::default().timeout(self.pace.watch_secs());
        params.field_selector = self.watched.field_selector().map(str::to_owned);
        params.label_selector = self.watched.label_selector().map(str::to_owned);
        self.client.open(self.watched.collection().request().watch(&params, version)).await
    }

    fn hear(&mut self) {
        let now = self.now();
        self.watched.heard(now);
        self.told.heard(now);
        self.told.counted(self.watched.count());
        self.outage.over();
    }

    async fn pause(&mut self, what: &'static str, error: &ApiError) {
        let wait = self.outage.failed(what, error);
        tokio::time::sleep(wait).await;
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

/// Whether a watch may be tried again from the same place: unless the server understood the question and answered no.
fn may_go_on(error: &ApiError) -> bool {
    match error.refusal() {
        Some(refusal) => matches!(refusal.code, 401 | 403 | 429 | 500..),
        None => !matches!(error, ApiError::Malformed(_) | ApiError::TooLarge { .. } | ApiError::Request(_)),
    }
}

#[cfg(test)]
mod tests;
