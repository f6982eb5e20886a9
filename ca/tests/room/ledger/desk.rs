//! A ledger without a server around it, and ways to look at one.

use std::borrow::Cow;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use signet_ca::ledger::{
    Break, Chain, Entry, Issued, KeepError, Keeping, Ledger, LedgerConfig, OpenError, Seen, SyncPolicy, Visitor, walk,
};
use signet_ca::metrics::Metrics;
use signet_identity::Timestamp;
use signet_runtime::{Clock, Health, Shutdown, ShutdownTrigger};
use tokio::task::JoinSet;

pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// An open ledger with its writer.
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    pub(super) clock: Clock,
    trigger: ShutdownTrigger,
    running: JoinSet<Result<(), KeepError>>,
}

/// Far more than tests write.
pub(super) const ROOMY: Keeping =
    Keeping { segment_max_bytes: 1 << 20, max_bytes: 1 << 30, max_age: Duration::MAX, life_max: Duration::ZERO };

impl Desk {
    pub(super) fn open(dir: &Path) -> Self {
        Self::try_open(dir).expect("the ledger should open")
    }

    pub(super) fn try_open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(dir, ROOMY, SyncPolicy::Always, Clock::manual(1_700_000_000_000))
    }

    pub(super) fn open_with(dir: &Path, keeping: Keeping, sync: SyncPolicy, clock: Clock) -> Result<Self, OpenError> {
        let config = LedgerConfig { dir: dir.to_owned(), sync, keeping };
        let health = Health::new();
        let (ledger, keeper) = Ledger::open(Some(&config), clock.clone(), Metrics::new().ledger(), &health)?;
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(keeper.run(shutdown));
        Ok(Self { ledger, clock, trigger, running })
    }

    /// Records certificate number `number`.
    pub(super) async fn write(&self, number: u64) {
        let record = certificate(number, Timestamp::from(self.clock.now()));
        self.ledger.append(&record, ()).await.expect("the record should be written");
    }

    pub(super) async fn close(self) {
        let Self { ledger, trigger, mut running, .. } = self;
        trigger.trigger();
        drop(ledger);
        while let Some(ended) = running.join_next().await {
            ended.unwrap().unwrap();
        }
    }
}

/// A record like any other.
pub(super) fn certificate(number: u64, time: Timestamp) -> Issued<'static> {
    let text = |text: &str| Cow::Owned(text.to_owned());
    Issued {
        time,
        request: Cow::Owned(format!("0123456789abcdef-{number:x}")),
        id: text("spiffe://cluster.local/ns/shop/sa/web"),
        kind: None,
        serial: Cow::Owned(format!("{:032x}", 0x4000_0000_0000_0000_u64 + number)),
        not_before: time.whole_secs(),
        not_after: time.whole_secs().plus(DAY),
        asked_secs: 86_400,
        granted_secs: 86_400,
        key: text("P-256"),
        key_sha256: Cow::Owned(format!("{number:064x}")),
        authority: text("0011223344556677889900112233445566778899"),
        audience: Vec::new(),
        authenticator: text("kubernetes-token"),
        caller: None,
        cluster: Some(text("Kubernetes")),
        namespace: Some(text("shop")),
        service_account: Some(text("web")),
        pod: Some(Cow::Owned(format!("web-{number}"))),
        pod_uid: Some(text("6d0e0a2a-0001-4b9f-8a5b-0123456789ab")),
        node: Some(text("node-1")),
        token_id: Some(text("6d0e0a2a-0002-4b9f-8a5b-0123456789ab")),
        peer: Some(text("10.0.0.1:41000")),
        impersonated: false,
    }
}

/// What a walk over a ledger saw: the chains, every record, every place that does not hold.
pub(super) struct Tour {
    pub(super) chains: Vec<Seen>,
    pub(super) records: Vec<Value>,
    pub(super) breaks: Vec<Break>,
}

impl Tour {
    pub(super) fn of(dir: &Path) -> Self {
        let mut tour = Self { chains: Vec::new(), records: Vec::new(), breaks: Vec::new() };
        for chain in Chain::all(dir).expect("the ledger should be there") {
            let seen = walk(&chain, &mut tour).expect("the chain should be readable");
            tour.chains.push(seen);
        }
        tour
    }
}

impl Visitor for Tour {
    fn record(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        self.records.push(serde_json::from_slice(entry.line).expect("a record should be JSON"));
        ControlFlow::Continue(())
    }

    fn broken(&mut self, found: Break) -> ControlFlow<()> {
        self.breaks.push(found);
        ControlFlow::Continue(())
    }
}

/// The records of a ledger that holds.
pub(super) fn records(dir: &Path) -> Vec<Value> {
    let tour = Tour::of(dir);
    assert!(tour.breaks.is_empty(), "{:?}", tour.breaks);
    tour.records
}

/// The only chain of a ledger that holds.
pub(super) fn whole(dir: &Path) -> Seen {
    let tour = Tour::of(dir);
    assert!(tour.breaks.is_empty(), "{:?}", tour.breaks);
    assert_eq!(tour.chains.len(), 1);
    tour.chains[0]
}

/// The segments of the first chain, oldest first.
pub(super) fn segments(dir: &Path) -> Vec<PathBuf> {
    let chain = Chain::all(dir).unwrap().remove(0);
    chain.segments().unwrap().into_iter().map(|segment| segment.path).collect()
}

/// Copies a ledger of one chain.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("1")).unwrap();
    for file in fs::read_dir(from.join("1")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join("1").join(file.file_name())).unwrap();
    }
}
