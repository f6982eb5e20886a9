//! Watches: what happened since a revision and what happens from now on, one JSON object a line.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::call::Call;
use crate::handle::Shared;
use crate::kinds::Target;
use crate::selector::Selector;
use crate::status::Failure;
use crate::store::{Change, Store};

/// How long a watch lasts that sets no time itself.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);

/// One watch under way.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    target: Target,
    selector: Selector,
    /// Everything at or before this revision was sent.
    sent: u64,
    waiting: VecDeque<Value>,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    ended: bool,
}

impl Watch {
    pub(crate) fn begin(shared: &Arc<Shared>, call: &Call, target: Target) -> Result<Self, Failure> {
        let selector = Selector::of(call, target.kind)?;
        let timeout = call.parameter("timeoutSeconds").and_then(|secs| secs.parse().ok());
        let timeout = timeout.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
        let bookmarks = call.flag("allowWatchBookmarks");
        let initial = call.flag("sendInitialEvents");
        if initial && call.parameter("resourceVersionMatch") != Some("NotOlderThan") {
            let message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return Err(Failure::bad_request(message));
        }
        let asked: Option<u64> = match call.parameter("resourceVersion") {
            None | Some("0") => None,
            Some(text) => {
                let parsed =
                    text.parse().map_err(|_| Failure::bad_request(format!("invalid resource version {text:?}")));
                Some(parsed?)
            }
        };
        let store = shared.store();
        let mut waiting = VecDeque::new();
        let mut sent = asked.unwrap_or(store.revision());
        if initial || asked.is_none() {
            waiting.extend(present(&store, &target, &selector));
            sent = store.revision();
        }
        if initial && bookmarks {
            waiting.push_back(bookmark(&target, sent, true));
        }
        let changed = shared.changed.subscribe();
        let next_bookmark = Instant::now() + shared.bookmark_every;
        drop(store);
        let (shared, end) = (shared.clone(), Instant::now() + timeout);
        Ok(Self { shared, changed, target, selector, sent, waiting, bookmarks, next_bookmark, end, ended: false })
    }

    /// The lines, each a chunk of its own.
    pub(crate) fn lines(self) -> impl Stream<Item = Bytes> {
        stream::unfold(self, |mut watch| async move {
            let event = watch.next().await?;
            Some((Bytes::from(format!("{event}\n")), watch))
        })
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            self.gather();
            if !self.waiting.is_empty() {
                continue;
            }
            tokio::select! {
                // Each arm only wakes the loop; what it looks at lasts.
                _ = self.changed.changed() => {}
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => self.bookmark(),
                () = tokio::time::sleep_until(self.end) => {
                    if self.bookmarks {
                        self.bookmark();
                    }
                    self.ended = true;
                }
            }
        }
    }

    fn bookmark(&mut self) {
        self.next_bookmark = Instant::now() + self.shared.bookmark_every;
        // A watch from the future knows of nothing yet.
        if self.sent <= self.shared.store().revision() {
            self.waiting.push_back(bookmark(&self.target, self.sent, false));
        }
    }

    fn gather(&mut self) {
        let store = self.shared.store();
        let Some(changes) = store.since(self.sent) else {
            self.waiting.push_back(json!({ "type": "ERROR", "object": Failure::watch_expired().status }));
            self.ended = true;
            return;
        };
        for change in changes.filter(|change| change.key.is_of(self.target.kind, &self.target.namespace)) {
            self.waiting.extend(event(change, &self.target, &self.selector));
        }
        self.sent = self.sent.max(store.revision());
    }
}

/// Everything that is there now, as if it were added.
fn present(store: &Store, target: &Target, selector: &Selector) -> Vec<Value> {
    let objects = store.of(target.kind, &target.namespace).filter(|(_, object)| selector.selects(object));
    objects.map(|(_, object)| json!({ "type": "ADDED", "object": typed(object.clone(), target) })).collect()
}

/// A change as those see it who watch through a selector: what it selects no longer counts as deleted.
fn event(change: &Change, target: &Target, selector: &Selector) -> Option<Value> {
    let seen = |object: &Option<Value>| object.clone().filter(|object| selector.selects(object));
    let (what, mut object) = match (seen(&change.before), seen(&change.after)) {
        (None, None) => return None,
        (None, Some(after)) => ("ADDED", after),
        (Some(_), Some(after)) => ("MODIFIED", after),
        (Some(before), None) => ("DELETED", change.after.clone().unwrap_or(before)),
    };
    object["metadata"]["resourceVersion"] = json!(change.revision.to_string());
    Some(json!({ "type": what, "object": typed(object, target) }))
}

fn bookmark(target: &Target, revision: u64, ends_initial: bool) -> Value {
    let mut object = typed(json!({ "metadata": { "resourceVersion": revision.to_string() } }), target);
    if ends_initial {
        object["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    if target.kind.plural == "pods" {
        object["spec"] = json!({ "containers": null });
        object["status"] = json!({});
    }
    json!({ "type": "BOOKMARK", "object": object })
}

/// An object with its kind, which lists leave out.
pub(crate) fn typed(mut object: Value, target: &Target) -> Value {
    object["kind"] = json!(target.kind.kind);
    object["apiVersion"] = json!(target.api_version());
    object
}
