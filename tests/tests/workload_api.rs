//! Programs that nobody here wrote take their identities from the agent's socket.

#![cfg(test)]

use std::time::Duration;

use serde_json::{Value, json};
use signet_tests::mesh::{Ca, Workload};
use signet_tests::{Workdir, tools};

#[test]
fn a_python_program_gets_identity_bundles_and_a_token_and_follows_a_rotation() {
    let workdir = Workdir::new();
    let mut ca = Ca::self_signed(&workdir);
    ca.configure("", "[jwt]\nenabled = true\nissuer = 'https://tokens.example.test'\n");
    ca.start_ready();
    let mut web = Workload::new(&workdir, &ca, "shop", "web", Duration::from_secs(8));
    web.trust(&ca.roots());
    web.start_ready();

    let asked = json!({ "socket": format!("unix://{}", web.socket().display()), "audience": "reports" });
    let output = tools::ask(include_str!("../src/workload_api.py"), &asked);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let id = web.id();
    let wanted = json!({
        "id": id, "chain": 1, "default": id, "roots": 1, "token_id": id, "token_audience": ["reports"], "rotated": true,
    });
    assert_eq!(found, wanted);
}
