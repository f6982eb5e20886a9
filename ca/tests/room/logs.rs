//! What the program logs: nothing secret, however it proves tokens, and how much, changed while it runs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use signet_identity::{PrivateKey, csr, pem};
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use signet_proto::signet_ca::MintJwtRequest;
use signet_proto::signet_ca::identity_client::IdentityClient;
use signet_testkit::{TempDir, TokenIssuer};
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Identity;

use crate::kubernetes::{cluster, setup, token};
use crate::lab::{HOUR, Setup, WEB, bare_request, now};
use crate::process::{Program, address, ask, connect, tls};

/// Text that must not be found, in pieces that a log line could hold.
struct Secrets(Vec<String>);

impl Secrets {
    /// What a token proves itself with. Headers of tokens are alike and hold no secret.
    fn token(&mut self, token: &str) {
        self.0.extend(token.split('.').skip(1).map(str::to_owned));
    }

    fn lines(&mut self, text: &str) {
        self.0.extend(text.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
    }

    /// Every key that a file below `dir` holds.
    fn keys_below(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                self.keys_below(&entry);
                continue;
            }
            let text = fs::read_to_string(&entry).unwrap_or_default().replace("\\n", "\n");
            for block in text.split("-----BEGIN ").filter(|block| block.contains("PRIVATE KEY")) {
                self.lines(block.split("-----END ").next().unwrap().split_once('\n').unwrap().1);
            }
        }
    }

    #[track_caller]
    fn check(&self, said: &str) {
        let long: Vec<_> = self.0.iter().filter(|secret| secret.len() > 20).collect();
        assert!(long.len() > 10, "too little to look for: {long:?}");
        for secret in long {
            assert!(!said.contains(secret.as_str()), "the log holds {secret}");
        }
    }
}

/// Runs a server that logs everything, has it issue, mint, renew its knowledge and refuse, and reads what it said.
async fn check_mode(mode: &str) {
    let cluster = cluster().await;
    let ci = TokenIssuer::es256().named("https://ci.example");
    let setup = setup(&cluster)
        .with("tokens.mode", &format!("{mode:?}"))
        .with("authenticators", "['kubernetes', 'oidc', 'client-certificate']")
        .with("jwt.enabled", "true");
    fs::write(setup.path("ci.json"), ci.jwks_json()).unwrap();
    let table = "[{ issuer = 'https://ci.example', audiences = ['signet'], path = '/ci/{sub}', jwks_file = CI }]";
    let table = table.replace("CI", &format!("{:?}", setup.path("ci.json")));
    let setup = setup.with("oidc_callers", &table);
    let mut program = Program::of(&setup, &["--log.level", "trace"]);
    let listen = address(&program.wait_for("serving"), "listen");
    let root = fs::read_to_string(setup.path("state/root-cert.pem")).unwrap();
    let key = PrivateKey::generate_p256().unwrap();
    let csr = csr::create(&key, &WEB.parse().unwrap()).unwrap();
    let (good, forged) = (token(&cluster), setup.issuer.token("shop", "web", now(), HOUR));
    crate::lab::eventually("the pods are known", async || ask(listen, &root, &good, &csr).await.is_ok()).await;
    let chain = ask(listen, &root, &good, &csr).await.unwrap();
    let end = now().unix_secs() + 600;
    let foreign = ci.sign(&json!({ "iss": "https://ci.example", "aud": "signet", "sub": "job", "exp": end }));
    ask(listen, &root, &foreign, &csr).await.unwrap();
    let held = tls(&root).identity(Identity::from_pem(&chain[0], pem::encode("PRIVATE KEY", &key.to_pkcs8())));
    let mut renewing = IstioCertificateServiceClient::new(connect(listen, held).await);
    renewing.create_certificate(bare_request(&csr, 60)).await.unwrap();
    ask(listen, &root, &forged, &csr).await.unwrap_err();
    ask(listen, &root, &good, &csr.replace('A', "B")).await.unwrap_err();
    let mut minting = Request::new(MintJwtRequest { audience: vec!["reports".to_owned()], validity_seconds: 60 });
    let bearer: MetadataValue<_> = format!("Bearer {good}").parse().unwrap();
    minting.metadata_mut().insert("authorization", bearer);
    let minted = IdentityClient::new(connect(listen, tls(&root)).await).mint_jwt(minting).await.unwrap().into_inner();

    let mut secrets = Secrets(Vec::new());
    for token in [&good, &forged, &foreign, &minted.token] {
        secrets.token(token);
    }
    secrets.token(&fs::read_to_string(setup.path("api-token")).unwrap());
    secrets.lines(&csr);
    secrets.keys_below(setup.dir.path());
    let (_, said) = program.terminate();
    for told in ["certificate issued", "token minted", "certificate refused", "\"TRACE\""] {
        assert!(said.contains(told), "{mode}: nothing is said of `{told}`");
    }
    let by_token = if mode == "review" { "token-review" } else { "kubernetes-token" };
    for authenticator in [by_token, "oidc", "client-certificate"] {
        let field = format!("\"authenticator\":\"{authenticator}\"");
        assert!(said.contains(&field), "{mode}: nobody came by {authenticator}");
    }
    secrets.check(&said);
}

#[tokio::test]
async fn no_secret_is_logged_even_when_everything_is_however_tokens_are_proved() {
    for mode in ["local", "review", "local-then-review"] {
        check_mode(mode).await;
    }
}

fn log_level(dir: &TempDir, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet-ca"));
    command.arg("log-level").args(words).arg("--socket").arg(dir.path().join("state/control.sock"));
    command.output().unwrap()
}

/// Exit status, and what JSON says.
fn asked(dir: &TempDir, words: &[&str]) -> (Option<i32>, Value) {
    let output = log_level(dir, &[words, &["-o", "json"]].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

#[tokio::test]
async fn the_log_level_is_seen_and_changed_while_it_runs() {
    let setup = Setup::new();
    let mut program = Program::of(&setup, &["--log.level", "warn,signet_ca=info"]);
    let listen = address(&program.wait_for("serving"), "listen");
    let root = fs::read_to_string(setup.path("state/root-cert.pem")).unwrap();
    let csr = crate::lab::any_csr();
    let issue = async || {
        let token = setup.issuer.token("shop", "web", now(), HOUR);
        ask(listen, &root, &token, &csr).await.unwrap();
    };
    let (code, level) = asked(&setup.dir, &[]);
    assert_eq!((code, &level["level"]), (Some(0), &Value::from("warn,signet_ca=info")));

    let (code, level) = asked(&setup.dir, &["error"]);
    assert_eq!((code, &level["level"], &level["before"]), (Some(0), &"error".into(), &"warn,signet_ca=info".into()));
    issue().await;
    let output = log_level(&setup.dir, &["trace"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"trace\n".as_slice()));
    issue().await;
    let line = program.wait_for("log level changed");
    assert_eq!((&line["from"], &line["to"]), (&"error".into(), &"trace".into()));
    program.wait_for("certificate issued");

    let output = log_level(&setup.dir, &["inof"]);
    assert_eq!(output.status.code(), Some(1), "what is no level is refused");
    assert!(String::from_utf8_lossy(&output.stderr).contains("`inof` is no log level"));
    assert_eq!(asked(&setup.dir, &[]).1["level"], "trace", "and changes nothing");
    let (_, said) = program.terminate();
    assert_eq!(said.matches("certificate issued").count(), 1, "nothing is said of what was issued meanwhile");
    assert!(said.contains("\"TRACE\""));
    assert_eq!(log_level(&setup.dir, &[]).status.code(), Some(2), "nobody is there to ask");
}
