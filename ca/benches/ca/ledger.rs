//! The ledger alone: how many records a second are on the disk, and how fast they are verified.

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use signet_ca::ledger::{Issued, Keeping, Ledger, LedgerConfig, SyncPolicy};
use signet_ca::metrics::Metrics;
use signet_identity::Timestamp;
use signet_runtime::{Clock, Health, Shutdown};
use tokio::task::JoinSet;

use crate::material::Material;

/// Records that wait for the disk together.
pub(crate) const TOGETHER: usize = 256;

const SPAN: Duration = Duration::from_secs(3);

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) struct Measured {
    /// Records a second, each on the disk before the next of its row.
    pub(crate) appended_per_second: f64,
    /// Records written in all, and their bytes.
    pub(crate) records: usize,
    pub(crate) bytes: u64,
    /// Seconds to verify them all, by the command that an operator uses.
    pub(crate) verify_secs: f64,
}

pub(crate) fn measure(material: &Material) -> Result<Measured, Box<dyn Error>> {
    let dir = material.dir("ledger")?.join("records");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (records, secs) = runtime.block_on(append(&dir)).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let verified =
        Command::new(env!("CARGO_BIN_EXE_signet-ca")).args(["ledger", "verify", "--dir"]).arg(&dir).output()?;
    let verify_secs = began.elapsed().as_secs_f64();
    if !verified.status.success() {
        return Err(format!("ledger was not verified: {}", String::from_utf8_lossy(&verified.stderr)).into());
    }
    Ok(Measured { appended_per_second: records as f64 / secs, records, bytes: size(&dir)?, verify_secs })
}

async fn append(dir: &Path) -> Result<(usize, f64), Box<dyn Error + Send + Sync>> {
    let keeping = Keeping { segment_max_bytes: 64 << 20, max_bytes: 4 << 30, max_age: YEAR, life_max: Duration::ZERO };
    let config = LedgerConfig { dir: dir.to_owned(), sync: SyncPolicy::Always, keeping };
    let (trigger, shutdown) = Shutdown::new();
    let clock = Clock::system();
    let (ledger, keeper) = Ledger::open(Some(&config), clock.clone(), Metrics::new().ledger(), &Health::new())?;
    let mut keeping = JoinSet::new();
    keeping.spawn(async move { keeper.run(shutdown).await.is_ok() });
    let (began, mut rows) = (Instant::now(), JoinSet::new());
    for row in 0..TOGETHER {
        let (ledger, clock) = (ledger.clone(), clock.clone());
        rows.spawn(async move {
            let mut count = 0;
            while began.elapsed() < SPAN {
                let request = format!("0011223344556677-{row:x}{count:x}");
                ledger.append(&record(&request, Timestamp::from(clock.now())), ()).await?;
                count += 1;
            }
            Ok::<usize, signet_ca::ledger::LedgerError>(count)
        });
    }
    let mut records = 0;
    while let Some(row) = rows.join_next().await {
        records += row??;
    }
    let secs = began.elapsed().as_secs_f64();
    drop(ledger);
    trigger.trigger();
    keeping.join_all().await;
    Ok((records, secs))
}

/// As long as a record of a pod's certificate is.
fn record(request: &str, now: Timestamp) -> Issued<'_> {
    Issued {
        time: now,
        request: Cow::Borrowed(request),
        id: "spiffe://cluster.local/ns/shop/sa/web-100".into(),
        kind: None,
        serial: "7f0011223344556677889900aabbccdd".into(),
        not_before: now,
        not_after: now.plus(Duration::from_secs(86_400)),
        asked_secs: 86_400,
        granted_secs: 86_400,
        key: "P-256".into(),
        key_sha256: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff".into(),
        authority: "00112233445566778899aabbccddeeff00112233".into(),
        audience: Vec::new(),
        authenticator: "kubernetes-token".into(),
        caller: None,
        cluster: Some("Kubernetes".into()),
        namespace: Some("shop".into()),
        service_account: Some("web-100".into()),
        pod: Some("web-100-5d8f7c9b6d-abcde".into()),
        pod_uid: Some("00112233-4455-6677-8899-aabbccddeeff".into()),
        node: Some("node-1.example.internal".into()),
        token_id: Some("00112233-4455-6677-8899-aabbccddeeff".into()),
        peer: Some("10.0.100.100:40000".into()),
        impersonated: false,
    }
}

fn size(dir: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let (path, data) = entry.map(|entry| (entry.path(), entry.metadata()))?;
        bytes += if data.as_ref().is_ok_and(std::fs::Metadata::is_dir) { size(&path)? } else { data?.len() };
    }
    Ok(bytes)
}
