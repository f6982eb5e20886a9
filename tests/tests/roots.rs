//! Roots on their way from a real CA through a real agent to who listens on its socket, while keys change.

#![cfg(test)]

use std::process::Command;
use std::time::{Duration, Instant};

use signet_identity::{Certificate, TrustBundle, hex};
use signet_tests::mesh::{Ca, Workload, trust_domain};
use signet_tests::{Workdir, bin, eventually};

const SOON: Duration = Duration::from_secs(15);

/// A workload with its agent, and the CA that it watches.
struct Scene {
    ca: Ca,
    web: Workload,
    _workdir: Workdir,
}

impl Scene {
    fn start() -> Self {
        let workdir = Workdir::new();
        let mut ca = Ca::self_signed(&workdir);
        ca.configure("", "[authority.rotation]\nmin_wait = '1s'\nrenewal_spread = '2s'\n");
        ca.start_ready();
        let mut web = Workload::new(&workdir, &ca, "shop", "web", Duration::from_secs(3600));
        web.trust(&ca.roots());
        web.start_ready();
        let scene = Self { ca, web, _workdir: workdir };
        scene.acknowledged(1);
        scene
    }

    /// Waits until the CA has heard that its only watcher has `generation`.
    fn acknowledged(&self, generation: u64) {
        eventually(SOON, "the agent has acknowledged", || {
            let list = self.authority(&["list"]);
            let wanted = format!("bundle {generation}, which 1 of 1 watching agents have");
            if list.contains(&wanted) { Ok(()) } else { Err(list) }
        });
    }

    fn authority(&self, arguments: &[&str]) -> String {
        let socket = self.ca.control_socket();
        let output = Command::new(bin("signet-ca"))
            .arg("authority")
            .args(arguments)
            .arg("--socket")
            .arg(socket)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    fn roots(&self) -> Vec<String> {
        let text = std::fs::read(self.web.certs().join("root-cert.pem")).unwrap();
        let bundle = TrustBundle::from_pem(trust_domain(), &text).unwrap();
        bundle.roots().iter().map(|root| hex(root.subject_key_id().unwrap())).collect()
    }

    /// Who signed the identity that is served.
    fn signer(&self) -> String {
        let text = std::fs::read(self.web.certs().join("cert-chain.pem")).unwrap();
        let chain = Certificate::list_from_pem(&text, 1 << 20).unwrap();
        hex(chain.last().unwrap().authority_key_id().unwrap())
    }
}

#[test]
fn a_change_of_keys_reaches_a_workload_at_once_and_a_taint_replaces_its_identity() {
    let scene = Scene::start();
    let [old] = scene.roots().try_into().unwrap();
    let asked = Instant::now();
    scene.authority(&["prepare"]);
    let new = eventually(SOON, "the new root is there", || {
        scene.roots().into_iter().find(|root| *root != old).ok_or_else(|| "the old one alone".to_owned())
    });
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?} from the operator's wish to the workload's file");
    assert_eq!(scene.signer(), old);
    scene.acknowledged(2);
    // As the cluster does with its ConfigMap: the CA's own serving certificate will be under the new root.
    scene.web.trust(&scene.ca.roots());

    scene.authority(&["activate", "2", "--when-known"]);
    eventually(SOON, "the new key signs", || {
        let list = scene.authority(&["list"]);
        let signs = |line: &str| line.split_whitespace().take(2).eq(["2", "active"]);
        if list.lines().any(signs) { Ok(()) } else { Err(list) }
    });
    assert_eq!(scene.signer(), old, "nothing is wrong with the old one yet");
    scene.authority(&["taint", "1"]);
    eventually(SOON, "the identity is replaced early", || {
        let signer = scene.signer();
        if signer == new { Ok(()) } else { Err(signer) }
    });
    scene.authority(&["revoke", "1"]);
    eventually(SOON, "the old root is gone", || {
        let roots = scene.roots();
        if roots == [new.clone()] { Ok(()) } else { Err(format!("{roots:?}")) }
    });
    assert_eq!(scene.web.readiness().unwrap().status, 200);
    let metrics = scene.web.metrics();
    assert!(metrics.contains("signet_agent_renewals_hastened_total 1"), "{metrics}");
}

#[test]
fn a_restarted_ca_is_watched_again() {
    let mut scene = Scene::start();
    scene.ca.kill();
    scene.ca.start_ready();
    scene.acknowledged(1);
    assert!(scene.web.metrics().contains("signet_agent_roots_watched 1"));
}
