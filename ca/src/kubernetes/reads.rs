//! Single objects, read from the API server when a view does not have them.

use kube::core::params::{GetParams, ListParams};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::live::{Answer, LiveError, LiveObjects};
use super::watches::{Account, Pod};
use super::{AccountObject, PodObject};
use signet_kubernetes::{ApiClient, ApiError, Collection, encode, parse, selector_value};

const CORE: &str = "api/v1";

/// Most pods of one service account on one node that are read; a kubelet runs fewer.
const PODS_MAX: u32 = 500;
const PODS_MAX_BYTES: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
struct Pods {
    #[serde(default)]
    items: Vec<Pod>,
}

impl LiveObjects for ApiClient {
    fn pod<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<PodObject>> {
        Box::pin(async move { Ok(one::<Pod>(self, namespace, "pods", name).await?.map(PodObject::from)) })
    }

    fn account<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<AccountObject>> {
        Box::pin(
            async move { Ok(one::<Account>(self, namespace, "serviceaccounts", name).await?.map(AccountObject::from)) },
        )
    }

    fn pods_at<'a>(
        &'a self,
        node: &'a str,
        namespace: &'a str,
        service_account: &'a str,
    ) -> Answer<'a, Vec<PodObject>> {
        Box::pin(async move {
            let (node, account) = (selector_value(node), selector_value(service_account));
            let selector = format!("spec.nodeName={node},spec.serviceAccountName={account}");
            let params = ListParams::default().fields(&selector).limit(PODS_MAX);
            let request = Collection::within(CORE, namespace, "pods").request().list(&params);
            let pods: Pods = parse(&self.send(request, PODS_MAX_BYTES).await?)?;
            Ok(pods.items.into_iter().map(PodObject::from).collect())
        })
    }
}

async fn one<T: DeserializeOwned>(
    client: &ApiClient,
    namespace: &str,
    plural: &str,
    name: &str,
) -> Result<Option<T>, ApiError> {
    let request = Collection::within(CORE, namespace, plural).request().get(&encode(name), &GetParams::default());
    match client.read(request).await {
        Err(error) if error.is("NotFound") => Ok(None),
        read => read.map(Some),
    }
}

impl From<ApiError> for LiveError {
    fn from(error: ApiError) -> Self {
        Self::NoAnswer { reason: error.to_string() }
    }
}
