//! The main job with real daemons and real Envoys: from a service-account token to mutual TLS, through rotation,
//! outages and kills.

#![cfg(test)]

use std::time::{Duration, Instant};

use signet_tests::envoy_config::{self, SdsProtocol};
use signet_tests::mesh::{Ca, READY_MAX, Workload};
use signet_tests::{Envoy, Workdir, eventually, free_port, http};

/// Long enough that nothing rotates while a test looks.
const LONG: Duration = Duration::from_secs(3600);

/// Short enough that a test sees several rotations.
const SHORT: Duration = Duration::from_secs(8);

/// A CA, `shop/web` calling `shop/orders`, each with agent and Envoy.
struct Scene {
    web: Workload,
    orders: Workload,
    web_envoy: Envoy,
    orders_envoy: Envoy,
    web_port: u16,
    ca: Ca,
    workdir: Workdir,
}

impl Scene {
    fn start(ttl: Duration, protocol: SdsProtocol) -> Self {
        let workdir = Workdir::new();
        let mut ca = Ca::self_signed(&workdir);
        ca.start_ready();
        let [web, orders] = ["web", "orders"].map(|account| {
            let mut workload = Workload::new(&workdir, &ca, "shop", account, ttl);
            workload.trust(&ca.roots());
            workload.start_ready();
            workload
        });
        let (web_port, orders_port) = (free_port(), free_port());
        let server = orders.envoy_server(orders_port, protocol, &[&web]);
        let client = web.envoy_client(web_port, protocol, &orders, orders_port);
        let mut orders_envoy = Envoy::start(&workdir, "orders", envoy_config::server(&server));
        let mut web_envoy = Envoy::start(&workdir, "web", envoy_config::client(&client));
        orders_envoy.wait_ready(READY_MAX);
        web_envoy.wait_ready(READY_MAX);
        Self { web, orders, web_envoy, orders_envoy, web_port, ca, workdir }
    }

    /// One call through both Envoys on a new connection; the caller's serial as the server's Envoy saw it.
    fn call(&self) -> Result<String, String> {
        let answer = http::get(self.web_port, "/").map_err(|error| error.to_string())?;
        let peer = answer.header("x-peer").unwrap_or_default();
        if answer.status != 200 || peer != self.web.id() {
            return Err(format!("{} from `{peer}`: {}", answer.status, answer.body));
        }
        Ok(answer.header("x-peer-serial").unwrap_or_default().to_owned())
    }

    /// Calls without pause until `done`, all of which must succeed; the different serials seen, in order.
    fn call_until(&self, what: &str, limit: Duration, mut done: impl FnMut(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + limit;
        let mut serials: Vec<String> = Vec::new();
        while !done(&serials) {
            assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}; serials seen: {serials:?}");
            let serial = self.call().expect("a request fails during this wait");
            if serials.last() != Some(&serial) {
                serials.push(serial);
            }
        }
        serials
    }
}

fn two_envoys_talk(protocol: SdsProtocol) {
    let scene = Scene::start(LONG, protocol);
    let serial = scene.call().unwrap();
    let held = scene.web_envoy.certs().to_string().to_lowercase();
    assert!(held.contains(&serial.to_lowercase()), "Envoy presents a certificate that it holds: {serial} in {held}");
    assert!(held.contains(&scene.web.id()), "{held}");
}

#[test]
fn two_envoys_talk_mutual_tls_with_identities_from_state_of_the_world_streams() {
    two_envoys_talk(SdsProtocol::StateOfTheWorld);
}

#[test]
fn two_envoys_talk_mutual_tls_with_identities_from_incremental_streams() {
    two_envoys_talk(SdsProtocol::Delta);
}

fn rotation_loses_no_request(protocol: SdsProtocol) {
    let scene = Scene::start(SHORT, protocol);
    let serials = scene.call_until("four identities", Duration::from_secs(40), |serials| serials.len() >= 4);
    let mut distinct = serials.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), serials.len(), "an old identity never comes back: {serials:?}");
    let rejected = [&scene.web_envoy, &scene.orders_envoy].map(|envoy| envoy.stats("sds.*update_rejected"));
    assert!(rejected.iter().all(|stats| stats.values().all(|count| *count == 0)), "{rejected:?}");
}

#[test]
fn identities_rotate_under_traffic_without_a_failed_request_state_of_the_world() {
    rotation_loses_no_request(SdsProtocol::StateOfTheWorld);
}

