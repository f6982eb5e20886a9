//! The headers and metadata keys of a request, read as Istio's clients send them.

use std::collections::BTreeMap;

use prost_types::Struct;
use prost_types::value::Kind;
use signet_proto::istio_ca::IstioCertificateRequest;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::lab::{Lab, Setup, any_csr, bare_request, request};

async fn code_with(lab: &Lab, headers: &[(&'static str, String)]) -> Code {
    let mut request = bare_request(&any_csr(), 60);
    for (name, value) in headers {
        request.metadata_mut().append(*name, value.parse::<MetadataValue<_>>().unwrap());
    }
    lab.send(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn the_first_bearer_value_wins_and_the_word_is_case_sensitive() {
    let lab = Lab::start().await;
    let (good, bad) = (format!("Bearer {}", lab.token()), "Bearer x.y.z".to_owned());
    let authorization = |values: &[&str]| values.iter().map(|v| ("authorization", (*v).to_owned())).collect::<Vec<_>>();
    assert_eq!(code_with(&lab, &authorization(&[&good])).await, Code::Ok);
    assert_eq!(code_with(&lab, &authorization(&["Basic abc", &good, &bad])).await, Code::Ok);
    assert_eq!(code_with(&lab, &authorization(&[&bad, &good])).await, Code::Unauthenticated);
    let lower = good.replace("Bearer", "bearer");
    assert_eq!(code_with(&lab, &authorization(&[&lower])).await, Code::Unauthenticated);
    let istio = good.replace("Bearer", "Istio");
    assert_eq!(code_with(&lab, &authorization(&[&istio])).await, Code::Unauthenticated);
    let spaces = good.replace("Bearer ", "Bearer  ");
    assert_eq!(code_with(&lab, &authorization(&[&spaces])).await, Code::Unauthenticated);
}

#[tokio::test]
async fn a_cluster_is_named_by_exactly_one_value() {
    let lab = Setup::new().with("cluster_id", "'home'").start().await;
    let bearer = ("authorization", format!("Bearer {}", lab.token()));
    let clusters = |names: &[&str]| {
        let named = names.iter().map(|name| ("clusterid", (*name).to_owned()));
        std::iter::once(bearer.clone()).chain(named).collect::<Vec<_>>()
    };
    assert_eq!(code_with(&lab, &clusters(&[])).await, Code::Ok);
    assert_eq!(code_with(&lab, &clusters(&["home"])).await, Code::Ok);
    assert_eq!(code_with(&lab, &clusters(&[""])).await, Code::Ok);
    assert_eq!(code_with(&lab, &clusters(&["away"])).await, Code::Unauthenticated);
    assert_eq!(code_with(&lab, &clusters(&["away", "home"])).await, Code::Ok);
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"cluster_unknown\"}").await, 1);
}

fn with_metadata(lab: &Lab, key: &str, value: Kind) -> Request<IstioCertificateRequest> {
    let mut request = request(&lab.token(), &any_csr(), 60);
    let value = prost_types::Value { kind: Some(value) };
    request.get_mut().metadata = Some(Struct { fields: BTreeMap::from([(key.to_owned(), value)]) });
    request
}

/// The request of somebody who wants to be somebody else.
pub(crate) fn impersonating(
    mut request: Request<IstioCertificateRequest>,
    wanted: &str,
) -> Request<IstioCertificateRequest> {
    let value = prost_types::Value { kind: Some(Kind::StringValue(wanted.to_owned())) };
    let fields = BTreeMap::from([("ImpersonatedIdentity".to_owned(), value)]);
    request.get_mut().metadata = Some(Struct { fields });
    request
}

#[tokio::test]
async fn nobody_may_be_somebody_else() {
    let lab = Lab::start().await;
    for wanted in ["spiffe://cluster.local/ns/shop/sa/orders", "spiffe://cluster.local/ns/shop/sa/web", "x"] {
        let request = with_metadata(&lab, "ImpersonatedIdentity", Kind::StringValue(wanted.to_owned()));
        let status = lab.send(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.message(), "request impersonation authentication failure");
    }
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"impersonation\"}").await, 3);
    assert_eq!(lab.metric("citadel_server_authentication_failure_count").await, 3);
}

#[tokio::test]
async fn metadata_that_says_nothing_changes_nothing() {
    let lab = Lab::start().await;
    let text = |text: &str| Kind::StringValue(text.to_owned());
    for (key, value) in [
        ("ImpersonatedIdentity", text("")),
        ("ImpersonatedIdentity", Kind::NumberValue(1.0)),
        ("CertSigner", text("")),
        ("CertSigner", text("vault")),
        ("WorkloadName", text("web")),
    ] {
        let answer = lab.send(with_metadata(&lab, key, value)).await.expect(key).into_inner();
        assert_eq!(answer.cert_chain.len(), 2, "{key}");
    }
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let lab = Lab::start().await;
    let id =
        |metadata: &tonic::metadata::MetadataMap| metadata.get("x-request-id").unwrap().to_str().unwrap().to_owned();
    let good = lab.send(request(&lab.token(), &any_csr(), 60)).await.unwrap();
    let bad = lab.send(bare_request("", 60)).await.unwrap_err();
    assert_ne!(id(good.metadata()), id(bad.metadata()));
}
