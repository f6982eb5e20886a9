//! What others make of our tokens: a JOSE library that knows the issuer's URL alone, and a SPIFFE library.

#![cfg(test)]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use signet_identity::Timestamp;
use signet_testkit::TokenIssuer;
use signet_tests::mesh::READY_MAX;
use signet_tests::{Process, Workdir, bin, eventually, free_port, http, tools};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// A CA that mints and publishes.
struct Minting {
    process: Process,
    ports: [u16; 4],
    issuer: TokenIssuer,
    roots: PathBuf,
}

impl Minting {
    fn start(workdir: &Workdir) -> Self {
        let (issuer, ports) = (TokenIssuer::es256(), [free_port(), free_port(), free_port(), free_port()]);
        let [listen, admin, oidc, bundle] = ports;
        workdir.write("jwks.json", issuer.jwks_json());
        let config = format!(
            "listen = '127.0.0.1:{listen}'\nadmin.listen = '127.0.0.1:{admin}'\n\
             [tokens]\nissuer = '{name}'\njwks_file = 'jwks.json'\n\
             [authority]\nstate_dir = 'state'\n\
             [serving]\nnames = ['localhost']\n\
             [jwt]\nenabled = true\nissuer = 'https://localhost:{oidc}/mesh'\n\
             [oidc]\nlisten = '127.0.0.1:{oidc}'\n\
             [federation]\nlisten = '127.0.0.1:{bundle}'\n\
             [log]\nlevel = 'trace'\n",
            name = issuer.issuer(),
        );
        let config = workdir.write("ca.toml", config);
        let mut command = Command::new(bin("signet-ca"));
        command.current_dir(workdir.path()).args(["run", "--config"]).arg(config);
        let process = Process::start("signet-ca", &mut command);
        eventually(READY_MAX, "signet-ca is ready", || match http::get(admin, "/healthz/ready") {
            Ok(answer) if answer.status == 200 => Ok(()),
            answer => Err(format!("{answer:?}")),
        });
        Self { process, ports, issuer, roots: workdir.join("state/root-cert.pem") }
    }

    fn credential(&self) -> String {
        self.issuer.token("shop", "web", now(), Duration::from_secs(3600))
    }

    /// Mints for `audience` and verifies for `expected`, both by programs of others.
    fn mint_and_verify(&self, credential: &str, audience: &str, expected: &str) -> Output {
        let [listen, _, oidc, bundle] = self.ports;
        let asked = json!({
            "address": format!("127.0.0.1:{listen}"), "name": "localhost", "roots": self.roots,
            "credential": credential, "audience": audience, "expected": expected,
            "issuer": format!("https://localhost:{oidc}/mesh"), "bundle": format!("https://localhost:{bundle}/"),
            "trust_domain": "cluster.local",
        });
        tools::ask(include_str!("../src/mint_and_verify.py"), &asked)
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own clock")]
fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[test]
fn a_token_is_verified_by_others_who_know_the_issuers_url_alone() {
    let workdir = Workdir::new();
    let ca = Minting::start(&workdir);
    let output = ca.mint_and_verify(&ca.credential(), "reports", "reports");
    assert!(output.status.success(), "{} {}", text(&output.stdout), text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["claims"]["sub"], &found["spiffe_id"]), (&json!(WEB), &json!(WEB)));
    assert_eq!(found["claims"]["exp"].as_i64().unwrap() - found["claims"]["iat"].as_i64().unwrap(), 300);
    let header = found["header"].as_object().unwrap();
    assert_eq!(header.keys().collect::<Vec<_>>(), ["alg", "kid", "typ"]);

    assert_eq!(found["bundle_type"], "application/json");
    let keys = found["bundle"]["keys"].as_array().unwrap();
    let signed_with = keys.iter().find(|key| key["kid"] == header["kid"]).unwrap();
    assert_eq!(signed_with["use"], "jwt-svid");
}

#[test]
fn a_token_for_somebody_else_is_refused_by_others() {
    let workdir = Workdir::new();
    let ca = Minting::start(&workdir);
    let output = ca.mint_and_verify(&ca.credential(), "reports", "payments");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("InvalidAudienceError"), "{}", text(&output.stdout));
}

#[test]
fn no_log_line_holds_a_token_that_was_minted_or_a_key_that_signs() {
    let workdir = Workdir::new();
    let mut ca = Minting::start(&workdir);
    let credential = ca.credential();
    let output = ca.mint_and_verify(&credential, "reports", "reports");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let refused = ca.mint_and_verify(&format!("{credential}x"), "reports", "reports");
    assert!(text(&refused.stderr).contains("request authenticate failure"), "{}", text(&refused.stderr));
    ca.process.terminate();
    let said = ca.process.lines().join("\n");
    assert!(said.contains("token minted") && said.contains("token refused"), "{said}");
    let journal: Value =
        serde_json::from_slice(&std::fs::read(workdir.join("state/jwt/jwt-keys.json")).unwrap()).unwrap();
    let keys = journal["keys"].as_array().unwrap().iter().map(|key| key["pkcs8"].as_str().unwrap().to_owned());
    let signature = credential.rsplit('.').next().unwrap().to_owned();
    // Every minted token begins with its header, which names its algorithm first.
    for secret in keys.chain([signature, "eyJhbGciOiJFUzI1NiIsImtpZCI6".to_owned(), "PRIVATE KEY".to_owned()]) {
        assert!(!said.contains(&secret), "{secret} stands in the log");
    }
}
