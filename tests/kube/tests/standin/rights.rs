//! Rights come from roles and bindings, as RBAC has them.

use serde_json::json;
use signet_kube_standin::{ApiServer, namespace, secret, service_account};

use crate::client::{Client, plain};

const ROLES: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: reader }
rules:
  - { apiGroups: [""], resources: [pods], verbs: [list, watch] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: reader }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader }
subjects: [{ kind: ServiceAccount, namespace: istio-system, name: signet-ca }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: own, namespace: istio-system }
rules:
  - { apiGroups: [""], resources: [secrets], resourceNames: [istio-ca-secret], verbs: [get, patch] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: own, namespace: istio-system }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: own }
subjects: [{ kind: ServiceAccount, namespace: istio-system, name: signet-ca }]
"#;

#[tokio::test]
async fn a_service_account_may_do_what_is_bound_to_it_and_nothing_else() {
    let server = ApiServer::start(plain()).await;
    let objects = server.objects();
    objects.create(&namespace("istio-system"));
    objects.create(&service_account("istio-system", "signet-ca"));
    for name in ["istio-ca-secret", "other"] {
        objects.create(&secret("istio-system", name, "Opaque", &[]));
    }
    let client = Client::new(&server);
    let token = server.api_token("istio-system", "signet-ca");
    let get = async |path: &str| client.get(path, &token).await.status;
    assert_eq!(get("/api/v1/pods").await, 403);
    objects.apply_yaml(ROLES);

    assert_eq!(get("/api/v1/pods").await, 200);
    assert_eq!(get("/api/v1/nodes").await, 403);
    assert_eq!(get("/api/v1/namespaces/istio-system/secrets/istio-ca-secret").await, 200);
    assert_eq!(get("/api/v1/namespaces/istio-system/secrets/other").await, 403);
    assert_eq!(get("/api/v1/namespaces/istio-system/secrets").await, 403);
    assert_eq!(get("/openid/v1/jwks").await, 200, "every service account may read the issuer's keys");
    assert_eq!(client.get("/api/v1/pods", "no token at all").await.status, 401);
}

#[tokio::test]
async fn an_apply_that_creates_must_be_allowed_to_create() {
    let server = ApiServer::start(plain()).await;
    let objects = server.objects();
    objects.create(&namespace("istio-system"));
    objects.create(&service_account("istio-system", "signet-ca"));
    objects.apply_yaml(ROLES);
    let token = server.api_token("istio-system", "signet-ca");
    let path = "/api/v1/namespaces/istio-system/secrets/istio-ca-secret?fieldManager=signet-ca";
    let body = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "istio-ca-secret" } });
    let apply = async || {
        let client = Client::new(&server);
        client.send("PATCH", path, Some(&token), "application/apply-patch+yaml", &body).await.unwrap()
    };
    let refused = apply().await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("cannot create resource"), "{}", refused.text);
    objects.create(&secret("istio-system", "istio-ca-secret", "Opaque", &[]));
    assert_eq!(apply().await.status, 200);
}

#[tokio::test]
async fn bundles_of_a_signer_need_the_right_to_attest() {
    let server = ApiServer::start(plain()).await;
    server.objects().create(&namespace("istio-system"));
    server.objects().create(&service_account("istio-system", "signet-ca"));
    let role = |attest: &str| {
        format!(
            r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{ name: bundles }}
rules:
  - {{ apiGroups: [certificates.k8s.io], resources: [clustertrustbundles], verbs: [create] }}
  - {{ apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: ["{attest}"], verbs: [attest] }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{ name: bundles }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: bundles }}
subjects: [{{ kind: ServiceAccount, namespace: istio-system, name: signet-ca }}]
"#
        )
    };
    let body = &crate::replay::recording("clustertrustbundle-apply").request["body"];
    let token = server.api_token("istio-system", "signet-ca");
    for (attest, status) in [("other.io/x", 403), ("istio.io/*", 201)] {
        server.objects().apply_yaml(&role(attest));
        let path = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles";
        let answer = Client::new(&server).send("POST", path, Some(&token), "application/json", body).await.unwrap();
        assert_eq!(answer.status, status, "{attest}: {}", answer.text);
    }
}
