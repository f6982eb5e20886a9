//! The programs as a person at a terminal meets them.

#![cfg(test)]

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use signet_tests::mesh::{Ca, Workload};
use signet_tests::{Workdir, bin, envoy};

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(bin(program)).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A workload that is served, and the CA behind it.
fn served(workdir: &Workdir) -> (Ca, Workload) {
    let mut ca = Ca::self_signed(workdir);
    ca.start_ready();
    let mut web = Workload::new(workdir, &ca, "shop", "web", Duration::from_secs(3600));
    web.trust(&ca.roots());
    web.start_ready();
    (ca, web)
}

#[test]
fn signet_secrets_shows_ids_and_serials_in_every_form_and_never_the_key() {
    let workdir = Workdir::new();
    let (_ca, web) = served(&workdir);
    let socket = web.socket().display().to_string();
    let key = std::fs::read_to_string(web.certs().join("key.pem")).unwrap();
    let secret_line = key.lines().nth(1).unwrap();
    for form in ["table", "json", "yaml"] {
        let shown = run("signet", &["secrets", "--socket", &socket, "-o", form]);
        let out = text(&shown.stdout);
        assert_eq!(shown.status.code(), Some(0), "{form}: {}", text(&shown.stderr));
        assert!(out.contains(&web.id()) && out.contains("ROOTCA"), "{form}: {out}");
        assert!(!out.contains("PRIVATE") && !out.contains(secret_line), "{form} shows the key");
    }
    let shown = run("signet", &["secrets", "--socket", &socket, "-o", "json"]);
    let parsed: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let leaf = &parsed[0]["certificates"][0];
    assert_eq!((leaf["role"].as_str(), leaf["id"].as_str()), (Some("leaf"), Some(web.id().as_str())));
    assert!(leaf["seconds_left"].as_i64().unwrap() > 3000);
}

#[test]
fn signet_secrets_says_no_for_an_unknown_name_and_cannot_answer_without_an_agent() {
    let workdir = Workdir::new();
    let (_ca, web) = served(&workdir);
    let socket = web.socket().display().to_string();
    let unknown = run("signet", &["secrets", "--socket", &socket, "--name", "nobody", "--timeout", "2"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown.stderr));
    assert!(text(&unknown.stderr).contains("nobody"));

    let nobody = run("signet", &["secrets", "--socket", &workdir.socket("none").display().to_string()]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("is the agent running"), "{}", text(&nobody.stderr));
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let commands: [(&str, &[&str]); 8] = [
        ("signet", &["secrets"]),
        ("signet", &["demo"]),
        ("signet-ca", &["run"]),
        ("signet-ca", &["check-config"]),
        ("signet-ca", &["log-level"]),
        ("sds-agent", &["run"]),
        ("sds-agent", &["check-config"]),
        ("sds-agent", &["proxy"]),
    ];
    for (program, command) in commands {
        let help = run(program, &[command, &["--help"]].concat());
        assert!(help.status.success());
        assert!(text(&help.stdout).contains("Examples:"), "{program} {command:?}:\n{}", text(&help.stdout));
    }
}

#[test]
fn a_configuration_with_many_faults_tells_all_of_them_and_starts_nothing() {
    let workdir = Workdir::new();
    let config = workdir.write("bad.toml", "listen = 'nowhere'\ntrust_domain = 'UPPER'\nsurprise = 1\n");
    let faults = ["nowhere", "holds 'U' at byte 0", "surprise", "bad.toml:1", "bad.toml:2", "bad.toml:3"];
    let out = run("signet-ca", &["run", "--config", config.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    for fault in faults {
        assert!(text(&out.stderr).contains(fault), "`{fault}` is not told in:\n{}", text(&out.stderr));
    }

    let config = workdir.write("bad-agent.toml", "trust_domain = 'UPPER'\nsurprise = 1\n[identity]\nttl = 'soon'\n");
    let out = run("sds-agent", &["run", "--config", config.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    for fault in ["holds 'U' at byte 0", "surprise", "soon", "ca.address", "bad-agent.toml:4"] {
        assert!(text(&out.stderr).contains(fault), "`{fault}` is not told in:\n{}", text(&out.stderr));
    }
}

#[test]
fn both_daemons_stop_on_sigterm_with_status_zero_and_leave_no_socket() {
    let workdir = Workdir::new();
    let (mut ca, mut web) = served(&workdir);
    assert_eq!(web.agent.as_mut().unwrap().terminate().code(), Some(0));
    assert!(!web.socket().exists(), "the agent removes its socket");
    assert_eq!(ca.process.as_mut().unwrap().terminate().code(), Some(0));
}

#[test]
fn no_log_line_of_a_whole_life_holds_a_token_or_a_key() {
    let workdir = Workdir::new();
    let (ca, web) = served(&workdir);
    let token = std::fs::read_to_string(workdir.join("web/var/run/secrets/tokens/istio-token")).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let key = std::fs::read_to_string(web.certs().join("key.pem")).unwrap();
    let mut secrets = vec![signature.to_owned()];
    secrets.extend(key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    let lines = [ca.process.as_ref().unwrap().lines(), web.agent.as_ref().unwrap().lines()].concat();
    assert!(lines.iter().any(|line| line.contains(&web.id())), "something was logged: {lines:?}");
    for line in &lines {
        assert!(!secrets.iter().any(|secret| line.contains(secret.as_str())), "{line}");
    }
}

#[test]
fn the_demo_goes_as_expected_and_says_so_in_figures() {
    let out =
        Command::new(bin("signet")).args(["demo", "--json"]).env("SIGNET_ENVOY", envoy::program()).output().unwrap();
    let shown = text(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{shown}\n{}", text(&out.stderr));
    let figures: Value = serde_json::from_str(shown.lines().last().unwrap()).unwrap();
    let number = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("`{name}` is a number in {figures}"));
    assert_eq!((number("failed"), number("ca_kills"), number("agent_kills")), (0, 1, 1));
    assert!(number("rotations") >= 15 && number("requests") > 100, "{figures}");
    for refusal in ["intruder_refused", "plaintext_refused", "expired_token_refused", "ok"] {
        assert_eq!(figures[refusal], Value::Bool(true), "{refusal} in {figures}");
    }
    let peers = ["spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/orders"];
    assert_eq!(figures["peer_identities"], serde_json::json!(peers));
}
