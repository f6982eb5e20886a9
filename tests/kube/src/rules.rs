//! What the server adds to an object of each kind, and what it refuses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signet_identity::Certificate;

use crate::kinds::{CLUSTER_TRUST_BUNDLE, Kind};
use crate::status::Failure;

/// Most bytes in a ConfigMap or Secret.
const DATA_MAX_BYTES: usize = 1024 * 1024;
/// Longest `reportingInstance` of an event.
const INSTANCE_MAX_BYTES: usize = 128;
const PEM_MAX_BYTES: usize = 1024 * 1024;

/// Defaults of the kind, which count as set by whoever creates the object.
pub(crate) fn fill(kind: &Kind, object: &mut Value) {
    match kind.kind {
        "Pod" => fill_pod(object),
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            set(object, "/metadata/labels/kubernetes.io~1metadata.name", name);
        }
        "Secret" => {
            default(object, "/type", json!("Opaque"));
            let plain = object.as_object_mut().and_then(|object| object.remove("stringData"));
            for (name, text) in plain.as_ref().and_then(Value::as_object).into_iter().flatten() {
                object["data"][name] = json!(STANDARD.encode(text.as_str().unwrap_or_default()));
            }
        }
        _ => {}
    }
}

/// What stands in the object beside, and is nobody's.
pub(crate) fn admit(kind: &Kind, object: &mut Value) {
    match (kind.kind, kind.group) {
        ("Pod", _) => {
            let toleration = |key: &str| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
            let keys = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
            default(object, "/spec/tolerations", Value::Array(keys.map(toleration).to_vec()));
            default(object, "/spec/priority", json!(0));
            default(object, "/spec/preemptionPolicy", json!("PreemptLowerPriority"));
            default(object, "/status/phase", json!("Pending"));
            default(object, "/status/qosClass", json!("BestEffort"));
            default(object, "/metadata/generation", json!(1));
        }
        ("Namespace", _) => {
            default(object, "/spec/finalizers", json!(["kubernetes"]));
            default(object, "/status/phase", json!("Active"));
        }
        ("Event", "events.k8s.io") => {
            default(object, "/deprecatedSource", json!({}));
            for time in ["/deprecatedFirstTimestamp", "/deprecatedLastTimestamp"] {
                set(object, time, Value::Null);
            }
        }
        _ => {}
    }
}

/// Refuses an object that may not be. `old` is what it replaces.
pub(crate) fn check(kind: &Kind, old: Option<&Value>, object: &Value) -> Result<(), Failure> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(old) = old
        && old["immutable"] == json!(true)
        && old["data"] != object["data"]
    {
        return Err(Failure::invalid(kind, name, "data", "Forbidden: field is immutable when `immutable` is set"));
    }
    match kind.kind {
        "ConfigMap" | "Secret" => check_data(kind, name, old, object),
        "Lease" => match object["spec"]["leaseDurationSeconds"].as_i64() {
            Some(seconds) if seconds <= 0 => {
                let why = format!("Invalid value: {seconds}: must be greater than 0");
                Err(Failure::invalid(kind, name, "spec.leaseDurationSeconds", &why))
            }
            _ => Ok(()),
        },
        "Event" => {
            let instance = object["reportingInstance"].as_str().unwrap_or_default();
            if instance.len() > INSTANCE_MAX_BYTES {
                let why = format!("Invalid value: \"\": can have at most {INSTANCE_MAX_BYTES} characters");
                return Err(Failure::invalid(kind, name, "reportingInstance", &why));
            }
            Ok(())
        }
        "ClusterTrustBundle" => check_trust_bundle(name, old, object),
        _ => Ok(()),
    }
}

