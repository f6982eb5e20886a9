//! TokenReview and TokenRequest: service-account tokens as the API server judges and makes them.

use std::time::Duration;

use serde_json::{Value, json};
use signet_identity::{JwkSet, JwsError, Timestamp, UnverifiedJws};
use signet_testkit::TokenIssuer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::API_AUDIENCE;
use crate::call::Call;
use crate::fields::{self, Manager};
use crate::kinds::{Kind, NODE, POD, SERVICE_ACCOUNT, TOKEN_REQUEST, TOKEN_REVIEW, Target};
use crate::status::Failure;
use crate::store::{Key, Store};
use crate::write::uid;

/// How long what was deleted still counts, and how far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(60);
const TOKEN_SECS_MIN: i64 = 600;
const TOKEN_SECS_DEFAULT: i64 = 3600;

/// What is needed to judge tokens.
pub(crate) struct Judge<'a> {
    pub(crate) store: &'a Store,
    pub(crate) issuers: &'a [TokenIssuer],
    pub(crate) now: Timestamp,
}

/// A token that was accepted.
pub(crate) struct Accepted {
    pub(crate) user: Value,
    pub(crate) audiences: Vec<String>,
}

impl Judge<'_> {
    /// The words of the refusal are the server's.
    pub(crate) fn judge(&self, token: &str, asked: &[String]) -> Result<Accepted, String> {
        let invalid = || "invalid bearer token".to_owned();
        let because = |why: String| format!("[invalid bearer token, {why}]");
        let token = UnverifiedJws::parse(token).map_err(|_| invalid())?;
        let read = |payload: Vec<u8>| serde_json::from_slice::<Value>(&payload).map_err(|_| invalid());
        let claims = read(token.unproven_payload().map_err(|_| invalid())?)?;
        let issuer = self.issuers.first().map(TokenIssuer::issuer);
        if claims["iss"].as_str() != issuer {
            return Err(invalid());
        }
        token.verify(&self.keys()).map_err(|error| match error {
            JwsError::UnknownKey | JwsError::Signature => {
                because("go-jose/go-jose: error in cryptographic primitive".to_owned())
            }
            _ => invalid(),
        })?;
        let own = [API_AUDIENCE.to_owned()];
        let wanted = if asked.is_empty() { own.as_slice() } else { asked };
        let meant_for = strings(&claims["aud"]);
        let audiences: Vec<String> = wanted.iter().filter(|one| meant_for.contains(one)).cloned().collect();
        if audiences.is_empty() {
            let why = format!(
                "token audiences {} is invalid for the target audiences {}",
                quoted(&meant_for),
                quoted(wanted)
            );
            return Err(because(why));
        }
        self.check_life(&claims).map_err(because)?;
        Ok(Accepted { user: user(&claims), audiences })
    }

    fn check_life(&self, claims: &Value) -> Result<(), String> {
        let at = |claim: &str| claims[claim].as_i64().map(Timestamp::from_unix_secs);
        if at("exp").is_some_and(|end| self.now.minus(LEEWAY) > end) {
            return Err("service account token has expired".to_owned());
        }
        if at("nbf").is_some_and(|start| self.now.plus(LEEWAY) < start) {
            return Err("service account token is not valid yet".to_owned());
        }
        if at("iat").is_some_and(|issued| self.now.plus(LEEWAY) < issued) {
            return Err("service account token is issued in the future".to_owned());
        }
        let own = &claims["kubernetes.io"];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (word(&own["namespace"]), word(&own["serviceaccount"]["name"]));
        let invalidated = || "service account token has been invalidated".to_owned();

        let account = self.store.get(&Key::new(&SERVICE_ACCOUNT, &namespace, &name));
        let account = account.ok_or_else(|| format!("serviceaccounts {name:?} not found"))?;
        if self.is_gone(account) {
            return Err(invalidated());
        }
        let (found, claimed) = (word(&account["metadata"]["uid"]), word(&own["serviceaccount"]["uid"]));
        if found != claimed {
            return Err(format!("service account UID ({found}) does not match claim ({claimed})"));
        }
        if let Some(name) = own["pod"]["name"].as_str() {
            let pod = self.store.get(&Key::new(&POD, &namespace, name));
            let pod = pod.filter(|pod| !self.is_gone(pod)).ok_or_else(invalidated)?;
            let (found, claimed) = (word(&pod["metadata"]["uid"]), word(&own["pod"]["uid"]));
            if found != claimed {
                return Err(format!("pod UID ({found}) does not match service account pod ref claim ({claimed})"));
            }
        }
        Ok(())
    }

    /// Whether it was marked for deletion longer ago than the leeway.
    fn is_gone(&self, object: &Value) -> bool {
        let marked = object["metadata"]["deletionTimestamp"].as_str();
        let at = marked.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        at.is_some_and(|at| Timestamp::from_unix_secs(at.unix_timestamp()) < self.now.minus(LEEWAY))
    }

    fn keys(&self) -> JwkSet {
        let keys: Vec<Value> = self.issuers.iter().map(TokenIssuer::jwk).collect();
        JwkSet::from_json(json!({ "keys": keys }).to_string().as_bytes()).expect("our keys should make a set")
    }
}

