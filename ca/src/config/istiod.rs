//! `istiod.*`: the istiod that this CA is beside.

use signet_identity::der::AltName;
use signet_runtime::Reader;

use super::kubernetes::{check_name, name};
use super::{KubernetesConfig, ServingConfig};
use crate::kubernetes::{IstiodTlsConfig, MeshConfigPlace, Policy};

/// istiod's services, as its own CA would put them into its certificate.
const SERVICES: [&str; 3] = ["istiod", "istiod-remote", "istio-pilot"];

/// Its mesh config's ConfigMap, and what an operator writes who wants none watched.
const MESH_CONFIG: &str = "istio";
const NONE: &str = "none";

/// The revision that has no name.
const DEFAULT: &str = "default";

/// What is known of istiod.
pub(super) struct Istiod {
    secret: Option<String>,
    mesh_config: Option<String>,
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
    let default = match revisions.as_slice() {
        [revision] => format!("{MESH_CONFIG}-{revision}"),
        _ => MESH_CONFIG.to_owned(),
    };
    let mesh_config: String = reader.or("istiod.mesh_config", &default)?;
    let mesh_config = (mesh_config != NONE).then_some(mesh_config);
    if let Some(mesh_config) = &mesh_config {
        check_name(reader, "istiod.mesh_config", mesh_config);
    }
    Some(Istiod { secret, mesh_config, namespace: namespace?, revisions })
}

impl Istiod {
    /// Tells `kubernetes` what is kept and watched; istiod's certificate names what `serving` names in addition.
    pub(super) fn tell(self, reader: &mut Reader, kubernetes: Option<&mut KubernetesConfig>, serving: &ServingConfig) {
        let Some(kubernetes) = kubernetes else {
            if self.secret.is_some() {
                reader.refuse("istiod.tls_secret", "needs an API server: set `kubernetes.server`, or run in a pod");
            }
            return;
        };
        let namespace = self.namespace.clone();
        kubernetes.mesh_config = self.mesh_config.map(|name| MeshConfigPlace { namespace, name });
        let Some(secret) = self.secret else { return };
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
