//! Lists, whole or page by page, from one consistent state.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::call::Call;
use crate::kinds::Target;
use crate::selector::Selector;
use crate::status::Failure;
use crate::store::Store;

/// Where a list goes on.
struct Place {
    revision: Option<u64>,
    start: String,
}

impl Place {
    fn to_token(&self) -> String {
        let revision = self.revision.map_or_else(|| json!(-1), |revision| json!(revision));
        URL_SAFE_NO_PAD.encode(json!({ "v": "meta.k8s.io/v1", "rv": revision, "start": self.start }).to_string())
    }

    fn parse(token: &str) -> Result<Self, Failure> {
        let invalid = || Failure::bad_request("continue key is not valid: invalid token");
        let json = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| invalid())?;
        let token: Value = serde_json::from_slice(&json).map_err(|_| invalid())?;
        let start = token["start"].as_str().ok_or_else(invalid)?.to_owned();
        Ok(Self { revision: token["rv"].as_u64(), start })
    }
}

pub(crate) fn list(store: &Store, call: &Call, target: &Target) -> Result<Value, Failure> {
    let selector = Selector::of(call, target.kind)?;
    let place = call.parameter("continue").map(Place::parse).transpose()?;
    let revision = place.as_ref().and_then(|place| place.revision).unwrap_or(store.revision());
    let start = place.map(|place| place.start).unwrap_or_default();
    let Some(objects) = store.at(revision, target.kind, &target.namespace) else {
        return Err(Failure::continue_expired(&Place { revision: None, start }.to_token()));
    };
    let limit = call.parameter("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    let selected = objects.iter().filter(|(key, object)| key.path() >= start && selector.selects(object));
    let mut selected: Vec<_> = selected.map(|(key, object)| (key.path(), object)).collect();
    selected.sort_by(|one, other| one.0.cmp(&other.0));

    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    let page = limit.unwrap_or(selected.len()).min(selected.len());
    let rest = selected.split_off(page);
    if let (Some((last, _)), false) = (selected.last(), rest.is_empty()) {
        let start = format!("{last}\u{0}");
        metadata["continue"] = json!(Place { revision: Some(revision), start }.to_token());
        // What a selector would leave is not counted.
        if selector.is_empty() {
            metadata["remainingItemCount"] = json!(rest.len());
        }
    }
    Ok(json!({
        "kind": format!("{}List", target.kind.kind),
        "apiVersion": target.api_version(),
        "metadata": metadata,
        "items": selected.into_iter().map(|(_, object)| object.clone()).collect::<Vec<_>>(),
    }))
}
