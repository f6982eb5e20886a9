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
    Setting::new("log.format", "`text` or `json` [default: text]"),
    Setting::new("log.level", "level, or list of `target=level` [default: info]"),
];
