//! One request from credentials to reply: who asks, may they, what comes of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use signet_identity::Timestamp;
use signet_runtime::Clock;
use signet_testkit::TokenIssuer;
use tokio::sync::watch;

use crate::answer::Reply;
use crate::auth::User;
use crate::call::{Call, Seen};
use crate::discovery;
use crate::faults::Faults;
use crate::kinds::{CERTIFICATES, CLUSTER_TRUST_BUNDLE, NAMESPACE, SERVICE_ACCOUNT, TOKEN_REVIEW, Target};
use crate::list::list;
use crate::oidc;
use crate::rbac::{self, Wish};
use crate::status::Failure;
use crate::store::{Key, Store};
use crate::token::{self, Judge};
use crate::watch::{Watch, typed};
use crate::write::{Write, Written};

/// The whole state of the server.
pub(crate) struct Shared {
    store: Mutex<Store>,
    pub(crate) issuers: Mutex<Vec<TokenIssuer>>,
    pub(crate) clock: Clock,
    /// The newest revision.
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) bookmark_every: Duration,
    pub(crate) bundle_versions: Vec<String>,
    pub(crate) administrator: String,
    pub(crate) base: OnceLock<String>,
    pub(crate) faults: Faults,
    pub(crate) seen: Mutex<Vec<Seen>>,
    /// Whether a watch from a compacted revision is refused by the HTTP status already.
    pub(crate) gone_by_status: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        issuer: TokenIssuer,
        clock: Clock,
        bookmark_every: Duration,
        bundle_versions: Vec<String>,
    ) -> Self {
        let store = Store::new();
        Self {
            changed: watch::channel(store.revision()).0,
            store: Mutex::new(store),
            issuers: Mutex::new(vec![issuer]),
            clock,
            bookmark_every,
            bundle_versions,
            administrator: crate::write::uid(),
            base: OnceLock::new(),
            faults: Faults::default(),
            seen: Mutex::new(Vec::new()),
            gone_by_status: AtomicBool::new(false),
        }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now())
    }

    /// Tells watches that something happened.
    pub(crate) fn announce(&self) {
        let revision = self.store().revision();
        self.changed.send_replace(revision);
    }

    pub(crate) fn reply(self: &Arc<Self>, call: &Call) -> Reply {
        let user = {
            let (store, issuers) = (self.store(), self.issuers.lock().unwrap_or_else(PoisonError::into_inner));
            let judge = Judge { store: &store, issuers: &issuers, now: self.now() };
            User::of(call.bearer.as_deref(), &self.administrator, &judge)
        };
        user.and_then(|user| self.reply_to(call, &user)).unwrap_or_else(Reply::from)
    }

    pub(crate) fn reply_to(self: &Arc<Self>, call: &Call, user: &User) -> Result<Reply, Failure> {
        if call.path == TOKEN_REVIEW.path("v1", "", "") {
            return self.review(call, user);
        }
        match Target::parse(&call.path, &self.bundle_versions) {
            Some(target) => self.reply_about(call, user, target),
            None => self.reply_path(call, user),
        }
    }

    fn review(&self, call: &Call, user: &User) -> Result<Reply, Failure> {
        let wish =
            Wish { verb: "create", group: TOKEN_REVIEW.group, resource: TOKEN_REVIEW.plural, namespace: "", name: "" };
        let (store, issuers) = (self.store(), self.issuers.lock().unwrap_or_else(PoisonError::into_inner));
        if !rbac::allows(&store, user, wish) {
            return Err(Failure::forbidden(&TOKEN_REVIEW, "", &cannot(user, wish)));
        }
        let judge = Judge { store: &store, issuers: &issuers, now: self.now() };
        token::review(&judge, call).map(|review| Reply::json(201, review))
    }

    /// Paths that name no object: the issuer's, and what the server says about itself.
    fn reply_path(&self, call: &Call, user: &User) -> Result<Reply, Failure> {
        let verb = call.method.as_str().to_lowercase();
        if !rbac::allows_path(&self.store(), user, &verb, &call.path) {
            return Err(Failure::forbidden_path(&user.name, &verb, &call.path));
        }
        let issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let published = |body: Value, content_type: &'static str| {
            Ok(Reply::Json { status: 200, body, content_type, cache: "public, max-age=3600", warning: None })
        };
        match call.path.as_str() {
            oidc::DISCOVERY_PATH => {
                let base = self.base.get().map(String::as_str).unwrap_or_default();
                published(oidc::discovery(&issuers, base), "application/json")
            }
            oidc::JWKS_PATH => published(oidc::keys(&issuers), "application/jwk-set+json"),
            path => {
                let found = discovery::answer(path, &self.bundle_versions);
                found.map(|body| Reply::json(200, body)).ok_or_else(Failure::no_such_path)
            }
        }
    }

    fn reply_about(self: &Arc<Self>, call: &Call, user: &User, target: Target) -> Result<Reply, Failure> {
        self.authorize(call, user, &target)?;
        if call.method == Method::GET && target.name.is_empty() && call.is_watch() {
            return self.watch(call, target);
        }
        let done = self.act(call, &target);
        self.announce();
        let mut reply = done.map_or_else(Reply::from, |(status, body)| Reply::json(status, body));
        if let (Reply::Json { warning, .. }, CERTIFICATES) = (&mut reply, target.kind.group) {
            *warning = Some(format!(
                "299 - \"{} {} is deprecated in v1.37+, unavailable in v1.40+\"",
                target.api_version(),
                target.kind.kind
            ));
        }
        Ok(reply)
    }

    fn watch(self: &Arc<Self>, call: &Call, target: Target) -> Result<Reply, Failure> {
        let asked = call.parameter("resourceVersion").and_then(|text| text.parse().ok()).filter(|asked| *asked > 0);
        let is_gone = asked.is_some_and(|revision| self.store().since(revision).is_none());
        if is_gone && self.gone_by_status.load(Ordering::SeqCst) {
            return Err(Failure::made_up(410));
        }
        Ok(Reply::Watch(Box::new(Watch::begin(self, call, target)?)))
    }

    fn authorize(&self, call: &Call, user: &User, target: &Target) -> Result<(), Failure> {
        let verb = match (&call.method, target.name.is_empty()) {
            (&Method::GET, true) if call.is_watch() => "watch",
            (&Method::GET, true) => "list",
            (&Method::GET, false) => "get",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, false) => "delete",
            _ => return Err(Failure::method_not_allowed()),
        };
        let resource = match target.subresource.as_str() {
            "" => target.kind.plural.to_owned(),
            subresource => format!("{}/{subresource}", target.kind.plural),
        };
        let selected = call.parameter("fieldSelector").and_then(|text| text.strip_prefix("metadata.name="));
        let name = if target.name.is_empty() { selected.unwrap_or_default() } else { &target.name };
        let namespace = if *target.kind == NAMESPACE { &target.name } else { &target.namespace };
        let wish = Wish { verb, group: target.kind.group, resource: &resource, namespace, name };
        let store = self.store();
        let refuse = |wish| Err(Failure::forbidden(target.kind, &target.name, &cannot(user, wish)));
        if !rbac::allows(&store, user, wish) {
            return refuse(wish);
        }
        // What an apply patch creates must be allowed as a creation too.
        let key = Key::new(target.kind, &target.namespace, &target.name);
        let creation = Wish { verb: "create", name: "", ..wish };
        if verb == "patch" && store.get(&key).is_none() && !rbac::allows(&store, user, creation) {
            return refuse(creation);
        }
        if *target.kind == CLUSTER_TRUST_BUNDLE && ["create", "update", "patch"].contains(&verb) {
            let body = call.json()?;
            let signer = body["spec"]["signerName"].as_str().unwrap_or_default();
            let attest = Wish { verb: "attest", group: CERTIFICATES, resource: "signers", namespace: "", name: signer };
            let domain = signer.split('/').next().unwrap_or_default();
            let any = format!("{domain}/*");
            let allowed = signer.is_empty()
                || rbac::allows(&store, user, attest)
                || rbac::allows(&store, user, Wish { name: &any, ..attest });
            if !allowed {
                let why = format!("user not permitted to attest for signerName {signer:?}");
                return Err(Failure::forbidden(target.kind, &target.name, &why));
            }
        }
        Ok(())
    }

    fn act(&self, call: &Call, target: &Target) -> Result<(u16, Value), Failure> {
        let mut store = self.store();
        let typed = |object: Value| typed(object, target);
        if target.subresource == "token" && *target.kind == SERVICE_ACCOUNT && call.method == Method::POST {
            let issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
            let judge = Judge { store: &store, issuers: &issuers, now: self.now() };
            return token::request(&judge, call, target).map(|token| (201, token));
        }
        if call.method == Method::GET {
            if target.name.is_empty() {
                return list(&store, call, target).map(|list| (200, list));
            }
            let key = Key::new(target.kind, &target.namespace, &target.name);
            let object = store.get(&key).cloned().ok_or_else(|| Failure::not_found(target.kind, &target.name))?;
            return Ok((200, typed(object)));
        }
        let mut write = Write { store: &mut store, call, target, now: self.now() };
        let written = match call.method {
            Method::POST => Written::Created(write.create()?),
            Method::PUT => write.update()?,
            Method::PATCH => write.patch()?,
            _ => {
                let deleted = write.delete()?;
                let is_status = deleted["kind"] == json!("Status");
                return Ok((200, if is_status { deleted } else { typed(deleted) }));
            }
        };
        Ok(match written {
            Written::Created(object) => (201, typed(object)),
            Written::Updated(object) => (200, typed(object)),
        })
    }
}

fn cannot(user: &User, wish: Wish<'_>) -> String {
    let place = match wish.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let Wish { verb, group, resource, .. } = wish;
    format!("User {:?} cannot {verb} resource {resource:?} in API group {group:?} {place}", user.name)
}
