//! The table of settings: key, environment name, what it means.

use signet_runtime::Setting;

/// All settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("root_dir", "prefix of all default paths [default: /]"),
    Setting::known_as("TRUST_DOMAIN", "trust_domain", "trust domain of the identity [default: cluster.local]"),
    Setting::known_as("POD_NAMESPACE", "namespace", "namespace of the identity [default: the token's]"),
    Setting::known_as("SERVICE_ACCOUNT", "service_account", "service account of the identity [default: the token's]"),
    Setting::known_as("SECRET_TTL", "identity.ttl", "lifetime asked for [default: 24h]"),
    Setting::known_as(
        "SECRET_GRACE_PERIOD_RATIO",
        "identity.renew_ratio",
        "share of life left when renewal begins [default: 0.5]",
    ),
    Setting::known_as(
        "SECRET_GRACE_PERIOD_RATIO_JITTER",
        "identity.renew_jitter",
        "how far that share is moved at random, to both sides [default: 0.1]",
    ),
    Setting::known_as("CA_ADDR", "ca.address", "the CA's `host:port`, or several with commas between, required"),
    Setting::known_as(
        "CA_ROOT_CA",
        "ca.root_file",
        "PEM roots that the CA is trusted by [default: <root_dir>/var/run/secrets/istio/root-cert.pem]",
    ),
    Setting::known_as("ISTIOD_SAN", "ca.server_name", "name in the CA's certificate [default: host of ca.address]"),
    Setting::known_as("ISTIO_META_CLUSTER_ID", "ca.cluster_id", "cluster named to the CA [default: none]"),
    Setting::new("ca.deadline", "time for one call to the CA [default: 10s]"),
    Setting::new(
        "token.file",
        "projected service account token [default: <root_dir>/var/run/secrets/tokens/istio-token]",
    ),
    Setting::new("token.audience", "audience that the token must have [default: istio-ca]"),
    Setting::new("sds.socket", "socket for proxies [default: <root_dir>/var/run/secrets/workload-spiffe-uds/socket]"),
    Setting::new("sds.mode", "mode of that socket [default: 0600]"),
    Setting::new("sds.allowed_uids", "users that may connect beside the agent's own and root [default: none]"),
    Setting::new(
        "sds.file_dirs",
        "directories of files that proxies may name [default: <root_dir>/etc/certs, <root_dir>/etc/istio]",
    ),
    Setting::new("sds.system_roots_file", "roots served as `file-root:system` [default: the operating system's]"),
    Setting::known_as(
        "OUTPUT_CERTS",
        "files.output_dir",
        "directory for key, chain and roots as files [default: none]",
    ),
    Setting::new("admin.listen", "address for health and metrics [default: 127.0.0.1:15020]"),
    Setting::known_as("SIGNET_ENVOY", "proxy.envoy", "Envoy, looked for on the PATH [default: envoy]"),
    Setting::known_as(
        "ISTIO_BOOTSTRAP",
        "proxy.template",
        "file that Envoy's bootstrap is made from [default: built in]",
    ),
    Setting::new(
        "proxy.bootstrap",
        "where Envoy's bootstrap is written [default: <root_dir>/etc/istio/proxy/envoy-rev.json]",
    ),
    Setting::new("proxy.admin", "Envoy's admin interface, `host:port` or `unix:PATH` [default: 127.0.0.1:15000]"),
    Setting::new("proxy.inbound", "where the built-in bootstrap takes mutual TLS [default: none]"),
    Setting::new("proxy.application", "where it hands connections to [default: none]"),
    Setting::known_as("INSTANCE_IP", "proxy.instance_ip", "own address [default: 127.0.0.1]"),
    Setting::known_as("POD_NAME", "proxy.pod_name", "own name [default: sds-agent]"),
    Setting::known_as(
        "TERMINATION_DRAIN_DURATION_SECONDS",
        "proxy.drain",
        "how long Envoy drains before it is told to end [default: 5s]",
    ),
    Setting::known_as(
        "EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
        "proxy.drain_until_idle",
        "whether the last connection's end ends the drain instead [default: false]",
    ),
    Setting::known_as("MINIMUM_DRAIN_DURATION", "proxy.drain_min", "how long it drains at least then [default: 5s]"),
    Setting::new("proxy.drain_max", "how long it drains at most then [default: 1h]"),
    Setting::new("proxy.restart", "whether Envoy is started again: `never` or `on-failure` [default: never]"),
    Setting::new("proxy.restarts_max", "how often in a row [default: 5]"),
    Setting::new("proxy.hung_after", "silence after which Envoy is killed, or `never` [default: 2m]"),
    Setting::known_as(
        "ENVOY_STATUS_PORT",
        "proxy.ready_listen",
        "address or port of readiness, or `none` [default: 0.0.0.0:15021]",
    ),
    Setting::new("log.format", "`text` or `json` [default: text]"),
    Setting::new("log.level", "level, or list of `target=level` [default: info]"),
];
