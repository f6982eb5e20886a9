//! The harness proves itself: two real Envoys, with identities from a small SDS server, talk mutual
//! TLS, and each refuses a peer it was not told to expect.

#![cfg(test)]

mod sds;

use std::time::Duration;

use signet_identity::{Lifetime, Timestamp};
use signet_testkit::TestCa;
use signet_tests::envoy_config::{self, SdsProtocol};
use signet_tests::http::{self, Response};
use signet_tests::{Envoy, Workdir, free_port};

use crate::sds::{Identity, SdsServer};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";
const INTRUDER: &str = "spiffe://cluster.local/ns/sandbox/sa/intruder";

const PATIENCE: Duration = Duration::from_secs(30);

/// `web` asks `orders`.
struct Pair {
    client: Envoy,
    server: Envoy,
    client_port: u16,
    server_port: u16,
    _sds: [SdsServer; 2],
    _workdir: Workdir,
}

/// What each side is told to expect of the other.
struct Expect {
    client_id: &'static str,
    server_id: &'static str,
}

impl Pair {
    fn start(expect: &Expect, requests_per_connection: Option<u32>) -> Self {
        let workdir = Workdir::new();
        let ca = TestCa::root("cluster.local");
        let (client_port, server_port) = (free_port(), free_port());
        let sds = [
            SdsServer::start(&workdir.socket("web-sds.sock"), issue(&ca, WEB)),
            SdsServer::start(&workdir.socket("orders-sds.sock"), issue(&ca, ORDERS)),
        ];
        let server = envoy_config::server(&envoy_config::Server {
            name: "orders".to_owned(),
            port: server_port,
            sds_socket: "orders-sds.sock".into(),
            sds_protocol: SdsProtocol::StateOfTheWorld,
            accepts: vec![expect.client_id.to_owned()],
        });
        let client = envoy_config::client(&envoy_config::Client {
            name: "web".to_owned(),
            port: client_port,
            server_port,
            server_id: expect.server_id.to_owned(),
            sds_socket: "web-sds.sock".into(),
            sds_protocol: SdsProtocol::Delta,
            requests_per_connection,
        });
        let mut server = Envoy::start(&workdir, "orders", server);
        let mut client = Envoy::start(&workdir, "web", client);
        server.wait_ready(PATIENCE);
        client.wait_ready(PATIENCE);
        Self { client, server, client_port, server_port, _sds: sds, _workdir: workdir }
    }

    fn ask(&self) -> Response {
        http::get(self.client_port, "/orders/7").unwrap()
    }

    fn server_stat(&self, name: &str) -> Option<u64> {
        self.server.stat(&format!("listener.127.0.0.1_{}.ssl.{name}", self.server_port))
    }
}

fn issue(ca: &TestCa, id: &str) -> Identity {
    let begin = Timestamp::from_unix_secs(1_577_836_800);
    let lifetime = Lifetime::new(begin, begin.plus(Duration::from_hours(24 * 365 * 60))).unwrap();
    let leaf = ca.leaf(id, lifetime).issue();
    Identity { chain_pem: leaf.chain_pem(), key_pem: leaf.key().to_pem().to_string(), roots_pem: ca.root_pem() }
}

#[test]
fn two_envoys_talk_mutual_tls_and_the_server_sees_who_asks() {
    let pair = Pair::start(&Expect { client_id: WEB, server_id: ORDERS }, Some(1));

    let answers = [pair.ask(), pair.ask()];

    for answer in answers {
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        assert_eq!(answer.header("x-peer"), Some(WEB));
        assert!(answer.header("x-peer-serial").is_some_and(|serial| serial.len() > 8));
    }
    assert_eq!(pair.server_stat("handshake"), Some(2), "one request, one handshake");
    assert_eq!(pair.server_stat("versions.TLSv1.3"), Some(2));
}

#[test]
fn connections_stay_unless_told_otherwise() {
    let pair = Pair::start(&Expect { client_id: WEB, server_id: ORDERS }, None);

    assert_eq!([pair.ask().status, pair.ask().status], [200, 200]);

    assert_eq!(pair.server_stat("handshake"), Some(1));
}

#[test]
fn a_server_with_another_name_than_expected_is_not_asked() {
    let pair = Pair::start(&Expect { client_id: WEB, server_id: INTRUDER }, None);

    assert_eq!(pair.ask().status, 503);

    assert!(pair.client.stat("cluster.server.ssl.fail_verify_san") > Some(0));
    assert_eq!(pair.client.stat("cluster.server.ssl.no_such_counter"), None);
}

#[test]
fn a_client_with_another_name_than_expected_is_turned_away() {
    let pair = Pair::start(&Expect { client_id: INTRUDER, server_id: ORDERS }, None);

    assert_eq!(pair.ask().status, 503);

    assert!(pair.server_stat("fail_verify_san") > Some(0));
}

#[test]
fn what_envoy_holds_can_be_looked_at() {
    let mut pair = Pair::start(&Expect { client_id: WEB, server_id: ORDERS }, None);

    let certs = pair.server.certs().to_string();
    assert!(certs.contains(ORDERS), "{certs}");
    let secrets = pair.client.config_dump("dynamic_active_secrets").to_string();
    assert!(secrets.contains("ROOTCA") && secrets.contains("default"), "{secrets}");
    let updates = pair.client.stats(r"^sds\..*\.update_success$");
    assert_eq!(updates.into_values().collect::<Vec<_>>(), [1, 1]);

    assert_eq!(pair.server.kill().code(), None);
    assert_eq!(pair.ask().status, 503);
}

#[test]
#[should_panic(expected = "Envoy ended with exit status: 1")]
fn an_envoy_that_refuses_its_configuration_is_not_waited_for() {
    let workdir = Workdir::new();
    let config = serde_json::json!({"no_such_field": 1});

    Envoy::start(&workdir, "broken", config).wait_ready(PATIENCE);
}
