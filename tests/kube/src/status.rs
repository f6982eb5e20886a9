//! Refusals in the words of the API server: a `Status` object with code, reason and details.

use serde_json::{Map, Value, json};

use crate::kinds::Kind;

/// A refused request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) status: Value,
}

impl Failure {
    fn new(code: u16, reason: &str, message: &str, details: Option<Value>) -> Self {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        });
        if let Some(details) = details {
            status["details"] = details;
        }
        Self { code, status }
    }

    pub(crate) fn bad_request(message: impl AsRef<str>) -> Self {
        Self::new(400, "BadRequest", message.as_ref(), None)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized", None)
    }

    /// `what` is the sentence after `is forbidden: `.
    pub(crate) fn forbidden(kind: &Kind, name: &str, what: &str) -> Self {
        let subject = if name.is_empty() { kind.qualified() } else { format!("{} {name:?}", kind.qualified()) };
        Self::new(403, "Forbidden", &format!("{subject} is forbidden: {what}"), Some(details(kind, name)))
    }

    pub(crate) fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        let message = format!("forbidden: User {user:?} cannot {verb} path {path:?}");
        Self::new(403, "Forbidden", &message, Some(json!({})))
    }

    pub(crate) fn terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let cause = json!({
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        });
        Self::forbidden(kind, name, &why).with_causes(vec![cause])
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.qualified());
        Self::new(404, "NotFound", &message, Some(details(kind, name)))
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource", Some(json!({})))
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message, Some(json!({})))
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.qualified());
        Self::new(409, "AlreadyExists", &message, Some(details(kind, name)))
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.qualified());
        Self::new(409, "Conflict", &message, Some(details(kind, name)))
    }

    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// Fields that other managers own: path and manager with API version.
    pub(crate) fn owned(conflicts: &[(String, String)]) -> Self {
        let causes = conflicts.iter().map(|(field, owner)| {
            let message = format!("conflict with {owner}");
            json!({ "reason": "FieldManagerConflict", "message": message, "field": field })
        });
        let causes: Vec<Value> = causes.collect();
        let message = match conflicts {
            [(field, owner)] => format!("Apply failed with 1 conflict: conflict with {owner}: {field}"),
            several => {
                let lines = several.iter().map(|(field, owner)| format!("\nconflicts with {owner}:\n- {field}"));
                format!("Apply failed with {} conflicts: {}", several.len(), lines.collect::<String>().trim_start())
            }
        };
        Self::new(409, "Conflict", &message, Some(json!({ "causes": causes })))
    }

    /// A list that continues from what is gone; `next` is where it could go on instead.
    pub(crate) fn continue_expired(next: &str) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a \
            new list without the continue parameter, or use the continue token in this response to retrieve the \
            remainder of the results. Continuing with the provided token results in an inconsistent list - objects \
            that were created, modified, or deleted between the time the first chunk was returned and now may show up \
            in the list.";
        let mut failure = Self::new(410, "Expired", message, None);
        failure.status["metadata"] = json!({ "continue": next });
        failure
    }

    pub(crate) fn watch_expired() -> Self {
        Self::new(410, "Expired", "The resourceVersion for the provided watch is too old.", None)
    }

    pub(crate) fn unsupported_media_type(content_type: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: \
            application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, not {content_type}"
        );
        Self::new(415, "UnsupportedMediaType", &message, Some(json!({})))
    }

    /// One field of an object is wrong; `why` begins with the kind of fault.
    pub(crate) fn invalid(kind: &Kind, name: &str, field: &str, why: &str) -> Self {
        let qualified =
            if kind.group.is_empty() { kind.kind.to_owned() } else { format!("{}.{}", kind.kind, kind.group) };
        let message = format!("{qualified} {name:?} is invalid: {field}: {why}");
        let mut details = json!({ "kind": kind.kind });
        if !name.is_empty() {
            details["name"] = json!(name);
        }
        if !kind.group.is_empty() {
            details["group"] = json!(kind.group);
        }
        let reason = if why.starts_with("Required") { "FieldValueRequired" } else { "FieldValueInvalid" };
        let cause = json!({ "reason": reason, "message": why, "field": field });
        Self::new(422, "Invalid", &message, Some(details)).with_causes(vec![cause])
    }

    /// What a fault makes the server say.
    pub(crate) fn made_up(code: u16) -> Self {
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "forbidden for the test"),
            410 => ("Expired", "too old resource version"),
            429 => ("TooManyRequests", "Too many requests, please try again later."),
            503 => ("ServiceUnavailable", "apiserver is shutting down"),
            504 => ("Timeout", "request did not complete within the allotted timeout"),
            _ => ("InternalError", "Internal error occurred: etcdserver: leader changed"),
        };
        Self::new(code, reason, message, None)
    }

    fn with_causes(mut self, causes: Vec<Value>) -> Self {
        self.status["details"]["causes"] = Value::Array(causes);
        self
    }
}

/// Plural and group of what a status speaks of.
fn details(kind: &Kind, name: &str) -> Value {
    let mut details = Map::new();
    if !name.is_empty() {
        details.insert("name".to_owned(), json!(name));
    }
    if !kind.group.is_empty() {
        details.insert("group".to_owned(), json!(kind.group));
    }
    details.insert("kind".to_owned(), json!(kind.plural));
    Value::Object(details)
}

/// What a deletion answers.
pub(crate) fn deleted(kind: &Kind, name: &str, uid: &Value) -> Value {
    let mut details = details(kind, name);
    details["uid"] = uid.clone();
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
