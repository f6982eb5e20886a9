//! What `signet-ca` tells about itself on the command line.

mod authority;
mod ledger;
mod log_level;
mod running;

use signet_runtime::Daemon;

use crate::config::{ISTIO, SETTINGS};

const EXAMPLES: &str = "\
  Serve with the settings of a file, on another address:
    signet-ca run --config /etc/signet/ca.toml --listen 127.0.0.1:15012

  Say what is wrong with a file, or which settings are in force:
    signet-ca check-config --config /etc/signet/ca.toml

  The least a file must hold:
    [tokens]
    issuer = \"https://kubernetes.default.svc.cluster.local\"
    jwks_file = \"/etc/signet/jwks.json\"";

/// The daemon as its operator meets it.
pub const DAEMON: Daemon = Daemon {
    name: "signet-ca",
    version: env!("CARGO_PKG_VERSION"),
    about: "Issues short-lived SPIFFE certificates to holders of Kubernetes service-account tokens",
    examples: EXAMPLES,
    settings: SETTINGS,
    foreign: ISTIO,
    verbs: &[authority::AUTHORITY, ledger::LEDGER, log_level::LOG_LEVEL],
};
