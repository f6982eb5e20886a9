//! `sds-agent proxy` with a real Envoy: how it starts, how it ends, and what happens when Envoy does not behave.

#![cfg(test)]

mod ends;
mod faults;

use std::time::Duration;

use serde_json::Value;
use signet_tests::envoy_config::{self, SdsProtocol};
use signet_tests::mesh::{Ca, Workload};
use signet_tests::{Workdir, free_port};

/// Long enough that nothing rotates while a test looks.
const LONG: Duration = Duration::from_secs(3600);

/// How long a busy machine may take for what should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// A CA and the workload `shop/orders`, whose agent does not run yet.
struct Scene {
    orders: Workload,
    _ca: Ca,
    _workdir: Workdir,
}

impl Scene {
    fn new() -> Self {
        let workdir = Workdir::new();
        let mut ca = Ca::self_signed(&workdir);
        ca.start_ready();
        let orders = Workload::new(&workdir, &ca, "shop", "orders", LONG);
        orders.trust(&ca.roots());
        Self { orders, _ca: ca, _workdir: workdir }
    }

    /// An Envoy that takes mutual TLS on a port.
    fn server(&self) -> (Value, u16) {
        let port = free_port();
        let server = self.orders.envoy_server(port, SdsProtocol::Delta, &[&self.orders]);
        let mut config = envoy_config::server(&server);
        // As the agent's own socket is called in a template.
        let socket =
            "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path";
        *config.pointer_mut(socket).unwrap() = "${SDS_SOCKET}".into();
        (config, port)
    }
}
