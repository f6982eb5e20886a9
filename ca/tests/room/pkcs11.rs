//! A key that never leaves its token, in a real PKCS#11 module. Only where that is compiled in:
//! `cargo test -p signet-ca --features pkcs11`.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use signet_identity::{Certificate, KeyAlgorithm};
use signet_testkit::{TestCa, istio_layout};
use tonic::{Code, Status};

use crate::lab::{HOUR, Setup, WEB, any_csr, certificates, eventually, http_get, now};
use crate::process::{Program, address, ask};
use crate::softhsm::{LABEL, PIN, Token, module};

/// A token, the directory of its certificates, and settings that name both.
struct Bench {
    token: Token,
    setup: Setup,
}

/// A program of a [`Bench`] that serves.
struct Running {
    program: Program,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Bench {
    /// With `ca` plugged in, and its key in the token.
    fn new(ca: &TestCa) -> Self {
        let token = Token::new();
        token.import(ca, "signer", "0a");
        let quoted = |path: PathBuf| format!("{:?}", path.to_str().unwrap());
        let setup = Setup::new();
        let plugged = setup.path("plugged");
        fs::create_dir(&plugged).unwrap();
        let setup = setup
            .with("authority.plugged_in_dir", &quoted(plugged))
            .with("authority.pkcs11.module", &quoted(module()))
            .with("authority.pkcs11.token_label", &format!("{LABEL:?}"))
            .with("authority.pkcs11.pin_file", &quoted(token.pin_file()))
            .with("log.level", "'trace,h2=info'");
        let bench = Self { token, setup };
        bench.plug_in(ca);
        bench
    }

    /// Puts the certificates of `ca` into the directory, and not its key.
    fn plug_in(&self, ca: &TestCa) {
        let dir = self.setup.path("plugged");
        istio_layout(&dir, ca);
        fs::remove_file(dir.join("ca-key.pem")).unwrap();
    }

    fn spawn(&self) -> Program {
        Program::of_in(&self.setup, &[], &[("SOFTHSM2_CONF", &self.token.conf())])
    }

    fn start(&self) -> Running {
        let mut program = self.spawn();
        let line = program.wait_for("serving");
        Running { listen: address(&line, "listen"), admin: address(&line, "admin"), program }
    }

    /// Why a start fails.
    fn start_error(&self) -> String {
        let (code, said) = self.spawn().ended();
        assert_eq!(code, Some(1), "{said}");
        said
    }

    async fn ask(&self, running: &Running) -> Result<Vec<String>, Status> {
        let token = self.setup.issuer.token("shop", "web", now(), HOUR);
        let roots = fs::read_to_string(self.setup.path("plugged/root-cert.pem")).unwrap();
        ask(running.listen, &roots, &token, &any_csr()).await
    }

    /// The certificates below the roots of an answer, which verify.
    async fn issue(&self, running: &Running, ca: &TestCa) -> Vec<Certificate> {
        let chain = self.ask(running).await.unwrap();
        let (_, below) = chain.split_last().unwrap();
        let below: Vec<_> = below.iter().flat_map(|pem| certificates(pem)).collect();
        assert_eq!(ca.bundle().verify(&below, now()).unwrap().as_str(), WEB);
        below
    }
}

impl Running {
    async fn ready(&self) -> (u16, String) {
        http_get(self.admin, "/healthz/ready").await
    }

    async fn metric(&self, series: &str) -> i64 {
        let text = http_get(self.admin, "/metrics").await.1;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse::<f64>().unwrap() as i64)
    }
}

#[tokio::test]
async fn every_kind_of_key_signs_in_the_token_and_none_of_it_is_kept_elsewhere() {
    let kinds = [
        (TestCa::root("cluster.local").intermediate().intermediate(), KeyAlgorithm::EcP256),
        (TestCa::p384_root("cluster.local"), KeyAlgorithm::EcP384),
        (TestCa::rsa_root("cluster.local"), KeyAlgorithm::Rsa { bits: 2048 }),
    ];
    for (ca, kind) in kinds {
        assert_eq!(ca.certificate().public_key().algorithm(), kind);
        let bench = Bench::new(&ca);
        for start in ["first", "next"] {
            let running = bench.start();
            let leaf = bench.issue(&running, &ca).await.remove(0);
            assert_eq!(leaf.issuer_der(), ca.certificate().subject_der(), "{start} start with {kind}");
            assert_eq!(running.ready().await.0, 200);
            assert_eq!(running.metric("signet_ca_hsm_up").await, 1);
            assert_eq!(running.metric("signet_ca_hsm_logins_total{result=\"done\"}").await, 1, "one for all sessions");
            let (_, said) = running.program.terminate();
            assert!(!said.contains(PIN), "the PIN stands in the log");
        }
        let kept = fs::read_to_string(bench.setup.path("state/authority.pem")).unwrap();
        assert!(kept.contains("BEGIN CERTIFICATE") && !kept.contains("PRIVATE KEY"), "{kept}");
        let shown = fs::read_to_string(bench.setup.path("ca.toml")).unwrap();
        assert!(!shown.contains(PIN));
    }
}

