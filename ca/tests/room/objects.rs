//! A cluster's live objects, moved by hand: what a watch would have brought.

use serde_json::Value;
use signet_ca::callers::ClusterLink;
use signet_ca::kubernetes::{AccountObject, ClusterViewWriter, PodObject, PodPhase};
use signet_identity::Timestamp;

/// What a test knows about a cluster, and can change.
pub(crate) struct Objects {
    pub(crate) writer: ClusterViewWriter,
    pub(crate) link: ClusterLink,
}

impl Objects {
    /// Nothing listed yet.
    pub(crate) fn unsynced() -> Self {
        let (writer, view) = ClusterViewWriter::new();
        Self { writer, link: ClusterLink { view: Some(view), ..ClusterLink::default() } }
    }

    /// Everything that tokens with these claims are bound to, as listed at `now`.
    pub(crate) fn of(claims: &[&Value], now: Timestamp) -> Self {
        let objects = Self::unsynced();
        objects.list(claims, now);
        objects
    }

    pub(crate) fn list(&self, claims: &[&Value], now: Timestamp) {
        self.writer.replace_pods(claims.iter().map(|claims| pod_of(claims)), now);
        self.writer.replace_accounts(claims.iter().map(|claims| account_of(claims)), now);
    }

    pub(crate) fn heard(&self, now: Timestamp) {
        self.writer.heard_pods(now);
        self.writer.heard_accounts(now);
    }
}

/// The running pod that a token with these claims is bound to.
pub(crate) fn pod_of(claims: &Value) -> PodObject {
    let kubernetes = &claims["kubernetes.io"];
    PodObject {
        namespace: text(&kubernetes["namespace"]),
        name: text(&kubernetes["pod"]["name"]),
        uid: text(&kubernetes["pod"]["uid"]),
        service_account: text(&kubernetes["serviceaccount"]["name"]),
        node: Some(text(&kubernetes["node"]["name"])),
        phase: PodPhase::Running,
        created_at: Some(Timestamp::from_unix_secs(0)),
        deleted_at: None,
        enrolled: true,
    }
}

/// The service account that a token with these claims belongs to.
pub(crate) fn account_of(claims: &Value) -> AccountObject {
    let kubernetes = &claims["kubernetes.io"];
    AccountObject {
        namespace: text(&kubernetes["namespace"]),
        name: text(&kubernetes["serviceaccount"]["name"]),
        uid: text(&kubernetes["serviceaccount"]["uid"]),
        created_at: Some(Timestamp::from_unix_secs(0)),
        deleted_at: None,
    }
}

fn text(value: &Value) -> Box<str> {
    value.as_str().expect("the claim should be text").into()
}
