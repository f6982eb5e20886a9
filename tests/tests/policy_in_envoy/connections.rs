//! Random pairs of policy set and connection: Envoy with the rendered RBAC for connections lets through what the engine
//! says, though the policies speak of HTTP too.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use signet_policy::decide::Verdict;
use signet_policy::request::Request;
use signet_tests::{Envoy, Workdir, free_port};

use crate::ask::Line;
use crate::differential::setting;
use crate::mesh::{Names, knock, transport};
use crate::names::{IDENTITIES, SERVER_NAMES, SOURCES, one};
use crate::sets::Set;

/// One pair of connections for so many of requests, since each needs a handshake.
const PAIRS_FOR_ONE: usize = 20;
/// Connections to each set, which has a listener of its own.
const KNOCKS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(120);

fn listener(names: &Names, port: u16, is_tls: bool, set: &Set) -> Value {
    let type_url = |name: &str| format!("type.googleapis.com/envoy.extensions.filters.{name}");
    let mut filters: Vec<Value> = set.filters_tcp.iter().map(|filter| serde_json::to_value(filter).unwrap()).collect();
    filters.push(json!({"name": "echo", "typed_config": {"@type": type_url("network.echo.v3.Echo")}}));
    let mut chain = json!({"filters": filters});
    if is_tls {
        chain["transport_socket"] = transport(names);
    }
    let inspector = json!({"@type": type_url("listener.tls_inspector.v3.TlsInspector")});
    json!({
        "name": format!("door-{port}"),
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "listener_filters": if is_tls { vec![json!({"name": "tls_inspector", "typed_config": inspector})] } else { vec![] },
        "filter_chains": [chain],
    })
}

fn judge(set: &Set, line: &Line) -> bool {
    let request = Request::new(IpAddr::from(line.source), Ipv4Addr::LOCALHOST.into(), line.port);
    let mut request = request.with_identity(line.identity.unwrap_or_default()).unwrap();
    request.sni = line.server_name.unwrap_or_default();
    set.compiled_tcp.decide(&request).verdict == Verdict::Allow
}

#[test]
fn envoy_lets_connections_through_as_the_engine_says() {
    let mut rng = Rng::with_seed(setting("SIGNET_DIFFERENTIAL_SEED", 1).try_into().unwrap());
    let count = (setting("SIGNET_DIFFERENTIAL_PAIRS", 20_000) / PAIRS_FOR_ONE / KNOCKS).clamp(1, 200);
    let names = Names::new();
    let sets: Vec<(u16, bool, Set)> = (0..count)
        .map(|index| {
            let port = free_port();
            (port, index % 4 > 0, Set::random(&mut rng, 1, &[port, port, port.wrapping_add(1)], 1))
        })
        .collect();
    let listeners: Vec<Value> = sets.iter().map(|(port, is_tls, set)| listener(&names, *port, *is_tls, set)).collect();
    let workdir = Workdir::new();
    let mut envoy = Envoy::start(&workdir, "oracle", json!({"static_resources": {"listeners": listeners}}));
    envoy.wait_ready(PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut allowed, mut told) = (0, Vec::new());
    for (port, is_tls, set) in &sets {
        for _ in 0..KNOCKS {
            let identity = is_tls.then(|| *one(&mut rng, &IDENTITIES));
            let server_name = if *is_tls { *one(&mut rng, &SERVER_NAMES) } else { None };
            let line = Line { port: *port, identity, server_name, source: *one(&mut rng, &SOURCES) };
            let (wanted, found) = (judge(set, &line), runtime.block_on(knock(&names, &line)));
            allowed += usize::from(wanted);
            if wanted != found {
                told.push(format!("Envoy {found}, engine {wanted}: {line:?}\n{}", set.text));
            }
        }
    }
    let all = count * KNOCKS;
    println!("differential: {all} connections, {allowed} let through");
    assert!(told.is_empty(), "{} of {all} differ:\n{}", told.len(), told[..told.len().min(3)].join("\n"));
    assert!((all / 5..all - all / 5).contains(&allowed), "{allowed} of {all} let through, which is no test");
}
