//! Reads RequestAuthentication.

use super::fields::{Fields, Log, one_of};
use super::others::target;
use crate::model::{ClaimToHeader, FromHeader, JwtRule, Meta, RequestAuthentication, Spotted, Target, Text};
use crate::source::{Node, Value};

pub(super) fn policy(meta: Meta, spec: Option<&Node>, log: &mut Log) -> Option<RequestAuthentication> {
    let Some(spec) = spec.filter(|spec| spec.value != Value::Null) else {
        return Some(RequestAuthentication { meta, target: Target::default(), rules: Vec::new() });
    };
    let mut fields = Fields::open(spec, "spec", log)?;
    let target = target(&mut fields, log);
    let rules = fields.list("jwtRules", log).iter().filter_map(|node| rule(node, log)).collect();
    fields.finish(log);
    Some(RequestAuthentication { meta, target, rules })
}

fn rule(node: &Node, log: &mut Log) -> Option<JwtRule> {
    let mut fields = Fields::open(node, "jwtRules", log)?;
    let rule = JwtRule {
        at: node.at,
        issuer: fields.text("issuer", log),
        audiences: fields.texts("audiences", log),
        jwks_uri: fields.text("jwksUri", log).or_else(|| fields.text("jwks_uri", log)),
        jwks: fields.text("jwks", log),
        from_headers: from_headers(fields.list("fromHeaders", log), log),
        from_params: fields.texts("fromParams", log),
        from_cookies: fields.texts("fromCookies", log),
        output_payload_to_header: fields.text("outputPayloadToHeader", log),
        forward_original_token: fields.boolean("forwardOriginalToken", log),
        output_claim_to_headers: claims_to_headers(fields.list("outputClaimToHeaders", log), log),
        timeout: fields.text("timeout", log),
        space_delimited_claims: fields.texts("spaceDelimitedClaims", log),
        presence: fields.take("presence").and_then(|node| presence(node, log)),
    };
    fields.finish(log);
    Some(rule)
}

fn presence(node: &Node, log: &mut Log) -> Option<Text> {
    let value = one_of(node, "presence", &[("OPTIONAL", "OPTIONAL"), ("REQUIRED", "REQUIRED")], log)?;
    Some(Spotted { value: value.into(), at: node.at })
}

/// A name that is absent is empty, as protobuf has it; the checks refuse both.
fn name(fields: &mut Fields<'_>, name: &str, log: &mut Log) -> Text {
    let at = fields.at;
    fields.text(name, log).unwrap_or(Spotted { value: "".into(), at })
}

fn from_headers(items: &[Node], log: &mut Log) -> Vec<FromHeader> {
    let header = |node: &Node| {
        let mut fields = Fields::open(node, "fromHeaders", log)?;
        let header = FromHeader { name: name(&mut fields, "name", log), prefix: fields.text("prefix", log) };
        fields.finish(log);
        Some(header)
    };
    items.iter().filter_map(header).collect()
}

fn claims_to_headers(items: &[Node], log: &mut Log) -> Vec<ClaimToHeader> {
    let mapping = |node: &Node| {
        let mut fields = Fields::open(node, "outputClaimToHeaders", log)?;
        let (header, claim) = (name(&mut fields, "header", log), name(&mut fields, "claim", log));
        fields.finish(log);
        Some(ClaimToHeader { header, claim })
    };
    items.iter().filter_map(mapping).collect()
}
