//! Environment names of istiod's CA that are no settings here, and what becomes of each. Those that are settings stand in
//! `settings`. The table in `docs/reference/signet-ca.md` says the same, which a test sees to.
//!
//! Refused is what would change who gets which certificate, or where keys are; passed over, with a word, what would only
//! be more or less convenient.

use signet_runtime::config::{Foreign, Heard};

use Heard::{Agreed, Means, PassedOver, Refused};

const NO_OTHER_SIGNER: Heard = PassedOver("matters only where another authority signs");
const NO_REVOCATION_LISTS: Heard = PassedOver("revocation lists are not distributed");

/// All of them.
pub const ISTIO: &[Foreign] = &[
    named("ENABLE_CA_SERVER", |value| if is_true(value) { Agreed } else { Refused("this program is a CA server") }),
    named("USE_REMOTE_CERTS", |value| {
        unless(is_true(value), Refused("a plugged-in authority is not fetched from a cluster; mount its files"))
    }),
    named("CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE", |_| PassedOver("roots that are made here have P-256 keys")),
    named("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", |value| match is_positive(value) {
        true => Agreed,
        false => Means { key: "authority.rotation.automatic", value: "false" },
    }),
    named("CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR", |_| Agreed),
    named("TRUSTED_GATEWAY_CIDR", |_| {
        Refused("an address proves nobody's identity; callers behind a gateway bring their own tokens")
    }),
    named("XDS_AUTH", |value| unless(!is_true(value), Refused("callers are always authenticated"))),
    named("XDS_AUTH_PLAINTEXT", |value| unless(is_true(value), Refused("callers are served over TLS only"))),
    named("PILOT_CERT_PROVIDER", |value| {
        unless(value != "istiod", Refused("the serving certificate is issued by this authority itself"))
    }),
    named("EXTERNAL_CA", |_| Refused("certificates are signed here and by nobody else")),
    named("K8S_SIGNER", |_| NO_OTHER_SIGNER),
    named("CERT_SIGNER_DOMAIN", |_| NO_OTHER_SIGNER),
    named("EXTERNAL_ISTIOD", |value| unless(is_true(value), PassedOver("other clusters are those in `[[clusters]]`"))),
    named("ISTIO_MULTIROOT_MESH", |_| Agreed),
    named("PILOT_CRL_CONFIGMAP", |_| NO_REVOCATION_LISTS),
    named("PILOT_ENABLE_CA_CRL", |value| unless(is_true(value), NO_REVOCATION_LISTS)),
    named("PILOT_SKIP_VALIDATE_TRUST_DOMAIN", |_| PassedOver("is about proxies, which no CA looks at")),
    named("PILOT_REMOTE_CLUSTER_TIMEOUT", |_| PassedOver("the start waits for no cluster")),
    named("ISTIO_WATCH_NAMESPACE", |_| {
        Refused("a cluster is watched as a whole; `tokens.namespaces` bounds whom it may vouch for")
    }),
    named("COMPLIANCE_POLICY", |_| Refused("cryptography cannot be bounded by a policy here")),
    named("GRPC_KEEPALIVE_INTERVAL", |value| unless(value != "30s", PassedOver("connections are probed every 30s"))),
    named("GRPC_KEEPALIVE_TIMEOUT", |value| unless(value != "10s", PassedOver("a probe is answered within 10s"))),
    named("ISTIO_GPRC_MAXSTREAMS", |_| PassedOver("a connection has 128 requests open at most")),
    named("ISTIO_GPRC_MAXRECVMSGSIZE", |_| PassedOver("a request has 64 KiB at most")),
    named("AUTO_RELOAD_PLUGIN_CERTS", |value| {
        unless(!is_true(value), PassedOver("files of a plugged-in authority are always followed"))
    }),
    named("REQUIRE_3P_TOKEN", |value| unless(!is_true(value), Refused("tokens must name an audience"))),
    named("SPIFFE_BUNDLE_ENDPOINTS", |_| PassedOver("other trust domains are those in `[[federation.domains]]`")),
];

const fn named(name: &'static str, hear: fn(&str) -> Heard) -> Foreign {
    Foreign { name, hear }
}

fn unless(asks_for_more: bool, heard: Heard) -> Heard {
    if asks_for_more { heard } else { Agreed }
}

/// As Go reads booleans, in which these names are written.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// Whether a duration, as Go writes them, is more than nothing.
fn is_positive(duration: &str) -> bool {
    !duration.starts_with('-') && duration.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}