#[test]
fn identities_rotate_under_traffic_without_a_failed_request_incremental() {
    rotation_loses_no_request(SdsProtocol::Delta);
}

#[test]
fn a_killed_ca_costs_no_request_and_rotation_resumes_when_it_returns() {
    let mut scene = Scene::start(SHORT, SdsProtocol::Delta);
    let roots = scene.ca.roots();
    scene.ca.kill();
    // Past the middle of life, so that a renewal has been tried in vain.
    let until = Instant::now() + Duration::from_millis(4500);
    scene.call_until("the end of the outage", Duration::from_secs(20), |_| Instant::now() >= until);
    let page = eventually(Duration::from_secs(2), "the agent says that renewal fails", || {
        let page = scene.web.readiness().map_err(|error| error.to_string())?;
        if page.body.contains("renewal fails") { Ok(page) } else { Err(page.body) }
    });
    assert!(page.body.contains("identity"), "{page:?}");

    scene.ca.start_ready();
    assert_eq!(scene.ca.roots(), roots, "the root is made once");
    scene.call_until("two more identities", Duration::from_secs(30), |serials| serials.len() >= 3);
    assert_eq!(scene.orders.readiness().unwrap().status, 200);
}

#[test]
fn a_killed_agent_costs_no_request_and_its_successor_feeds_the_same_envoy() {
    for protocol in [SdsProtocol::StateOfTheWorld, SdsProtocol::Delta] {
        let mut scene = Scene::start(LONG, protocol);
        let before = scene.call().unwrap();
        scene.web.kill();
        let until = Instant::now() + Duration::from_secs(1);
        scene.call_until("the end of the outage", Duration::from_secs(10), |_| Instant::now() >= until);

        scene.web.start();
        let serials = scene.call_until("the successor's identity", Duration::from_secs(35), |serials| {
            serials.last().is_some_and(|serial| *serial != before)
        });
        assert_eq!(serials.first(), Some(&before), "Envoy kept what it had");
    }
}

#[test]
fn an_envoy_that_starts_before_everything_else_becomes_live_when_the_ca_does() {
    for protocol in [SdsProtocol::StateOfTheWorld, SdsProtocol::Delta] {
        let workdir = Workdir::new();
        let mut ca = Ca::self_signed(&workdir);
        let mut orders = Workload::new(&workdir, &ca, "shop", "orders", LONG);
        let server = orders.envoy_server(free_port(), protocol, &[]);
        let mut envoy = Envoy::start(&workdir, "orders", envoy_config::server(&server));
        orders.start();
        eventually(READY_MAX, "the agent says why it is not ready", || {
            let page = orders.readiness().map_err(|error| error.to_string())?;
            if page.status == 503 && !page.body.is_empty() { Ok(()) } else { Err(page.body) }
        });
        eventually(READY_MAX, "Envoy says that it waits for its secrets", || {
            let waits = http::get_unix(envoy.admin_socket(), "/init_dump").map_err(|error| error.to_string())?.body;
            if waits.contains("ROOTCA") && waits.contains("default") { Ok(()) } else { Err(waits) }
        });

        ca.start_ready();
        orders.trust(&ca.roots());
        envoy.wait_ready(Duration::from_secs(40));
        orders.wait_ready();
    }
}

#[test]
fn a_valid_identity_of_another_service_account_is_refused_by_name() {
    let scene = Scene::start(LONG, SdsProtocol::StateOfTheWorld);
    let mut intruder = Workload::new(&scene.workdir, &scene.ca, "sandbox", "intruder", LONG);
    intruder.trust(&scene.ca.roots());
    intruder.start_ready();
    let server_port = envoy_port(&scene.orders_envoy);
    let port = free_port();
    let client = intruder.envoy_client(port, SdsProtocol::StateOfTheWorld, &scene.orders, server_port);
    let mut envoy = Envoy::start(&scene.workdir, "intruder", envoy_config::client(&client));
    envoy.wait_ready(READY_MAX);

    let answer = http::get(port, "/").unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    let refused: u64 = scene.orders_envoy.stats("listener.*ssl.fail_verify_san").values().sum();
    assert!(refused > 0, "the server refused the name, not something else");
    scene.call().unwrap();
}

fn envoy_port(envoy: &Envoy) -> u16 {
    let listeners: serde_json::Value = serde_json::from_str(&envoy.admin_get("/listeners?format=json")).unwrap();
    let port = listeners.pointer("/listener_statuses/0/local_address/socket_address/port_value").unwrap();
    u16::try_from(port.as_u64().unwrap()).unwrap()
}
