//! Envoys that do not behave, and drains that somebody depends on.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use signet_tests::{Proxied, eventually, free_port};

use crate::ends::signal;
use crate::{PATIENCE, Scene};

/// An Envoy that answers every plain request itself.
fn plain(port: u16) -> Value {
    let typed = |name: &str| format!("type.googleapis.com/envoy.extensions.filters.{name}");
    let routes = json!({ "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [{
        "match": { "prefix": "/" }, "direct_response": { "status": 200, "body": { "inline_string": "ok" } },
    }]}]});
    let filter = json!({
        "@type": typed("network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "plain",
        "route_config": routes,
        "http_filters": [{ "name": "router", "typed_config": { "@type": typed("http.router.v3.Router") } }],
    });
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    let chains = json!([{ "filters": [{ "name": "http", "typed_config": filter }] }]);
    json!({ "static_resources": { "listeners": [{ "name": "plain", "address": address, "filter_chains": chains }] } })
}

/// A request on a connection that stays; the answer's head.
fn ask(stream: &mut TcpStream) -> Result<String, String> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").map_err(|error| error.to_string())?;
    let mut text = String::new();
    let mut part = [0; 1024];
    while !text.ends_with("ok") {
        match stream.read(&mut part) {
            Ok(0) => return Err(format!("closed after {text:?}")),
            Ok(count) => text.push_str(&String::from_utf8_lossy(&part[..count])),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(text)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn an_envoy_that_refuses_its_configuration_ends_the_agent_with_its_status() {
    let scene = Scene::new();
    let template = json!({ "no_such_field": 1 });
    let mut proxied = Proxied::start(&scene.orders, "sidecar", Some(&template), &[]);
    assert_eq!(proxied.process.wait(PATIENCE).code(), Some(1));
    assert!(!proxied.process.lines_with("no_such_field").is_empty());
}

#[test]
fn the_status_of_whatever_runs_in_envoys_place_is_the_agents() {
    let scene = Scene::new();
    let script = scene.orders.dir().join("fails");
    std::fs::write(&script, "#!/bin/sh\nexit 7\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let status = |program: &Path| {
        Proxied::start_as(&scene.orders, "proxy sidecar", None, &[], program).process.wait(PATIENCE).code()
    };
    assert_eq!(status(&script), Some(7));
    assert_eq!(status(Path::new("./no-such-program")), Some(127));
}

#[test]
fn a_template_that_is_not_understood_starts_nothing() {
    let scene = Scene::new();
    let template = json!({ "node": { "id": "${HOME}" } });
    let mut proxied = Proxied::start(&scene.orders, "sidecar", Some(&template), &[]);
    assert_eq!(proxied.process.wait(PATIENCE).code(), Some(1));
    assert!(!proxied.process.lines_with("no variable `HOME`").is_empty());
}

#[test]
fn an_envoy_that_hangs_is_told_by_readiness_which_is_green_again_when_it_goes_on() {
    let scene = Scene::new();
    let proxied = Proxied::start(&scene.orders, "sidecar", None, &[]);
    proxied.wait_readiness(200, "ready", PATIENCE);
    signal(proxied.envoy_pid(), Signal::STOP);
    proxied.wait_readiness(503, "envoy: has not answered for", 2 * PATIENCE);
    signal(proxied.envoy_pid(), Signal::CONT);
    proxied.wait_readiness(200, "ready", PATIENCE);
}

#[test]
fn an_envoy_that_hangs_for_too_long_is_killed() {
    let scene = Scene::new();
    let mut proxied = Proxied::start(&scene.orders, "sidecar", None, &["--proxy-hung-after", "10s"]);
    proxied.wait_readiness(200, "ready", PATIENCE);
    signal(proxied.envoy_pid(), Signal::STOP);
    assert_eq!(proxied.process.wait(2 * PATIENCE).code(), Some(137));
    assert!(!proxied.process.lines_with("neither answers nor ends").is_empty());
}

#[test]
fn an_envoy_that_hangs_does_not_keep_the_agent_from_its_end() {
    let scene = Scene::new();
    let mut proxied = Proxied::start(&scene.orders, "sidecar", None, &["--proxy-drain", "1"]);
    proxied.wait_readiness(200, "ready", PATIENCE);
    signal(proxied.envoy_pid(), Signal::STOP);
    assert_eq!(proxied.process.terminate().code(), Some(137));
}

#[test]
fn an_envoy_that_crashes_is_started_again_where_that_is_asked_for() {
    let scene = Scene::new();
    let mut proxied = Proxied::start(&scene.orders, "sidecar", None, &["--proxy-restart", "on-failure"]);
    proxied.wait_readiness(200, "ready", PATIENCE);
    let first = proxied.envoy_pid();
    signal(first, Signal::ABORT);
    eventually(PATIENCE, "another envoy", || {
        if proxied.envoy_pid() == first { Err("the same".to_owned()) } else { Ok(()) }
    });
    proxied.wait_readiness(200, "ready", PATIENCE);
    assert_eq!(proxied.process.terminate().code(), Some(0));
}

#[test]
fn a_connection_in_use_is_drained_and_not_cut() {
    let scene = Scene::new();
    let port = free_port();
    let mut proxied = Proxied::start(&scene.orders, "router", Some(&plain(port)), &["--proxy-drain", "4s"]);
    proxied.wait_readiness(200, "ready", PATIENCE);
    let mut stream = connect(port);
    assert!(!ask(&mut stream).unwrap().contains("connection: close"));
    signal(proxied.process.pid(), Signal::TERM);
    proxied.wait_readiness(503, "envoy: drains", PATIENCE);
    // Envoy asks for the end of the connection with an answer, once it has been told to drain.
    eventually(Duration::from_secs(3), "a connection is asked to end", || {
        let answer = ask(&mut stream)?;
        if answer.contains("connection: close") { Ok(()) } else { Err(answer) }
    });
    assert_eq!(proxied.process.wait(PATIENCE).code(), Some(0));
}

#[test]
fn the_last_connections_end_ends_the_drain_where_that_is_asked_for() {
    let scene = Scene::new();
    let port = free_port();
    let idle = ["--proxy-drain-until-idle", "true", "--proxy-drain-min", "1s"];
    let mut proxied = Proxied::start(&scene.orders, "router", Some(&plain(port)), &idle);
    proxied.wait_readiness(200, "ready", PATIENCE);
    let mut stream = connect(port);
    ask(&mut stream).unwrap();
    signal(proxied.process.pid(), Signal::TERM);
    let told = Instant::now();
    eventually(PATIENCE, "the drain goes on beyond its least", || {
        assert_eq!(proxied.process.exit_status(), None, "a connection is open");
        if told.elapsed() > Duration::from_secs(4) { Ok(()) } else { Err("not yet".to_owned()) }
    });
    drop(stream);
    assert_eq!(proxied.process.wait(PATIENCE).code(), Some(0));
}
