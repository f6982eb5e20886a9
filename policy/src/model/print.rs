//! Policies as manifests again, in one canonical form: what the API server would give back, without what was empty.
//!
//! Read again they mean the same; that is a property under test. Used wherever a policy is shown or written anew.

use serde_json::{Map, Value, json};

use super::{
    Action, AuthorizationPolicy, Clause, Condition, JwtRule, Meta, PeerAuthentication, RequestAuthentication, Rule,
    Target, Text, When,
};

impl AuthorizationPolicy {
    /// The policy as a manifest. A rule that is null stays one.
    pub fn to_manifest(&self) -> Value {
        let rules = self.rules.iter().map(|found| found.as_ref().map_or(Value::Null, rule));
        let action = (self.action != Action::Allow).then(|| json!(self.action.to_string()));
        let provider = self.provider.as_ref().map(|name| json!({"name": &*name.value}));
        let spec = [("action", action), ("provider", provider), ("rules", list(rules))];
        manifest("AuthorizationPolicy", &self.meta, target(&self.target), spec)
    }
}

impl PeerAuthentication {
    /// The policy as a manifest.
    pub fn to_manifest(&self) -> Value {
        let mode = self.mode.as_ref().map(|mode| json!({"mode": mode.value.to_string()}));
        let entry = |entry: &super::PortMode| {
            let mode = entry.mode.map_or_else(|| "UNSET".to_owned(), |mode| mode.to_string());
            (entry.port.value.to_string(), json!({"mode": mode}))
        };
        let ports: Map<String, Value> = self.ports.iter().map(entry).collect();
        let target = Target { selector: self.selector.clone(), references: Vec::new() };
        let ports = (!ports.is_empty()).then_some(Value::Object(ports));
        manifest("PeerAuthentication", &self.meta, self::target(&target), [("mtls", mode), ("portLevelMtls", ports)])
    }
}

impl RequestAuthentication {
    /// The policy as a manifest.
    pub fn to_manifest(&self) -> Value {
        let rules = list(self.rules.iter().map(jwt_rule));
        manifest("RequestAuthentication", &self.meta, target(&self.target), [("jwtRules", rules)])
    }
}

fn manifest<const N: usize>(
    kind: &str,
    meta: &Meta,
    target: Map<String, Value>,
    fields: [(&str, Option<Value>); N],
) -> Value {
    let mut spec = target;
    spec.extend(object(fields));
    let pairs = |pairs: Vec<(&str, &str)>| {
        let map: Map<String, Value> = pairs.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        (!map.is_empty()).then_some(Value::Object(map))
    };
    let metadata = object([
        ("name", Some(json!(&*meta.name))),
        ("namespace", (!meta.namespace.is_empty()).then(|| json!(&*meta.namespace))),
        ("labels", pairs(meta.labels.iter().collect())),
        ("annotations", pairs(meta.annotations.iter().map(|(name, text)| (&**name, &*text.value)).collect())),
        ("creationTimestamp", meta.created.map(|created| json!(created.to_string()))),
    ]);
    json!({"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn target(target: &Target) -> Map<String, Value> {
    let selector = target.selector.as_ref().map(|selector| {
        let labels: Map<String, Value> =
            selector.labels.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        if labels.is_empty() { json!({}) } else { json!({"matchLabels": labels}) }
    });
    let references = target.references.iter().map(|reference| {
        let text = |text: &str| (!text.is_empty()).then(|| json!(text));
        Value::Object(object([
            ("group", Some(json!(&*reference.group))),
            ("kind", text(&reference.kind)),
            ("name", text(&reference.name)),
            ("namespace", text(&reference.namespace)),
        ]))
    });
    object([("selector", selector), ("targetRefs", list(references))])
}

fn rule(rule: &Rule) -> Value {
    let clauses = |clauses: &[Clause], name: &str| list(clauses.iter().map(|clause| json!({name: fields(clause)})));
    let when = list(rule.when.iter().map(when));
    Value::Object(object([
        ("from", clauses(&rule.from, "source")),
        ("to", clauses(&rule.to, "operation")),
        ("when", when),
    ]))
}

fn fields(clause: &Clause) -> Map<String, Value> {
    let field = |condition: &Condition| {
        let [any_of, none_of] = values(condition);
        let mut letters = condition.name.value.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let negated = "not".chars().chain(first).chain(letters).collect();
        [(condition.name.value.to_string(), any_of), (negated, none_of)]
    };
    let all = clause.conditions.iter().flat_map(field);
    all.filter_map(|(name, values)| Some((name, values?))).collect()
}

fn when(when: &When) -> Value {
    match when {
        When::Known(condition) => {
            let [any_of, none_of] = values(condition);
            Value::Object(object([
                ("key", Some(json!(&*condition.name.value))),
                ("values", any_of),
                ("notValues", none_of),
            ]))
        }
        // Its values were no patterns of anything; that there were some is all that is known.
        When::Unknown { key, has_values } => {
            let values = has_values.then(|| json!(["*"]));
            Value::Object(object([("key", Some(json!(&*key.value))), ("values", values)]))
        }
    }
}

fn values(condition: &Condition) -> [Option<Value>; 2] {
    condition.test.texts().map(|texts| list(texts.into_iter().map(|(text, _)| json!(text))))
}

fn jwt_rule(rule: &JwtRule) -> Value {
    let text = |text: &Option<Text>| text.as_ref().map(|text| json!(&*text.value));
    let texts = |texts: &[Text]| list(texts.iter().map(|text| json!(&*text.value)));
    let headers = rule.from_headers.iter().map(|place| {
        Value::Object(object([("name", Some(json!(&*place.name.value))), ("prefix", text(&place.prefix))]))
    });
    let claims = rule.output_claim_to_headers.iter();
    let claims = claims.map(|entry| json!({"header": &*entry.header.value, "claim": &*entry.claim.value}));
    Value::Object(object([
        ("issuer", text(&rule.issuer)),
        ("audiences", texts(&rule.audiences)),
        ("jwksUri", text(&rule.jwks_uri)),
        ("jwks", text(&rule.jwks)),
        ("fromHeaders", list(headers)),
        ("fromParams", texts(&rule.from_params)),
        ("fromCookies", texts(&rule.from_cookies)),
        ("outputPayloadToHeader", text(&rule.output_payload_to_header)),
        ("forwardOriginalToken", rule.forward_original_token.then_some(Value::Bool(true))),
        ("outputClaimToHeaders", list(claims)),
        ("timeout", text(&rule.timeout)),
        ("spaceDelimitedClaims", texts(&rule.space_delimited_claims)),
        ("presence", text(&rule.presence)),
    ]))
}

/// A list; nothing for an empty one.
fn list(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
