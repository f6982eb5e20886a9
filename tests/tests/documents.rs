//! The reference says what the programs say: settings, environment names, metrics, and examples that work.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use signet_testkit::TokenIssuer;
use signet_tests::mesh::{Ca, Workload};
use signet_tests::{Workdir, bin, http, tools};

fn document(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).expect("the document is there")
}

/// Words in backticks in the table rows below the heading `section`, in the columns before `columns`.
fn table_words(document: &str, section: &str, columns: usize) -> BTreeSet<String> {
    let after = document.split(&format!("\n## {section}\n")).nth(1).expect("the section is there");
    let body = after.split("\n## ").next().unwrap();
    let cells = body.lines().filter(|line| line.starts_with('|')).flat_map(|row| row.split('|').skip(1).take(columns));
    let words = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    words.collect()
}

/// Keys and environment names that a daemon's help knows.
fn known_settings(program: &str) -> BTreeSet<String> {
    let help = Command::new(bin(program)).args(["run", "--help"]).env("COLUMNS", "1000").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split(']').next()).map(str::to_owned);
    let flags = help.lines().filter_map(|line| line.trim().strip_prefix("--")?.split(' ').next().map(str::to_owned));
    names.chain(flags.filter(|flag| !["config", "check-config"].contains(&flag.as_str()))).collect()
}

fn every_setting_is_documented(program: &str) {
    let documented = table_words(&document(&format!("reference/{program}.md")), "Settings", 2);
    let as_flags: BTreeSet<_> =
        documented
            .iter()
            .filter(|word| !word.contains('<'))
            .map(|word| {
                if word.chars().any(|c| c.is_ascii_uppercase()) { word.clone() } else { word.replace(['.', '_'], "-") }
            })
            .collect();
    assert_eq!(as_flags, known_settings(program), "{program}: documented on the left, known on the right");
}

#[test]
fn every_setting_of_signet_ca_is_documented_and_every_documented_one_exists() {
    every_setting_is_documented("signet-ca");
}

#[test]
fn every_setting_of_sds_agent_is_documented_and_every_documented_one_exists() {
    every_setting_is_documented("sds-agent");
}

/// Names of the families on a metrics page, as a scraper stores them.
fn families(page: &str) -> BTreeSet<String> {
    let mut families = BTreeSet::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        families.insert(if kind == "counter" { format!("{name}_total") } else { name.to_owned() });
    }
    families
}

