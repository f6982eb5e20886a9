//! Keys change while the server runs: over its real sockets, moved by an operator or by time.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use signet_identity::{Certificate, TrustBundle};
use signet_runtime::Clock;

use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use tonic::transport::Channel;

use crate::lab::{HOUR, Lab, Setup, any_csr, certificates, eventually, now, request};
use crate::watcher::Watcher;

/// Settings with which a root is known a minute after it was published, and old ones go an hour after their last leaf.
fn setup() -> Setup {
    Setup::new()
        .with("authority.root_ttl", "'100h'")
        .with("leaf.max_ttl", "'2h'")
        .with("serving.ttl", "'2h'")
        .with("authority.rotation.min_wait", "'0s'")
        .with("authority.rotation.deadline", "'60s'")
        .with("authority.rotation.keep_old", "'1h'")
        .with_clock(Clock::manual(now().unix_millis()))
}

/// A connection that was made before the clock was moved; handshakes go by the machine's time.
struct Client(IstioCertificateServiceClient<Channel>);

impl Client {
    async fn of(lab: &Lab) -> Self {
        Self(lab.client().await)
    }

    /// A chain with a fresh key.
    async fn issue(&mut self, lab: &Lab) -> Vec<String> {
        let answer = self.0.create_certificate(request(&lab.token(), &any_csr(), 3600)).await;
        answer.expect("a certificate should be issued").into_inner().cert_chain
    }
}

/// Runs `signet-ca authority` with these words against the server of `lab`.
pub(crate) async fn operator(lab: &Lab, words: &[&str]) -> Output {
    ask(lab.setup.path("state/control.sock"), words).await
}

