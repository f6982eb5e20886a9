//! Environment names that users of istiod's CA set: every one of them is honoured, refused with a reason, or passed over
//! with a word, and the reference says which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use signet_ca::cli::DAEMON;
use signet_ca::config::{ISTIO, SETTINGS};
use signet_runtime::Reader;
use signet_runtime::config::Heard;

use crate::config::{LEAST, good, problems};

/// The names that istiod's CA reads, and those that it used to read.
const KNOWN_TO_ISTIOD: &[&str] = &[
    "ENABLE_CA_SERVER",
    "ROOT_CA_DIR",
    "USE_REMOTE_CERTS",
    "USE_CACERTS_FOR_SELF_SIGNED_CA",
    "DEFAULT_WORKLOAD_CERT_TTL",
    "MAX_WORKLOAD_CERT_TTL",
    "CITADEL_SELF_SIGNED_CA_CERT_TTL",
    "CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE",
    "CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL",
    "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE",
    "CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR",
    "TOKEN_AUDIENCES",
    "TOKEN_ISSUER",
    "AUDIENCE",
    "KUBERNETES_SERVICE_HOST",
    "CA_TRUSTED_NODE_ACCOUNTS",
    "TRUSTED_GATEWAY_CIDR",
    "XDS_AUTH",
    "XDS_AUTH_PLAINTEXT",
    "PILOT_CERT_PROVIDER",
    "ISTIOD_CUSTOM_HOST",
    "EXTERNAL_CA",
    "K8S_SIGNER",
    "CERT_SIGNER_DOMAIN",
    "CLUSTER_ID",
    "EXTERNAL_ISTIOD",
    "ISTIO_MULTIROOT_MESH",
    "ENABLE_CLUSTER_TRUST_BUNDLE_API",
    "PILOT_CA_CERT_CONFIGMAP",
    "PILOT_CRL_CONFIGMAP",
    "PILOT_ENABLE_CA_CRL",
    "PILOT_SKIP_VALIDATE_TRUST_DOMAIN",
    "PILOT_REMOTE_CLUSTER_TIMEOUT",
    "ISTIO_WATCH_NAMESPACE",
    "COMPLIANCE_POLICY",
    "GRPC_KEEPALIVE_INTERVAL",
    "GRPC_KEEPALIVE_TIMEOUT",
    "ISTIO_GPRC_MAXSTREAMS",
    "ISTIO_GPRC_MAXRECVMSGSIZE",
    "JWT_RULE",
    "POD_NAMESPACE",
    "POD_NAME",
    "REVISION",
    "AUTO_RELOAD_PLUGIN_CERTS",
    "REQUIRE_3P_TOKEN",
    "SPIFFE_BUNDLE_ENDPOINTS",
];

/// What istiod takes where nobody sets the name.
const ISTIODS_DEFAULTS: &[(&str, &str)] = &[
    ("ENABLE_CA_SERVER", "true"),
    ("USE_REMOTE_CERTS", "false"),
    ("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", "1h0m0s"),
    ("CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR", "true"),
    ("XDS_AUTH", "true"),
    ("XDS_AUTH_PLAINTEXT", "false"),
    ("PILOT_CERT_PROVIDER", "istiod"),
    ("EXTERNAL_ISTIOD", "false"),
    ("ISTIO_MULTIROOT_MESH", "false"),
    ("GRPC_KEEPALIVE_INTERVAL", "30s"),
    ("GRPC_KEEPALIVE_TIMEOUT", "10s"),
];

#[test]
fn every_name_is_a_setting_or_told_about_and_none_is_both() {
    let settings: BTreeSet<_> = SETTINGS.iter().filter_map(|setting| setting.environment).collect();
    let foreign: BTreeSet<_> = ISTIO.iter().map(|foreign| foreign.name).collect();
    assert_eq!(foreign.len(), ISTIO.len(), "no name stands there twice");
    assert_eq!(settings.intersection(&foreign).count(), 0);
    for name in KNOWN_TO_ISTIOD {
        assert!(settings.contains(name) || foreign.contains(name), "{name}");
    }
    for name in &foreign {
        assert!(KNOWN_TO_ISTIOD.contains(name), "{name} is no name of istiod's");
    }
}

#[test]
fn istiods_defaults_written_out_change_nothing_and_need_no_word() {
    for (name, value) in ISTIODS_DEFAULTS {
        let foreign = ISTIO.iter().find(|foreign| foreign.name == *name).unwrap();
        assert_eq!((foreign.hear)(value), Heard::Agreed, "{name}");
    }
}

