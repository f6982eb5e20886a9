//! The state that each recording was made in.

use serde_json::{Value, json};
use signet_kube_standin::{ApiServer, Objects, config_map, namespace, node, secret, service_account};

use crate::replay::recording;

/// A server with the world of the recordings: namespace `shop`, service account `web`, pods `web-1` and `web-2`.
pub(crate) struct Scene {
    pub(crate) server: ApiServer,
}

/// What the recording program called itself.
const RECORDER: &str = "unknown";

impl Scene {
    pub(crate) fn objects(&self) -> Objects {
        self.server.objects().acting_as(RECORDER)
    }

    pub(crate) fn populate(&self) {
        let objects = self.objects();
        for name in ["shop", "istio-system", "leaving"] {
            objects.create(&namespace(name));
        }
        objects.create(&service_account("shop", "web"));
        for name in ["node-1", "node-2"] {
            objects.create(&node(name));
        }
    }

    /// A pod exactly as the recording program made it.
    pub(crate) fn pod(&self, name: &str, node: &str) {
        let mut pod = recording("pod-create").request["body"].clone();
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["labels"]["app"] = json!(name);
        pod["spec"]["nodeName"] = json!(node);
        self.objects().create(&pod);
    }

    /// Makes what is there the same as when `name` was recorded, and puts into its request what is only known now.
    /// Gives the bearer token.
    pub(crate) fn set(&self, name: &str, request: &mut Value) -> Option<String> {
        self.populate();
        let administrator = || Some(self.server.administrator().to_owned());
        let web = || Some(self.server.api_token("shop", "web"));
        match name {
            "anonymous-tokenreview" | "oidc-jwks-forbidden" => None,
            "forbidden-list-pods" | "forbidden-tokenreview" | "clustertrustbundle-forbidden" => web(),
            "wrong-audience-bearer" => Some(self.server.token("shop", "web", None, "istio-ca", 3600)),
            _ => {
                self.set_objects(name, request);
                self.set_token(name, request);
                administrator()
            }
        }
    }

    fn set_objects(&self, name: &str, request: &mut Value) {
        let objects = self.objects();
        match name {
            "configmap-apply-same" => self.apply_roots(),
            "configmap-apply-conflict" | "configmap-apply-force" => {
                self.apply_roots();
                objects.edit("configmaps", "shop", "istio-ca-root-cert", |map| {
                    map["data"] = json!({ "root-cert.pem": "edited", "other": "kept" });
                });
            }
            "configmap-create-terminating" => objects.delete("namespaces", "", "leaving"),
            "lease-update" | "lease-update-conflict" => {
                let lease = objects.create(&recording("lease-create").request["body"]);
                request["body"]["metadata"] = lease["metadata"].clone();
                if name.ends_with("conflict") {
                    objects.edit("leases", "istio-system", "signet-ca", |lease| {
                        lease["spec"]["holderIdentity"] = json!("b");
                    });
                }
            }
            "secret-create-exists" => {
                objects.create(&secret("istio-system", "istio-ca-secret", "istio.io/ca-root", &[]));
            }
            "secret-update" | "secret-update-conflict" => {
                let secret = objects.create(&recording("secret-create").request["body"]);
                request["body"]["metadata"] = secret["metadata"].clone();
                if name.ends_with("conflict") {
                    objects.edit("secrets", "istio-system", "istio-ca-secret", |secret| {
                        secret["data"]["key.pem"] = json!("QQ==");
                    });
                }
            }
            "pods-list-expired-continue" | "watch-compacted" => self.server.compact(),
            "pods-list-field-selector" | "pods-list-limit" | "pods-watchlist" => {
                self.pod("web-1", "node-1");
                self.pod("web-2", "node-2");
            }
            "tokenrequest-bound" => {
                self.pod("web-1", "node-1");
                let pod = objects.get("pods", "shop", "web-1").unwrap();
                request["body"]["spec"]["boundObjectRef"]["uid"] = pod["metadata"]["uid"].clone();
            }
            _ => {}
        }
    }

    fn apply_roots(&self) {
        let recorded = recording("configmap-apply-create").request;
        let path = recorded["path"].as_str().unwrap();
        // The façade sends plain JSON, so the owner is made by hand: as if `signet-ca` had applied it.
        let mut map = config_map("shop", "istio-ca-root-cert", "root-cert.pem", "");
        map["data"] = recorded["body"]["data"].clone();
        map["metadata"]["labels"] = recorded["body"]["metadata"]["labels"].clone();
        self.server.objects().apply(path, &map);
    }

    fn set_token(&self, name: &str, request: &mut Value) {
        let Some(case) = name.strip_prefix("tokenreview-") else { return };
        let objects = self.objects();
        let bound = || self.server.token("shop", "web", Some("web-1"), "istio-ca", 3600);
        self.pod("web-1", "node-1");
        let token = match case {
            "garbage" | "empty" => return,
            "ok" | "no-audiences" => bound(),
            "bad-signature" => turned(&bound()),
            "wrong-audience" => self.server.token("shop", "web", Some("web-1"), "other", 3600),
            "unbound" => self.server.token("shop", "web", None, "istio-ca", 3600),
            "pod-deleted" | "pod-recreated" => {
                let token = bound();
                objects.kill_pod("shop", "web-1");
                if case == "pod-recreated" {
                    self.pod("web-1", "node-1");
                }
                token
            }
            "serviceaccount-deleted" => {
                objects.create(&service_account("shop", "gone"));
                let token = self.server.token("shop", "gone", None, "istio-ca", 3600);
                objects.delete("serviceaccounts", "shop", "gone");
                token
            }
            other => panic!("nobody said what `tokenreview-{other}` is about"),
        };
        request["body"]["spec"]["token"] = json!(token);
    }
}

/// The token with its signature altered.
fn turned(token: &str) -> String {
    let (head, signature) = token.rsplit_once('.').unwrap();
    let rest = signature.strip_prefix('A').map(|rest| format!("B{rest}"));
    let turned = rest.unwrap_or_else(|| format!("A{}", signature.chars().skip(1).collect::<String>()));
    format!("{head}.{turned}")
}