async fn ask(socket: PathBuf, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet-ca"));
    command.arg("authority").args(words).arg("--socket").arg(socket);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `list` shows.
pub(crate) async fn listed(lab: &Lab) -> Value {
    let output = operator(lab, &["list", "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The phases of the generations that matter, such as `1:old 2:active`.
async fn phases(lab: &Lab) -> String {
    let overview = listed(lab).await;
    let generations = overview["generations"].as_array().unwrap();
    let live = generations.iter().filter(|found| found["is_over"] == false);
    live.map(|found| format!("{}:{}", found["id"], found["phase"].as_str().unwrap())).collect::<Vec<_>>().join(" ")
}

pub(crate) async fn becomes(lab: &Lab, wanted: &str) {
    eventually(&format!("the generations are {wanted}"), async || phases(lab).await == wanted).await;
}

pub(crate) async fn did(lab: &Lab, words: &[&str]) {
    let output = operator(lab, words).await;
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
}

fn roots_file(lab: &Lab) -> Vec<Certificate> {
    certificates(&std::fs::read_to_string(lab.setup.path("state/root-cert.pem")).unwrap())
}

/// The roots of a chain's last element.
fn roots_of(chain: &[String]) -> Vec<Certificate> {
    certificates(chain.last().unwrap())
}

fn trusts(roots: &[Certificate], chain: &[String], lab: &Lab) -> bool {
    let bundle = TrustBundle::new("cluster.local".parse().unwrap(), roots.to_vec()).unwrap();
    bundle.verify(&certificates(&chain[0]), lab.now()).is_ok()
}

#[tokio::test]
async fn an_operator_changes_the_key_and_leaves_of_both_are_trusted_all_the_while() {
    let lab = setup().start().await;
    let mut client = Client::of(&lab).await;
    let before = client.issue(&lab).await;
    assert_eq!(phases(&lab).await, "1:active");

    did(&lab, &["prepare"]).await;
    assert_eq!(phases(&lab).await, "1:active 2:published");
    let published = client.issue(&lab).await;
    assert_eq!(roots_of(&published).len(), 2, "the new root is in every answer before it signs");
    assert_eq!(roots_of(&published)[0], roots_of(&before)[0], "the root that signs comes first");
    assert!(trusts(&roots_of(&before), &published, &lab), "the old root still signs");
    assert_eq!(roots_file(&lab), roots_of(&published));

    let refused = operator(&lab, &["activate", "2"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("generation 2 may not sign yet: its root is published for "));
    did(&lab, &["activate", "2", "--when-known"]).await;
    lab.setup.clock.advance(Duration::from_secs(61));
    becomes(&lab, "1:old 2:active").await;

    let after = client.issue(&lab).await;
    assert!(!trusts(&roots_of(&before), &after, &lab), "another root signs");
    assert!(trusts(&roots_of(&published), &after, &lab) && trusts(&roots_of(&after), &before, &lab));
    assert_eq!(roots_of(&after)[0], roots_of(&published)[1], "the root that signs comes first");

    // Two hours for the last leaf, some slack, an hour more.
    lab.setup.clock.advance(4 * HOUR);
    becomes(&lab, "2:active").await;
    assert_eq!(roots_file(&lab), [roots_of(&after)[0].clone()]);
    assert!(!lab.setup.path("state/authority.pem").exists(), "the old key is gone");
    assert_eq!(roots_of(&client.issue(&lab).await).len(), 1);
}

#[tokio::test]
async fn a_tainted_key_is_told_to_those_who_watch_and_a_revoked_root_is_gone_at_once() {
    let lab = setup().start().await;
    let before = lab.issue().await;
    let key_id = listed(&lab).await["generations"][0]["key_id"].as_str().unwrap().to_owned();
    let mut watcher = Watcher::start(&lab, 0).await;
    assert_eq!(watcher.next().await.tainted_key_ids, [""; 0]);

    let refused = operator(&lab, &["taint", "1"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("generation 1 signs: prepare and activate another one"));
    did(&lab, &["prepare"]).await;
    did(&lab, &["activate", "2", "--force"]).await;
    did(&lab, &["taint", "1"]).await;
    let told = loop {
        let told = watcher.next().await;
        if !told.tainted_key_ids.is_empty() {
            break told;
        }
    };
    assert_eq!(told.tainted_key_ids, [key_id]);
    assert_eq!(told.renewal_spread_seconds, 600);
    let named =
        before.leaf().authority_key_id().unwrap().iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    assert_eq!(told.tainted_key_ids, [named], "leaves name the key by the same id");
    assert_eq!(certificates(&told.roots_pem).len(), 2);

    did(&lab, &["revoke", "1"]).await;
    let told = watcher.next().await;
    assert_eq!((told.tainted_key_ids.len(), certificates(&told.roots_pem).len()), (0, 1));
    assert_eq!(phases(&lab).await, "2:active");
    let after = lab.issue().await.chain;
    assert!(!trusts(&roots_of(&after), &before.chain, &lab));
    let refused = operator(&lab, &["activate", "1", "--force"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("generation 1 is revoked"));
}

#[tokio::test]
async fn an_acknowledgement_opens_the_gate_before_the_deadline() {
    let lab = setup().with("authority.rotation.deadline", "'20h'").start().await;
    let mut watcher = Watcher::start(&lab, 0).await;
    let first = watcher.next().await.generation;
    watcher.acknowledge(first).await;
    did(&lab, &["prepare"]).await;
    did(&lab, &["activate", "2", "--when-known"]).await;
    let second = watcher.next().await.generation;
    assert!(second > first);
    let shown = operator(&lab, &["list"]).await;
    let shown = text(&shown.stdout);
    assert!(shown.contains("0 of 1 watching agents have it, 1 are needed"), "{shown}");
    assert_eq!(phases(&lab).await, "1:active 2:published");
    watcher.acknowledge(second).await;
    becomes(&lab, "1:old 2:active").await;
    assert_eq!(lab.metric("signet_ca_trust_bundle_watchers").await, 1);
    assert_eq!(lab.metric("signet_ca_trust_bundle_acknowledged").await, 1);
    assert_eq!(lab.metric("signet_ca_trust_bundle_generation").await, i64::try_from(second).unwrap());
    assert_eq!(lab.metric("signet_ca_authority_active_generation").await, 2);
}

#[tokio::test]
async fn a_root_that_nears_its_end_is_replaced_by_itself() {
    let lab = setup().start().await;
    let mut client = Client::of(&lab).await;
    let mut watcher = Watcher::start(&lab, 0).await;
    let first = certificates(&watcher.next().await.roots_pem);
    lab.setup.clock.advance(81 * HOUR);
    becomes(&lab, "1:active 2:published").await;
    assert_eq!(certificates(&watcher.next().await.roots_pem).len(), 2);
    lab.setup.clock.advance(10 * HOUR);
    becomes(&lab, "1:old 2:active").await;
    assert!(!trusts(&first, &client.issue(&lab).await, &lab));
    let expiry = lab.get("/metrics").await.1;
    for series in [
        "signet_ca_authority_generation_expiry_timestamp{generation=\"1\",phase=\"old\"} ",
        "signet_ca_authority_generation_expiry_timestamp{generation=\"2\",phase=\"active\"} ",
        "known=\"true\"} ",
    ] {
        assert!(expiry.contains(series), "{series}: {expiry}");
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_and_back_costs_neither_a_root_nor_its_key() {
    let lab = setup().start().await;
    let mut client = Client::of(&lab).await;
    let before = client.issue(&lab).await;
    did(&lab, &["prepare"]).await;
    did(&lab, &["activate", "2", "--force"]).await;
    let horizon = async || listed(&lab).await["generations"][1]["horizon"].clone();
    let (then, first) = (lab.now(), horizon().await);
    // Beyond the last certificate of the old key and `keep_old`.
    lab.setup.clock.set(then.plus(10 * HOUR).unix_millis());
    eventually("the clock was looked at", async || horizon().await != first).await;
    assert_eq!(phases(&lab).await, "1:old 2:active");
    lab.setup.clock.set(then.unix_millis());
    assert!(lab.setup.path("state/authority.pem").exists());
    assert!(trusts(&roots_file(&lab), &before, &lab), "what lives is trusted on");
}

#[tokio::test]
async fn a_server_that_was_away_until_everything_had_ended_serves_under_a_new_root_at_once() {
    let then = now().minus(1000 * HOUR);
    let lab = setup().with_clock(Clock::manual(then.unix_millis())).start().await;
    let before = roots_file(&lab);
    let setup = lab.stop().await;
    setup.clock.advance(1000 * HOUR);
    let lab = setup.start().await;
    assert_eq!(phases(&lab).await, "1:old 2:active");
    let after = lab.issue().await.chain;
    assert!(trusts(&roots_of(&after), &after, &lab) && !trusts(&before, &after, &lab));
    lab.wait_ready().await;
}

#[tokio::test]
async fn a_restart_goes_on_with_a_rotation_that_was_under_way() {
    let lab = setup().start().await;
    did(&lab, &["prepare"]).await;
    did(&lab, &["activate", "2", "--when-known"]).await;
    let roots = roots_file(&lab);
    let lab = lab.stop().await.start().await;
    assert_eq!(phases(&lab).await, "1:active 2:published");
    assert_eq!(roots_of(&lab.issue().await.chain), roots);
    lab.setup.clock.advance(Duration::from_secs(61));
    becomes(&lab, "1:old 2:active").await;
}

#[tokio::test]
async fn the_command_line_says_yes_no_or_that_there_is_no_answer() {
    let lab = setup().start().await;
    let shown = operator(&lab, &["list"]).await;
    let shown = text(&shown.stdout);
    let mut lines = shown.lines();
    assert_eq!(lines.next(), Some("bundle 1, which 0 of 0 watching agents have"));
    assert!(lines.next().unwrap().starts_with("GENERATION  PHASE   SINCE"), "{shown}");
    assert!(lines.next().unwrap().starts_with("1           active  20"), "{shown}");
    for words in [&["taint", "9"][..], &["revoke", "1"], &["activate", "1"]] {
        let refused = operator(&lab, words).await;
        assert_eq!(refused.status.code(), Some(1), "{words:?}");
        assert!(refused.stdout.is_empty() && text(&refused.stderr).starts_with("signet-ca: "), "{words:?}");
    }
    let nobody = ask(Path::new("/nonexistent/control.sock").to_owned(), &["list"]).await;
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("cannot reach a running authority at `/nonexistent/control.sock`"));
    let wrong = operator(&lab, &["activate", "x"]).await;
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test]
async fn the_serving_certificate_follows_the_key_that_signs() {
    let lab = setup().start().await;
    did(&lab, &["prepare"]).await;
    // A client that trusts only the new root is served once that signs.
    let new = roots_file(&lab).remove(1).to_pem();
    did(&lab, &["activate", "2", "--force"]).await;
    eventually("the server shows a certificate of the new root", async || lab.try_channel(&new).await.is_ok()).await;
}