fn user(claims: &Value) -> Value {
    let own = &claims["kubernetes.io"];
    let namespace = own["namespace"].as_str().unwrap_or_default();
    let mut extra = json!({});
    if let Some(id) = claims["jti"].as_str() {
        extra["authentication.kubernetes.io/credential-id"] = json!([format!("JTI={id}")]);
    }
    for what in ["node", "pod"] {
        for part in ["name", "uid"] {
            if let Some(value) = own[what][part].as_str() {
                extra[format!("authentication.kubernetes.io/{what}-{part}")] = json!([value]);
            }
        }
    }
    json!({
        "username": claims["sub"],
        "uid": own["serviceaccount"]["uid"],
        "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}"), "system:authenticated"],
        "extra": extra,
    })
}

/// Answers a TokenReview: 201 whatever the verdict.
pub(crate) fn review(judge: &Judge<'_>, call: &Call) -> Result<Value, Failure> {
    let mut review = typed(call, &TOKEN_REVIEW)?;
    let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
    if token.is_empty() {
        return Err(Failure::bad_request("token is required for TokenReview in authentication"));
    }
    credit(&mut review, call, judge.now, "");
    review["status"] = match judge.judge(&token, &strings(&review["spec"]["audiences"])) {
        Ok(accepted) => json!({ "authenticated": true, "user": accepted.user, "audiences": accepted.audiences }),
        Err(why) => json!({ "user": {}, "error": why }),
    };
    Ok(review)
}

/// Makes a token for the service account that `target` names.
pub(crate) fn request(judge: &Judge<'_>, call: &Call, target: &Target) -> Result<Value, Failure> {
    let mut request = typed(call, &TOKEN_REQUEST)?;
    let (namespace, name) = (target.namespace.as_str(), target.name.as_str());
    let account = judge.store.get(&Key::new(&SERVICE_ACCOUNT, namespace, name));
    let account = account.ok_or_else(|| Failure::not_found(target.kind, name))?;
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(TOKEN_SECS_DEFAULT);
    if seconds < TOKEN_SECS_MIN {
        let why = format!("Invalid value: {seconds}: may not specify a duration less than 10 minutes");
        return Err(Failure::invalid(&TOKEN_REQUEST, "", "spec.expirationSeconds", &why));
    }
    let ttl = Duration::from_secs(seconds.unsigned_abs());
    let issuer = judge.issuers.last().expect("an API server should have an issuer");
    let mut claims = issuer.claims(namespace, name, judge.now, ttl);
    let audiences = strings(&request["spec"]["audiences"]);
    claims["aud"] = if audiences.is_empty() { json!([API_AUDIENCE]) } else { json!(audiences) };
    let account_ref = json!({ "name": name, "uid": account["metadata"]["uid"] });
    claims["kubernetes.io"] = json!({ "namespace": namespace, "serviceaccount": account_ref });
    if let Some(bound) = request["spec"]["boundObjectRef"]["name"].as_str() {
        bind(judge, &mut claims, &request["spec"]["boundObjectRef"], namespace, bound)?;
    }
    let end = judge.now.plus(ttl);
    credit(&mut request, call, judge.now, "token");
    request["metadata"]["name"] = json!(name);
    request["metadata"]["namespace"] = json!(namespace);
    request["metadata"]["uid"] = account["metadata"]["uid"].clone();
    request["metadata"]["creationTimestamp"] = json!(judge.now.to_string());
    request["spec"]["expirationSeconds"] = json!(seconds);
    request["status"] = json!({ "token": issuer.sign(&claims), "expirationTimestamp": end.to_string() });
    Ok(request)
}

fn bind(judge: &Judge<'_>, claims: &mut Value, bound: &Value, namespace: &str, name: &str) -> Result<(), Failure> {
    let pod = judge.store.get(&Key::new(&POD, namespace, name)).ok_or_else(|| Failure::not_found(&POD, name))?;
    let found = &pod["metadata"]["uid"];
    if bound["uid"].as_str().is_some() && bound["uid"] != *found {
        let why = format!("the UID in the bound object reference ({}) does not match the UID in record", bound["uid"]);
        return Err(Failure::conflict(&POD, name, &why));
    }
    claims["kubernetes.io"]["pod"] = json!({ "name": name, "uid": found });
    if let Some(node) = pod["spec"]["nodeName"].as_str() {
        claims["kubernetes.io"]["node"] = json!({ "name": node });
        if let Some(object) = judge.store.get(&Key::new(&NODE, "", node)) {
            claims["kubernetes.io"]["node"]["uid"] = object["metadata"]["uid"].clone();
        }
    }
    claims["jti"] = json!(uid());
    Ok(())
}

/// The body, when it is of `kind`.
fn typed(call: &Call, kind: &Kind) -> Result<Value, Failure> {
    let mut object = call.json()?;
    let version = kind.api_version("v1");
    for (field, wanted) in [("kind", kind.kind), ("apiVersion", version.as_str())] {
        if object[field].as_str().is_some_and(|found| found != wanted) {
            return Err(Failure::bad_request(format!("{field} in body does not match {wanted}")));
        }
        object[field] = json!(wanted);
    }
    if object["metadata"].is_null() {
        object["metadata"] = json!({});
    }
    Ok(object)
}

fn credit(object: &mut Value, call: &Call, now: Timestamp, subresource: &str) {
    let manager = Manager {
        name: call.manager().to_owned(),
        operation: "Update".to_owned(),
        api_version: TOKEN_REVIEW.api_version("v1"),
        subresource: subresource.to_owned(),
        time: now.to_string(),
        fields: fields::of(object, true),
    };
    Manager::write(object, vec![manager]);
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// As Go prints a list of quoted strings.
fn quoted(list: &[String]) -> String {
    format!("[{}]", list.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(" "))
}