#[tokio::test]
async fn a_token_that_goes_away_is_told_and_signs_again_once_it_is_back() {
    let ca = TestCa::root("cluster.local").intermediate();
    let bench = Bench::new(&ca);
    let mut running = bench.start();
    bench.issue(&running, &ca).await;
    bench.token.take_away();

    running.program.wait_for("token does not sign, nothing is issued until it does");
    let refused = bench.ask(&running).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, "certificate could not be signed now, try again")
    );
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"), "{:?}", refused.metadata());
    eventually("readiness tells", async || {
        let (code, told) = running.ready().await;
        code == 503 && told.contains("token: ")
    })
    .await;
    assert_eq!(running.metric("signet_ca_hsm_up").await, 0);
    assert_eq!(http_get(running.admin, "/healthz/live").await.0, 200);

    bench.token.give_back();
    running.program.wait_for("token signs again");
    eventually("it is ready", async || running.ready().await.0 == 200).await;
    bench.issue(&running, &ca).await;
}

#[tokio::test]
async fn a_wrong_pin_is_given_once_and_the_right_one_needs_no_restart() {
    let ca = TestCa::root("cluster.local");
    let bench = Bench::new(&ca);
    let mut running = bench.start();
    // The log-in ends with the token's absence, and the PIN that follows is wrong.
    bench.token.take_away();
    running.program.wait_for("token does not sign, nothing is issued until it does");
    bench.token.write_pin("a-wrong-one");
    bench.token.give_back();
    let refusals = "signet_ca_hsm_logins_total{result=\"refused\"}";
    eventually("the wrong PIN was refused", async || running.metric(refusals).await == 1).await;
    // Longer than the token is left alone after a failure, with somebody who asks all the time.
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        assert_eq!(bench.ask(&running).await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(running.metric(refusals).await, 1, "a wrong PIN given again and again locks a token");
    eventually("readiness tells of the PIN", async || running.ready().await.1.contains("refused the PIN")).await;

    bench.token.write_pin(PIN);
    running.program.wait_for("token signs again");
    bench.issue(&running, &ca).await;
    let (_, said) = running.program.terminate();
    assert!(!said.contains(PIN) && !said.contains("a-wrong-one"), "a PIN stands in the log");
}

#[test]
fn a_start_says_why_the_token_cannot_be_used() {
    let ca = TestCa::root("cluster.local");
    let bench = Bench::new(&ca);
    bench.token.write_pin("a-wrong-one");
    let told = bench.start_error();
    assert!(told.contains("token refused the PIN in") && !told.contains("a-wrong-one"), "{told}");
    bench.token.write_pin(PIN);

    bench.plug_in(&TestCa::root("cluster.local"));
    assert!(bench.start_error().contains("no key in the token belongs to the signing certificate"));
    bench.plug_in(&ca);

    let elsewhere = Bench { setup: bench.setup.with("authority.pkcs11.token_label", "'other'"), token: bench.token };
    assert!(elsewhere.start_error().contains("no token with label `other` is there"));
    let setup = elsewhere.setup.with("authority.pkcs11.token_label", "'mesh'").with("authority.pkcs11.key_id", "'0b'");
    let bench = Bench { setup, ..elsewhere };
    assert!(bench.start_error().contains("no key in the token belongs"));
    let setup = bench.setup.with("authority.pkcs11.key_id", "'0a'").with("authority.pkcs11.key_label", "'signer'");
    let bench = Bench { setup, ..bench };
    drop(bench.start());
    let bench = Bench { setup: bench.setup.with("authority.pkcs11.module", "'/bin/true'"), ..bench };
    assert!(bench.start_error().contains("PKCS#11 module `/bin/true` cannot be used"));
}

#[tokio::test]
async fn without_the_setting_a_kept_generation_whose_key_is_in_a_token_is_not_used() {
    let ca = TestCa::root("cluster.local");
    let bench = Bench::new(&ca);
    drop(bench.start());
    let keys = ["module", "token_label", "pin_file"];
    let setup = keys.iter().fold(bench.setup, |setup, key| setup.without(&format!("authority.pkcs11.{key}")));
    let bench = Bench { setup: setup.without("authority.plugged_in_dir"), ..bench };
    let told = bench.start_error();
    assert!(told.contains("its key is in a PKCS#11 token: set `authority.pkcs11.module`"), "{told}");
}

#[tokio::test]
async fn certificates_of_another_key_are_taken_up_once_that_key_is_in_the_token() {
    let root = TestCa::root("cluster.local");
    let (first, second) = (root.intermediate(), root.intermediate());
    let bench = Bench::new(&first);
    let mut running = bench.start();
    bench.issue(&running, &first).await;

    bench.plug_in(&second);
    let line = running.program.wait_for("plugged-in files are refused as a whole, what was in force stays");
    assert_eq!(line["reason"], "token", "{line}");
    let leaf = bench.issue(&running, &first).await.remove(0);
    assert_eq!(leaf.authority_key_id(), first.certificate().subject_key_id());

    bench.token.import(&second, "signer", "0b");
    eventually("the new key signs", async || {
        let leaf = bench.issue(&running, &root).await.remove(0);
        leaf.authority_key_id() == second.certificate().subject_key_id()
    })
    .await;
    assert_eq!(running.ready().await.0, 200);
}
