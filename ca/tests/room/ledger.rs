//! The ledger: what is recorded, and that nothing leaves without its record.

mod command;
mod desk;
mod faults;
mod keeping;
mod recovery;

use std::fs;
use std::path::Path;

use serde_json::Value;
use signet_identity::PrivateKey;
use tonic::Code;

use crate::lab::{Lab, Setup, WEB, any_csr, csr_of, eventually};
use desk::{records, whole};

/// Everything that was issued, as it stands in the ledger of `dir`.
pub(crate) fn issued(dir: &Path) -> Vec<Value> {
    records(dir).into_iter().filter(|record| record["event"] == "issued").collect()
}

#[tokio::test]
async fn a_record_says_who_got_what_and_how() {
    let lab = Lab::start().await;
    let key = PrivateKey::generate_p256().unwrap();
    let chain = lab.ask(&lab.token(), &csr_of(&key), 3600).await.unwrap();
    let leaf = crate::lab::certificates(&chain[0]).remove(0);
    let records = issued(&lab.setup.path("ledger"));
    assert_eq!(records.len(), 1, "a chain that arrived is recorded");
    let record = &records[0];
    for (member, wanted) in [
        ("id", WEB),
        ("serial", &leaf.serial().to_string()),
        ("key", "P-256"),
        ("key_sha256", &key.public().fingerprint()),
        ("namespace", "shop"),
        ("service_account", "web"),
        ("pod", "web-1"),
        ("node", "node-1"),
        ("cluster", "Kubernetes"),
        ("authenticator", "kubernetes-token"),
        ("authority", &leaf.authority_key_id().unwrap().iter().map(|octet| format!("{octet:02x}")).collect::<String>()),
    ] {
        assert_eq!(record[member], wanted, "{member}: {record}");
    }
    for (member, instant) in [("not_before", leaf.lifetime().not_before()), ("not_after", leaf.lifetime().not_after())]
    {
        assert_eq!(record[member], instant.to_string().replace('Z', ".000Z"), "{member}: {record}");
    }
    assert_eq!((record["asked_secs"].as_i64(), record["impersonated"].as_bool()), (Some(3600), Some(false)));
    assert!(record["granted_secs"].as_u64().unwrap() <= 3600, "{record}");
    assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
    for member in ["request", "pod_uid", "token_id"] {
        assert!(record[member].as_str().is_some_and(|text| text.len() > 4), "{member}: {record}");
    }
    let token = lab.token();
    assert!(!record.to_string().contains(token.rsplit('.').next().unwrap()));
    lab.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_not_recorded_and_what_is_recorded_is_counted() {
    let lab = Lab::start().await;
    lab.issue().await;
    lab.ask("bad", &any_csr(), 60).await.unwrap_err();
    lab.ask(&lab.token(), "bad", 60).await.unwrap_err();
    lab.issue().await;
    assert_eq!(issued(&lab.setup.path("ledger")).len(), 2);
    // One record more notes the start.
    assert_eq!(lab.metric("signet_ca_ledger_records_total").await, 3);
    assert_eq!(
        lab.metric("signet_ca_ledger_write_seconds_count").await,
        lab.metric("signet_ca_ledger_groups_total").await
    );
    assert_eq!((lab.metric("signet_ca_ledger_queue").await, lab.metric("signet_ca_ledger_segments").await), (0, 1));
    assert_eq!(lab.metric("signet_ca_stage_seconds_count{stage=\"record\"}").await, 2);
    let dir = lab.stop().await;
    let bytes: u64 =
        fs::read_dir(dir.path("ledger/1")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(whole(&dir.path("ledger")).bytes, bytes);
}

#[tokio::test]
async fn a_restart_goes_on_with_the_same_chain() {
    let mut setup = Setup::new();
    for _ in 0..3 {
        let lab = setup.start().await;
        lab.issue().await;
        setup = lab.stop().await;
    }
    let seen = whole(&setup.path("ledger"));
    assert_eq!((seen.segments, seen.records), (1, 6));
    let events: Vec<_> = records(&setup.path("ledger")).iter().map(|record| record["event"].clone()).collect();
    assert_eq!(events, ["started", "issued"].repeat(3));
}

#[tokio::test]
async fn only_who_says_so_goes_without_a_record_and_readiness_repeats_it() {
    let lab = Setup::new().with("ledger.dir", "\"none\"").start().await;
    lab.issue().await;
    lab.wait_ready().await;
    let (status, body) = lab.get("/healthz/ready").await;
    assert_eq!(status, 200);
    assert!(body.contains("certificates are issued without a record"), "{body}");
    assert!(!lab.setup.path("ledger").exists());
    lab.stop().await;
}

/// Takes something away from the ledger of a running server, and gives the events that are left in the end.
async fn after_taking_away(take: impl FnOnce(&Path)) -> Vec<Value> {
    let lab = Lab::start().await;
    lab.issue().await;
    let ledger = lab.setup.path("ledger");
    take(&ledger.join("1"));
    let refused = lab.ask(&lab.token(), &any_csr(), 60).await.unwrap_err();
    let told = "certificate could not be recorded now, try again";
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, told));
    let mut refusals = 1;
    eventually("a new segment is begun", async || {
        let asked = lab.ask(&lab.token(), &any_csr(), 60).await;
        refusals += i64::from(asked.is_err());
        asked.is_ok()
    })
    .await;
    lab.wait_ready().await;
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"ledger_unavailable\"}").await, refusals);
    // The directory goes with what stopping gives back.
    let _setup = lab.stop().await;
    records(&ledger)
}

#[tokio::test]
async fn a_ledger_taken_away_while_it_is_written_stops_issuing_until_a_new_segment_is_begun() {
    let directory = after_taking_away(|chain| {
        // The name goes at once, as no writer can make a file in between.
        let gone = chain.with_file_name("gone");
        fs::rename(chain, &gone).unwrap();
        fs::remove_dir_all(gone).unwrap();
    });
    let segment = after_taking_away(|chain| fs::remove_file(chain.join("00000000000000000001.jsonl")).unwrap());
    for records in [directory.await, segment.await] {
        assert_eq!(records[0]["event"], "resumed");
        assert!(records[0]["why"].as_str().unwrap().contains("was removed while it was written"), "{}", records[0]);
        assert_eq!((&records[0]["seq"], records.len()), (&Value::from(3), 2), "the gap shows");
    }
}