#[test]
fn what_would_change_who_gets_what_is_refused_with_the_reason() {
    let check = |name: &str, value: &str, wanted: &str| {
        let told = problems(LEAST, &[], &[(name, value)]);
        assert_eq!(told, [format!("environment {name}: `{value}`: {wanted}")]);
    };
    check("ENABLE_CA_SERVER", "false", "this program is a CA server");
    check(
        "TRUSTED_GATEWAY_CIDR",
        "10.0.0.0/8",
        "an address proves nobody's identity; callers behind a gateway bring \
                                                 their own tokens",
    );
    check("XDS_AUTH", "false", "callers are always authenticated");
    check("XDS_AUTH_PLAINTEXT", "true", "callers are served over TLS only");
    check("EXTERNAL_CA", "ISTIOD_RA_KUBERNETES_API", "certificates are signed here and by nobody else");
    check("COMPLIANCE_POLICY", "fips-140-2", "cryptography cannot be bounded by a policy here");
    check("REQUIRE_3P_TOKEN", "false", "tokens must name an audience");
}

#[test]
fn an_interval_of_nothing_turns_rotation_off_as_it_does_in_istiod() {
    let automatic =
        |value: &str| good("", &[], &[("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", value)]).rotation.automatic;
    assert_eq!(["1h", "10m0s", "0s", "0", "-1s"].map(automatic), [true, true, false, false, false]);
}

#[test]
fn the_revision_is_named_in_istiods_certificate_which_needs_an_api_server() {
    let names = |revision: &str| {
        let flags = ["--istiod-tls-secret", "istiod-tls", "--kubernetes-server", "http://127.0.0.1:1"];
        let config = good("", &flags, &[("REVISION", revision), ("POD_NAMESPACE", "mesh")]);
        let istiod = config.kubernetes.unwrap().istiod_tls.unwrap();
        assert_eq!((istiod.namespace.as_str(), istiod.ttl), ("mesh", config.serving.ttl));
        istiod.names.len()
    };
    assert_eq!(["default", "canary", "canary,1-27"].map(names), [3, 4, 5]);
    let told = problems(LEAST, &["--istiod-tls-secret", "istiod-tls"], &[]);
    assert!(told.concat().contains("needs an API server"), "{told:?}");
}

#[test]
fn what_is_passed_over_is_told() {
    let command = DAEMON.command().try_get_matches_from(["signet-ca", "check-config"]).unwrap();
    let check = command.subcommand_matches("check-config").unwrap();
    let layers = DAEMON.layers(check, |name| match name {
        "CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE" => Some("4096".to_owned()),
        "PILOT_ENABLE_CA_CRL" => Some("true".to_owned()),
        "ISTIO_MULTIROOT_MESH" => Some("true".to_owned()),
        _ => None,
    });
    let ((), effective) = Reader::new(layers).finish(Some(())).unwrap();
    let told: Vec<_> = effective.remarks.iter().map(ToString::to_string).collect();
    let wanted = [
        "environment CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE: `4096`: roots that are made here have P-256 keys",
        "environment PILOT_ENABLE_CA_CRL: `true`: revocation lists are not distributed",
    ];
    assert_eq!(told, wanted);
}

/// Name and the word for what becomes of it, from the reference.
fn documented() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/signet-ca.md");
    let text = fs::read_to_string(path).unwrap();
    let section = text.split("\n## Istio's environment names\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    })
    .collect()
}

#[test]
fn the_reference_says_of_every_name_what_becomes_of_it() {
    let documented = documented();
    let known: BTreeSet<_> = ISTIO.iter().map(|foreign| foreign.name.to_owned()).collect();
    assert_eq!(documented.keys().cloned().collect::<BTreeSet<_>>(), known);
    for foreign in ISTIO {
        // Between them these ask for everything that a name can ask for.
        let heard = ["true", "false", "0", "other"].map(|value| (foreign.hear)(value));
        let worst = heard.iter().map(|heard| match heard {
            Heard::Agreed => "nothing to do",
            Heard::Means { .. } => "honoured",
            Heard::PassedOver(_) => "passed over",
            Heard::Refused(_) => "refused",
        });
        let worst = worst
            .max_by_key(|word| ["nothing to do", "passed over", "honoured", "refused"].iter().position(|w| w == word));
        assert_eq!(documented[foreign.name], worst.unwrap(), "{}", foreign.name);
    }
}
