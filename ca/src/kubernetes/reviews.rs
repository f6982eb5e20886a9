//! TokenReviews on the wire. The token goes to the API server and nowhere else: no error and no log line has it.

use kube::core::params::PostParams;
use serde::Serialize;
use signet_kubernetes::{ApiClient, Collection};

use crate::authenticate::{ReviewCall, ReviewCallError, ReviewStatus, TokenReviews};

const AUTHENTICATION: &str = "apis/authentication.k8s.io/v1";

/// Largest answer: the token again, and who it belongs to.
const REVIEW_MAX_BYTES: usize = 256 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    audiences: &'a [String],
}

impl TokenReviews for ApiClient {
    fn create<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> ReviewCall<'a> {
        Box::pin(async move {
            let review = Review {
                api_version: "authentication.k8s.io/v1",
                kind: "TokenReview",
                spec: Spec { token, audiences },
            };
            let no_answer = |reason: String| ReviewCallError::NoAnswer { reason };
            let body = serde_json::to_vec(&review).map_err(|error| no_answer(error.to_string()))?;
            let reviews = Collection::all(AUTHENTICATION, "tokenreviews");
            let sent = self.send(reviews.request().create(&PostParams::default(), body), REVIEW_MAX_BYTES).await;
            // An API server quotes what it was asked for in some of its refusals.
            let hide = |reason: String| if reason.contains(token) { "refused".to_owned() } else { reason };
            ReviewStatus::from_json(&sent.map_err(|error| no_answer(hide(error.to_string())))?)
        })
    }
}
