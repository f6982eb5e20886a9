//! The list of settings: one line gives the key in the file, the flag and the environment variable.

use signet_runtime::Setting;

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    Setting::known_as("TRUST_DOMAIN", "trust_domain", "Trust domain of issued identities [default: cluster.local]"),
    Setting::known_as(
        "CLUSTER_ID",
        "cluster_id",
        "Name of this cluster in the `clusterid` header [default: Kubernetes]",
    ),
    Setting::known_as("POD_NAMESPACE", "namespace", "Namespace in the default serving names [default: istio-system]"),
    Setting::new("listen", "Address of the CA API [default: 0.0.0.0:15012]"),
    Setting::new("admin.listen", "Address of health and metrics [default: 0.0.0.0:15014]"),
    Setting::new("reflection", "Serve gRPC reflection [default: false]"),
    Setting::new("log.format", "`text` or `json` [default: text]"),
    Setting::new("log.level", "Level, or target=level pairs [default: info]"),
    Setting::new("tokens.issuer", "Issuer of accepted tokens; must be set"),
    Setting::known_as(
        "TOKEN_AUDIENCES",
        "tokens.audiences",
        "One of these a token must be meant for [default: istio-ca]",
    ),
    Setting::new("tokens.jwks_file", "File with the issuer's key set (or tokens.jwks_url)"),
    Setting::new("tokens.jwks_url", "URL of the issuer's key set: https, or http on this machine"),
    Setting::new("tokens.jwks_ca_file", "PEM roots for an https tokens.jwks_url"),
    Setting::new("tokens.jwks_refresh", "How often the key set is read anew [default: 5m]"),
    Setting::new("tokens.require_pod", "Refuse tokens that are not bound to a pod [default: true]"),
    Setting::new("authority.state_dir", "Directory of the self-signed root [default: /var/lib/signet-ca]"),
    Setting::new("authority.plugged_in_dir", "Directory of a plugged-in authority, which must be there"),
    Setting::known_as(
        "ROOT_CA_DIR",
        "authority.cacerts_dir",
        "Directory of a plugged-in authority, used if it holds one",
    ),
    Setting::known_as("CITADEL_SELF_SIGNED_CA_CERT_TTL", "authority.root_ttl", "Life of a new root [default: 87600h]"),
    Setting::known_as(
        "DEFAULT_WORKLOAD_CERT_TTL",
        "leaf.default_ttl",
        "Life granted to who asks for none [default: 24h]",
    ),
    Setting::known_as("MAX_WORKLOAD_CERT_TTL", "leaf.max_ttl", "Longest life granted [default: 2160h]"),
    Setting::new("leaf.over_max", "`clamp` or `refuse` longer wishes [default: clamp]"),
    Setting::new("leaf.keys", "Accepted kinds of keys [default: P-256,P-384,RSA]; Ed25519 can be added"),
    Setting::new(
        "serving.names",
        "DNS names and addresses of the serving certificate [default: istiod.<namespace>.svc, \
        istiod-remote.<namespace>.svc, istio-pilot.<namespace>.svc, signet-ca.<namespace>.svc, localhost]",
    ),
    Setting::known_as("ISTIOD_CUSTOM_HOST", "serving.extra_names", "More names for the serving certificate"),
    Setting::new("serving.ttl", "Life of the serving certificate [default: 24h]"),
    Setting::new("jwt.enabled", "Mint JWT-SVIDs [default: false]"),
    Setting::new("jwt.issuer", "`iss` of tokens, an https URL; without it tokens have none"),
    Setting::new("jwt.default_ttl", "Life granted to a token whose caller asks for none [default: 5m]"),
    Setting::new("jwt.max_ttl", "Longest life granted to a token [default: 1h]"),
    Setting::new("jwt.key_ttl", "How long one key signs tokens [default: 24h]"),
    Setting::new("jwt.state_dir", "Directory of the token keys [default: <authority.state_dir>/jwt]"),
    Setting::new("oidc.listen", "Address of OpenID Connect discovery and token keys; without it they are not served"),
    Setting::new("oidc.tls_cert_file", "PEM certificates served there, the leaf first [default: the CA's own]"),
    Setting::new("oidc.tls_key_file", "PEM key of oidc.tls_cert_file"),
    Setting::new("federation.listen", "Address of the own SPIFFE bundle; without it it is not served"),
    Setting::new("federation.profile", "`https_web` or `https_spiffe` [default: https_web]"),
    Setting::new("federation.tls_cert_file", "PEM certificates served there, the leaf first [default: the CA's own]"),
    Setting::new("federation.tls_key_file", "PEM key of federation.tls_cert_file"),
    Setting::new(
        "federation.state_dir",
        "Directory of what is known of peers [default: <authority.state_dir>/federation]",
    ),
    Setting::known_as(
        "SSL_CERT_FILE",
        "federation.roots_file",
        "PEM roots for peers of profile https_web [default: /etc/ssl/certs/ca-certificates.crt]",
    ),
    Setting::new("federation.refresh_hint", "How often readers of published keys look for changes [default: 5m]"),
    Setting::new(
        "ledger.dir",
        "Directory of the record of everything issued; `none` for no record [default: <authority.state_dir>/ledger]",
    ),
    Setting::new("ledger.sync", "`always`, or how long a record may not be on the disk [default: always]"),
    Setting::new("ledger.segment_max", "Largest segment of the ledger [default: 64MiB]"),
    Setting::new("ledger.keep_max", "Most bytes of the ledger that are kept [default: 1GiB]"),
    Setting::new("ledger.keep_max_age", "How long records are kept [default: 8760h]"),
];