fn documented_metrics(program: &str) -> BTreeSet<String> {
    let words = table_words(&document(&format!("reference/{program}.md")), "Metrics", 1);
    words.iter().map(|word| word.split('{').next().unwrap().to_owned()).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_served() {
    let workdir = Workdir::new();
    let mut ca = Ca::self_signed(&workdir);
    ca.start_ready();
    let mut web = Workload::new(&workdir, &ca, "shop", "web", Duration::from_secs(3600));
    web.trust(&ca.roots());
    web.start_ready();
    assert!(http::get_unix(&web.socket(), "/").is_err(), "the socket speaks HTTP/2 only");

    check_metrics("signet-ca", &ca.metrics());
    check_metrics("sds-agent", &web.metrics());
}

/// Families that a page shows only after a stream, after something went wrong, with a plugged-in chain, or with a part
/// that is off by default.
const SHOWN_LATER: &[&str] = &[
    "citadel_server_cert_chain_expiry_seconds",
    "citadel_server_cert_chain_expiry_timestamp",
    "citadel_server_csr_sign_err_count",
    "istio_agent_pilot_xds_expired_nonce",
    "signet_agent_peer_denied_total",
    "signet_agent_sds_nacks_total",
    "signet_agent_sds_pushes_total",
    "signet_agent_sds_resource_faults_total",
    "signet_agent_sds_resource_not_after_seconds",
    "signet_agent_sds_streams",
    "signet_ca_federation_confirmed_timestamp",
    "signet_ca_federation_fetches_total",
    "signet_ca_federation_roots",
    "signet_ca_federation_stale",
    "signet_ca_federation_token_keys",
    "signet_ca_authority_directory_in_force",
    "signet_ca_authority_reloads_total",
    "signet_ca_events_total",
    "signet_ca_handshake_failures_total",
    "signet_ca_jwt_key_changes_total",
    "signet_ca_jwt_keys",
    "signet_ca_jwt_refusals_total",
    "signet_ca_refusals_total",
    "signet_ca_cluster_trust_bundle_writes_total",
    "signet_ca_cluster_trust_bundles",
    "signet_ca_istiod_certificate_expiry_timestamp",
    "signet_ca_istiod_certificate_writes_total",
    "signet_ca_roots_namespaces",
    "signet_ca_roots_writes_total",
    "signet_ca_shed_total",
    "signet_ca_token_reviews_total",
    "signet_ca_watch_heard_timestamp",
    "signet_ca_watch_objects",
    "signet_ca_watch_restarts_total",
    "signet_ca_watch_synced",
    "signet_ca_web_answers_total",
    "signet_ca_web_certificate_expiry_timestamp",
    "signet_ca_web_handshake_failures_total",
];

#[track_caller]
fn check_metrics(program: &str, page: &str) {
    let (documented, mut served) = (documented_metrics(program), families(page));
    served.extend(documented.iter().filter(|name| SHOWN_LATER.contains(&name.as_str())).cloned());
    assert_eq!(documented, served, "{program}: documented on the left, served on the right");
}

/// The first TOML block of a document.
fn toml_example(document: &str) -> &str {
    document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the document has an example")
}

#[test]
fn the_configurations_in_the_operations_guide_are_accepted() {
    let workdir = Workdir::new();
    let jwks = workdir.write("jwks.json", TokenIssuer::es256().jwks_json());
    let ca =
        toml_example(&document("operations/signet-ca.md")).replace("/etc/signet/jwks.json", jwks.to_str().unwrap());
    let agent = toml_example(&document("operations/sds-agent.md")).to_owned();
    let with = |name: &str| ("signet-ca", format!("{ca}\n{}", toml_example(&document(name))));
    let (jwt, federation) = (with("operations/jwt-svids.md"), with("operations/federation.md"));
    let outside = with("operations/outside-kubernetes.md");
    let beside_istio = (
        "signet-ca",
        format!(
            "kubernetes.service_host = \"10.0.0.1\"\nkubernetes.token_file = \"token\"\n{}",
            toml_example(&document("operations/beside-istio.md"))
        ),
    );
    let alone = [("signet-ca", ca.clone()), ("sds-agent", agent)];
    for (program, config) in alone.into_iter().chain([jwt, federation, outside, beside_istio]) {
        let config = workdir.write(&format!("{program}.toml"), config);
        let mut command = Command::new(bin(program));
        let checked = command.args(["run", "--check-config", "--config"]).arg(config).output().unwrap();
        assert!(checked.status.success(), "{program}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn ten_lines_of_another_language_find_in_a_ledger_what_ours_finds() {
    let workdir = Workdir::new();
    let mut ca = Ca::self_signed(&workdir);
    ca.start_ready();
    let mut web = Workload::new(&workdir, &ca, "shop", "web", Duration::from_secs(3600));
    web.trust(&ca.roots());
    web.start_ready();
    ca.kill();
    let dir = workdir.join("ca/state/ledger");
    let guide = document("operations/ledger.md");
    let script = guide.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let theirs =
        |dir: &PathBuf| Command::new(tools::python()).args(["-c", script]).arg(dir.join("1")).output().unwrap();
    let ours = |dir: &PathBuf| {
        let looked = Command::new(bin("signet-ca")).args(["ledger", "verify", "-o", "json", "--dir"]).arg(dir).output();
        let answer: Value = serde_json::from_slice(&looked.unwrap().stdout).unwrap();
        format!("{} {}\n", answer["chains"][0]["records"], answer["chains"][0]["hash"].as_str().unwrap())
    };
    let found = theirs(&dir);
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    assert_eq!(String::from_utf8(found.stdout).unwrap(), ours(&dir));
    assert!(ours(&dir).starts_with("2 "), "the start and one certificate");

    let segment = dir.join("1/00000000000000000001.jsonl");
    fs::write(&segment, fs::read_to_string(&segment).unwrap().replace("sa/web", "sa/bob")).unwrap();
    let found = theirs(&dir);
    assert!(!found.status.success() && String::from_utf8_lossy(&found.stderr).contains("AssertionError"));
}
