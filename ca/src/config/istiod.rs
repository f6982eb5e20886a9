//! `istiod.*`: the istiod that this CA is beside.

use signet_identity::der::AltName;
use signet_runtime::Reader;

use super::kubernetes::{check_name, name};
use super::{KubernetesConfig, ServingConfig};
use crate::kubernetes::{IstiodTlsConfig, Policy};

/// istiod's services, as its own CA would put them into its certificate.
const SERVICES: [&str; 3] = ["istiod", "istiod-remote", "istio-pilot"];

/// The revision that has no name.
const DEFAULT: &str = "default";

/// What is known of istiod.
pub(super) struct Istiod {
    secret: Option<String>,
    namespace: String,
    revisions: Vec<String>,
}

/// Reads the section; istiod is in `namespace`, if nothing else is said.
pub(super) fn istiod(reader: &mut Reader, namespace: Option<&str>) -> Option<Istiod> {
    let secret: Option<String> = reader.optional("istiod.tls_secret");
    let namespace = name(reader, "istiod.namespace", namespace.unwrap_or("istio-system"));
    let revisions: Option<Vec<String>> = reader.or("istiod.revisions", "");
    if let Some(secret) = &secret {
        check_name(reader, "istiod.tls_secret", secret);
    }
    let is_named = |revision: &String| !revision.is_empty() && *revision != DEFAULT;
    let revisions: Vec<String> = revisions?.into_iter().filter(is_named).collect();
    for revision in &revisions {
        check_name(reader, "istiod.revisions", revision);
    }
    Some(Istiod { secret, namespace: namespace?, revisions })
}

impl Istiod {
    /// The Secret that is kept, as told to `kubernetes`; it names what `serving` names in addition.
    pub(super) fn tell(self, reader: &mut Reader, kubernetes: Option<&mut KubernetesConfig>, serving: &ServingConfig) {
        let Some(secret) = self.secret else { return };
        let Some(kubernetes) = kubernetes else {
            return reader.refuse("istiod.tls_secret", "needs an API server: set `kubernetes.server`, or run in a pod");
        };
        let revisions = self.revisions.iter().map(|revision| format!("istiod-{revision}"));
        let services = SERVICES.map(str::to_owned).into_iter().chain(revisions);
        let mut names: Vec<AltName> =
            services.map(|service| AltName::Dns(format!("{service}.{}.svc", self.namespace))).collect();
        for extra in &serving.extra {
            if !names.contains(extra) {
                names.push(extra.clone());
            }
        }
        // One Secret has one owner, however roots are shared.
        let policy = Policy { share: false, ..kubernetes.policy.clone() };
        kubernetes.istiod_tls =
            Some(IstiodTlsConfig { namespace: self.namespace, secret, names, ttl: serving.ttl, policy });
    }
}