fn check_data(kind: &Kind, name: &str, old: Option<&Value>, object: &Value) -> Result<(), Failure> {
    let values = || object["data"].as_object().into_iter().flatten();
    if kind.kind == "Secret" {
        for (key, value) in values() {
            let good = value.as_str().is_some_and(|text| STANDARD.decode(text).is_ok());
            if !good {
                let message = format!(
                    "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0 ({key})"
                );
                return Err(Failure::bad_request(message));
            }
        }
        if let Some(old) = old
            && old["type"] != object["type"]
        {
            let why = format!("Invalid value: {}: field is immutable", object["type"]);
            return Err(Failure::invalid(kind, name, "type", &why));
        }
    }
    let bytes: usize = values().map(|(_, value)| value.as_str().map_or(0, str::len)).sum();
    if bytes > DATA_MAX_BYTES {
        let why = format!("Too long: may not be more than {DATA_MAX_BYTES} bytes");
        return Err(Failure::invalid(kind, name, "", &why));
    }
    Ok(())
}

fn check_trust_bundle(name: &str, old: Option<&Value>, object: &Value) -> Result<(), Failure> {
    let invalid = |field: &str, why: &str| Err(Failure::invalid(&CLUSTER_TRUST_BUNDLE, name, field, why));
    let signer = object["spec"]["signerName"].as_str().unwrap_or_default();
    if let Some(old) = old
        && old["spec"]["signerName"].as_str().unwrap_or_default() != signer
    {
        return invalid("spec.signerName", &format!("Invalid value: {signer:?}: field is immutable"));
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    if !signer.is_empty() && !name.starts_with(&prefix) {
        let why = format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}");
        return invalid("metadata.name", &format!("Invalid value: {name:?}: {why}"));
    }
    if signer.is_empty() && name.contains(':') {
        let why = "ClusterTrustBundle without signer name must not have \":\" in its name";
        return invalid("metadata.name", &format!("Invalid value: {name:?}: {why}"));
    }
    let pem = object["spec"]["trustBundle"].as_str().unwrap_or_default();
    let why = match Certificate::list_from_pem(pem.as_bytes(), PEM_MAX_BYTES) {
        Ok(anchors) => match unfit_anchor(&anchors) {
            None => return Ok(()),
            Some(why) => why,
        },
        Err(_) if !pem.contains("-----BEGIN ") => "at least one trust anchor must be provided".to_owned(),
        Err(_) => "entry 0 does not parse as X.509".to_owned(),
    };
    invalid("spec.trustBundle", &format!("Invalid value: \"<value omitted>\": {why}"))
}

/// Trust anchors are CAs, and none of them stands there twice.
fn unfit_anchor(anchors: &[Certificate]) -> Option<String> {
    if let Some(number) = anchors.iter().position(|anchor| !anchor.is_ca()) {
        return Some(format!("entry {number} does not have the CA bit set"));
    }
    let twice = anchors.iter().enumerate().find_map(|(second, anchor)| {
        let first = anchors.iter().take(second).position(|before| before.der() == anchor.der())?;
        Some((first, second))
    });
    twice.map(|(first, second)| format!("duplicate trust anchor (indices [{first} {second}])"))
}

fn fill_pod(object: &mut Value) {
    for container in object["spec"]["containers"].as_array_mut().into_iter().flatten() {
        default(container, "/resources", json!({}));
        default(container, "/terminationMessagePath", json!("/dev/termination-log"));
        default(container, "/terminationMessagePolicy", json!("File"));
        default(container, "/imagePullPolicy", json!("IfNotPresent"));
    }
    default(object, "/spec/serviceAccountName", json!("default"));
    let service_account = object["spec"]["serviceAccountName"].clone();
    for (place, value) in [
        ("/spec/restartPolicy", json!("Always")),
        ("/spec/terminationGracePeriodSeconds", json!(30)),
        ("/spec/dnsPolicy", json!("ClusterFirst")),
        ("/spec/serviceAccount", service_account),
        ("/spec/securityContext", json!({})),
        ("/spec/schedulerName", json!("default-scheduler")),
        ("/spec/enableServiceLinks", json!(true)),
    ] {
        default(object, place, value);
    }
}

/// Sets what is not set.
fn default(object: &mut Value, pointer: &str, value: Value) {
    if object.pointer(pointer).is_none() {
        set(object, pointer, value);
    }
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for step in pointer.split('/').skip(1) {
        place = &mut place[step.replace("~1", "/")];
    }
    *place = value;
}
