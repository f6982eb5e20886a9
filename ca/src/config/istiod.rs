//! `istiod.*`: the istiod that this CA is beside.

use std::collections::BTreeSet;

use signet_identity::TrustDomain;
use signet_identity::der::AltName;
use signet_runtime::Reader;

use super::kubernetes::{NEEDS_API_SERVER, check_name, name};
use super::{CallersConfig, FederationConfig, KubernetesConfig, ServingConfig};
use crate::kubernetes::{IstiodTlsConfig, MeshConfigPlace, Policy};

/// istiod's services, as its own CA would put them into its certificate.
const SERVICES: [&str; 3] = ["istiod", "istiod-remote", "istio-pilot"];

/// Its mesh config's ConfigMap, and what an operator writes who wants none watched.
const MESH_CONFIG: &str = "istio";
const NONE: &str = "none";

const FOLLOW: &str = "istiod.follow_trust_domain";

/// The revision that has no name.
const DEFAULT: &str = "default";

/// What is known of istiod.
pub(super) struct Istiod {
    secret: Option<String>,
    mesh_config: Option<String>,
    follows: bool,
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
    let follows: Option<bool> = reader.or(FOLLOW, "false");
    if let Some(mesh_config) = &mesh_config {
        check_name(reader, "istiod.mesh_config", mesh_config);
    }
    Some(Istiod { secret, mesh_config, follows: follows?, namespace: namespace?, revisions })
}

impl Istiod {
    /// Whether identities are to be granted where the mesh has them: refused where tokens are minted or a bundle is
    /// published, which are for one trust domain. Gives the trust domains that others speak for.
    pub(super) fn follow(
        &self,
        reader: &mut Reader,
        callers: &CallersConfig,
        federation: &FederationConfig,
        mints: bool,
    ) -> Option<BTreeSet<TrustDomain>> {
        if !self.follows {
            return None;
        }
        if mints || federation.endpoint.is_some() {
            reader.refuse(
                FOLLOW,
                "goes with neither `jwt.enabled` nor `federation.listen`, which are for one trust domain",
            );
        }
        if self.mesh_config.is_none() {
            reader.refuse(FOLLOW, "needs `istiod.mesh_config`");
        }
        let clusters = callers.others.iter().map(|cluster| &cluster.rules.trust_domain);
        let outside = callers.oidc.iter().map(|oidc| &oidc.rules.trust_domain);
        let peers = federation.peers.iter().map(|peer| &peer.trust_domain);
        Some(clusters.chain(outside).chain(peers).cloned().collect())
    }

    /// Tells `kubernetes` what is kept and watched, and whether that is followed; istiod's certificate names what
    /// `serving` names in addition.
    pub(super) fn tell(
        self,
        reader: &mut Reader,
        kubernetes: Option<&mut KubernetesConfig>,
        serving: &ServingConfig,
        follow: Option<BTreeSet<TrustDomain>>,
    ) {
        let Some(kubernetes) = kubernetes else {
            if follow.is_some() {
                reader.refuse(FOLLOW, NEEDS_API_SERVER);
            }
            if self.secret.is_some() {
                reader.refuse("istiod.tls_secret", NEEDS_API_SERVER);
            }
            return;
        };
        let namespace = self.namespace.clone();
        kubernetes.mesh_config = self.mesh_config.map(|name| MeshConfigPlace { namespace, name, follow });
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
