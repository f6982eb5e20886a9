//! Answers that a real API server gave, judged; and answers that one never gives.

use serde_json::{Value, json};

use super::*;

/// The status of one recorded exchange, and the audiences that were asked for.
fn recorded(file: &str) -> (Value, Vec<String>) {
    let path = format!("{}/tests/fixtures/kube-apiserver/{file}", env!("CARGO_MANIFEST_DIR"));
    let exchange: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let asked = serde_json::from_value(exchange["request"]["body"]["spec"]["audiences"].clone()).unwrap_or_default();
    (exchange["response"]["body"].clone(), asked)
}

fn judge(body: &Value, asked: &[String]) -> Result<ReviewedUser, ReviewError> {
    Ok(ReviewStatus::from_json(body.to_string().as_bytes())?.judge(asked)?)
}

/// The recorded good answer, changed.
fn judge_changed(change: impl FnOnce(&mut Value)) -> Result<ReviewedUser, ReviewError> {
    let (mut body, asked) = recorded("tokenreview-ok.json");
    change(&mut body["status"]);
    judge(&body, &asked)
}

#[test]
fn a_good_answer_names_the_service_account_and_what_its_token_is_bound_to() {
    let user = judge_changed(|_| {}).unwrap();
    assert_eq!(user.workload.to_string(), "shop/web");
    assert_eq!(user.service_account_uid, "839c09e6-de57-4fda-9be2-917e424f27c2");
    assert_eq!(user.pod.unwrap(), ObjectRefs::POD.get());
    assert_eq!(user.node.unwrap(), ObjectRefs::NODE.get());
    assert_eq!(user.token_id.unwrap().to_string(), "5a844122-42e4-4d64-a0ed-e1f5be10e117");

    let (body, asked) = recorded("tokenreview-unbound.json");
    let user = judge(&body, &asked).unwrap();
    assert_eq!((user.workload.to_string().as_str(), user.pod, user.node), ("shop/web", None, None));
}

struct ObjectRefs(&'static str, &'static str);

impl ObjectRefs {
    const POD: Self = Self("web-1", "2b1d3708-1345-435f-ac48-7830b3bd5646");
    const NODE: Self = Self("node-1", "315b2dd7-eec6-4396-b60d-77ea9a5d1a31");

    fn get(self) -> crate::authenticate::ObjectRef {
        crate::authenticate::ObjectRef { name: self.0.to_owned(), uid: self.1.to_owned() }
    }
}

#[test]
fn every_recorded_refusal_is_final() {
    for file in [
        "tokenreview-bad-signature.json",
        "tokenreview-garbage.json",
        "tokenreview-no-audiences.json",
        "tokenreview-pod-deleted.json",
        "tokenreview-pod-recreated.json",
        "tokenreview-serviceaccount-deleted.json",
        "tokenreview-wrong-audience.json",
    ] {
        let (body, asked) = recorded(file);
        let error = judge(&body, &asked).unwrap_err();
        assert_eq!((error.reason(), error.is_undecided()), ("review_refused", false), "{file}: {error}");
    }
}

#[test]
fn an_error_of_the_api_server_is_no_answer() {
    let (body, asked) = recorded("tokenreview-empty.json");
    let error = judge(&body, &asked).unwrap_err();
    assert_eq!((error.reason(), error.is_undecided()), ("review_no_answer", true));
}

#[track_caller]
fn check(change: impl FnOnce(&mut Value), reason: &str, is_undecided: bool) {
    let error = judge_changed(change).unwrap_err();
    assert_eq!((error.reason(), error.is_undecided()), (reason, is_undecided), "{error}");
}

#[test]
fn an_audience_that_was_not_asked_for_or_not_repeated_counts_for_nothing() {
    check(|s| s["audiences"] = Value::Null, "review_no_answer", true);
    check(|s| s["audiences"] = json!([]), "review_audience", false);
    check(|s| s["audiences"] = json!(["vault"]), "review_audience", false);
    assert!(judge_changed(|s| s["audiences"] = json!(["vault", "istio-ca"])).is_ok());
}

#[test]
fn what_is_not_authenticated_without_doubt_is_not_accepted() {
    check(|s| s["authenticated"] = json!(false), "review_refused", false);
    check(|s| s["authenticated"] = json!("true"), "review_no_answer", true);
    check(|s| s["error"] = json!("etcdserver: request timed out"), "review_error", true);
    check(|s| s["error"] = json!("[invalid bearer token, x]"), "review_refused", false);
}

#[test]
fn a_user_that_is_no_service_account_is_refused() {
    for name in [
        "alice",
        "system:node:web",
        "system:serviceaccount:shop",
        "system:serviceaccount:shop:web:x",
        "serviceaccount:system:shop:web",
        "system:serviceaccounts:shop:web",
    ] {
        check(|s| s["user"]["username"] = json!(name), "review_user", false);
    }
    check(|s| s["user"]["username"] = json!("system:serviceaccount:Shop:web"), "review_malformed", true);
    check(|s| s["user"]["username"] = json!("system:serviceaccount:shop:a/b"), "review_malformed", true);
    check(|s| s["user"]["username"] = json!("system:serviceaccount:bank:web"), "review_user", false);
    check(|s| s["user"]["groups"] = json!(["system:authenticated"]), "review_user", false);
    check(|s| s["user"]["groups"] = json!(["system:serviceaccounts"]), "review_user", false);
}

#[test]
fn extras_are_one_value_each_and_whole() {
    const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
    const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
    const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
    const NODE_UID: &str = "authentication.kubernetes.io/node-uid";
    let drop = |s: &mut Value, key: &str| s["user"]["extra"].as_object_mut().unwrap().remove(key);
    check(|s| drop(s, POD_NAME).map_or((), drop_value), "review_malformed", true);
    check(|s| drop(s, POD_UID).map_or((), drop_value), "review_malformed", true);
    check(|s| drop(s, NODE_NAME).map_or((), drop_value), "review_malformed", true);
    check(|s| s["user"]["extra"][POD_NAME] = json!(["web-1", "web-2"]), "review_malformed", true);
    check(|s| s["user"]["extra"][POD_NAME] = json!([]), "review_malformed", true);
    check(|s| s["user"]["extra"][POD_NAME] = json!(["Web\n"]), "review_malformed", true);
    check(|s| s["user"]["uid"] = json!(""), "review_malformed", true);
    let user = judge_changed(|s| drop(s, NODE_UID).map_or((), drop_value)).unwrap();
    assert_eq!(user.node.unwrap().uid, "", "a node may lack its UID");
}

fn drop_value(_: Value) {}

proptest::proptest! {
    #[test]
    fn no_body_makes_the_judge_panic(body in ".{0,200}", error in ".{0,600}") {
        let _ = ReviewStatus::from_json(body.as_bytes());
        let refused = judge_changed(|s| s["error"] = json!(error));
        proptest::prop_assert!(refused.is_ok() == error.is_empty());
    }
}
