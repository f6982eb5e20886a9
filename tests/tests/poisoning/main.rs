//! A secret that is spoilt on its way to a real Envoy: Envoy refuses it, remembers it beside the working one, and
//! would judge later secrets by it. The agent must give it a good one again at once.

#![cfg(test)]

mod proxy;

use std::time::{Duration, Instant};

use signet_tests::envoy_config::{self, SdsProtocol};
use signet_tests::mesh::{Ca, READY_MAX, Workload};
use signet_tests::{Envoy, Workdir, eventually, free_port, http};

use proxy::SpoilingProxy;

/// Short enough that a test sees several rotations.
const TTL: Duration = Duration::from_secs(8);

fn envoy_recovers_from_a_spoilt_secret(protocol: SdsProtocol) {
    let workdir = Workdir::new();
    let mut ca = Ca::self_signed(&workdir);
    ca.start_ready();
    let [web, orders] = ["web", "orders"].map(|account| {
        let mut workload = Workload::new(&workdir, &ca, "shop", account, TTL);
        workload.trust(&ca.roots());
        workload.start_ready();
        workload
    });
    // The second identity that the server's Envoy is given arrives spoilt.
    let proxy = SpoilingProxy::start(&workdir.socket("spoiling.sock"), &orders.socket(), "default", 2);
    let (web_port, orders_port) = (free_port(), free_port());
    let mut server = orders.envoy_server(orders_port, protocol, &[&web]);
    server.sds_socket = proxy.socket().to_owned();
    let client = web.envoy_client(web_port, protocol, &orders, orders_port);
    let mut orders_envoy = Envoy::start(&workdir, "orders", envoy_config::server(&server));
    let mut web_envoy = Envoy::start(&workdir, "web", envoy_config::client(&client));
    orders_envoy.wait_ready(READY_MAX);
    web_envoy.wait_ready(READY_MAX);

    let call = || match http::get(web_port, "/") {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("{}: {}", answer.status, answer.body)),
        Err(error) => Err(error.to_string()),
    };
    let refused = || orders_envoy.stat("sds.default.update_rejected").unwrap_or_default();
    let accepted = || orders_envoy.stat("sds.default.update_success").unwrap_or_default();
    eventually(Duration::from_secs(20), "Envoy refuses the spoilt secret", || {
        call().expect("no request fails before the refusal");
        if refused() > 0 { Ok(()) } else { Err("nothing refused yet".to_owned()) }
    });
    let after_refusal = accepted();

    eventually(Duration::from_secs(2), "Envoy is given a good secret again, long before the next rotation", || {
        call().expect("no request fails after the refusal");
        if accepted() > after_refusal || accepted() >= 2 { Ok(()) } else { Err(format!("{} accepted", accepted())) }
    });
    let end = Instant::now() + TTL;
    while Instant::now() < end {
        call().expect("no request fails through the rotations that follow");
    }
    assert_eq!(refused(), 1, "one spoilt secret, one refusal, no quarrel");
    assert!(accepted() >= 3, "rotation goes on: {} accepted", accepted());
    assert!(orders.metrics().contains("signet_agent_sds_nacks_total{resource=\"default\"} 1"), "{}", orders.metrics());
}

#[test]
fn envoy_recovers_from_a_spoilt_secret_on_a_state_of_the_world_stream() {
    envoy_recovers_from_a_spoilt_secret(SdsProtocol::StateOfTheWorld);
}

#[test]
fn envoy_recovers_from_a_spoilt_secret_on_an_incremental_stream() {
    envoy_recovers_from_a_spoilt_secret(SdsProtocol::Delta);
}
