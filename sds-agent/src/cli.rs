//! The command line: what the agent tells about itself, and the one family of variables that is no setting.

use sds_agent::config::{CA_HEADER_PREFIX, SETTINGS};
use signet_runtime::Daemon;

use crate::proxy;

/// The agent as a daemon.
pub(crate) const DAEMON: Daemon = Daemon {
    name: "sds-agent",
    version: env!("CARGO_PKG_VERSION"),
    about: "Keeps a workload's identity fresh and serves it to proxies over SDS and to programs as files",
    examples: "\
  sds-agent run --ca-address signet-ca.istio-system.svc:15012
  sds-agent run --config agent.toml --files-output-dir /var/run/identity
  sds-agent check-config --config agent.toml
  sds-agent proxy sidecar --config agent.toml -- --concurrency 2
  sds-agent run --root-dir ./pod --ca-address localhost:15012 --admin-listen 127.0.0.1:0",
    settings: SETTINGS,
    foreign: &[],
    verbs: &[proxy::PROXY, proxy::EXEC_BESIDE],
};

/// The `CA_HEADER_` variables of this process: names without the prefix, and values.
pub(crate) fn ca_headers() -> Vec<(String, String)> {
    let header = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.to_str()?.strip_prefix(CA_HEADER_PREFIX)?.to_owned();
        Some((name, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(header).collect()
}
