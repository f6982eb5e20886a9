//! Ends: Envoy's own, and those that it is brought to.

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use signet_tests::{Proxied, eventually, http};

use crate::{PATIENCE, Scene};

fn pid(raw: u32) -> Pid {
    i32::try_from(raw).ok().and_then(Pid::from_raw).unwrap()
}

pub(crate) fn signal(raw: u32, signal: Signal) {
    kill_process(pid(raw), signal).unwrap();
}

fn wait_gone(raw: u32) {
    eventually(PATIENCE, "envoy is gone", || match test_kill_process(pid(raw)) {
        Ok(()) => Err("it is there".to_owned()),
        Err(_) => Ok(()),
    });
}

#[test]
fn an_envoy_with_our_bootstrap_serves_and_a_stop_ends_both_with_its_status() {
    let scene = Scene::new();
    let mut proxied = Proxied::start(&scene.orders, "sidecar", None, &["--proxy-drain", "1s"]);
    proxied.wait_readiness(200, "ready", PATIENCE);
    let bootstrap = scene.orders.dir().join("etc/istio/proxy/envoy-rev.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(bootstrap).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let envoy = proxied.envoy_pid();
    assert_eq!(proxied.process.terminate().code(), Some(0));
    wait_gone(envoy);
}

#[test]
fn an_envoy_made_from_a_template_takes_its_identity_from_the_agent() {
    let scene = Scene::new();
    let (template, _) = scene.server();
    let proxied = Proxied::start(&scene.orders, "sidecar", Some(&template), &[]);
    proxied.wait_readiness(200, "ready", PATIENCE);
    let certs = http::get_unix(&proxied.admin_socket(), "/certs").unwrap().body;
    assert!(certs.contains(&scene.orders.id()), "{certs}");
}

#[test]
fn an_envoy_that_is_killed_ends_the_agent_with_its_status() {
    let scene = Scene::new();
    let mut proxied = Proxied::start(&scene.orders, "router", None, &[]);
    proxied.wait_readiness(200, "ready", PATIENCE);
    signal(proxied.envoy_pid(), Signal::KILL);
    assert_eq!(proxied.process.wait(PATIENCE).code(), Some(137));
    assert!(!proxied.process.lines_with("envoy was killed").is_empty());
}

#[test]
fn no_envoy_outlives_an_agent_that_is_killed() {
    let scene = Scene::new();
    let mut proxied = Proxied::start(&scene.orders, "sidecar", None, &[]);
    proxied.wait_readiness(200, "ready", PATIENCE);
    let envoy = proxied.envoy_pid();
    proxied.process.kill();
    wait_gone(envoy);
}
