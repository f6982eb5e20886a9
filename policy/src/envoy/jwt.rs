//! RequestAuthentication as Envoy's jwt_authn filter: one filter for a whole listener, or for chosen routes.

use serde_json::{Map, Value, json};
use signet_identity::JwkSet;

use super::{Filter, FilterConfig};
use crate::model::{JwtRule, RequestAuthentication, Text};
use crate::request::SPLIT_ALWAYS;

/// The name of the filter, which is also where the claims of a verified token stand.
pub const HTTP_JWT_AUTHN: &str = "envoy.filters.http.jwt_authn";

/// What stands in the place of keys that are not there or are none: with it, every token is refused. Without any key,
/// Envoy would refuse not the tokens but the whole listener.
///
/// Nobody has the private half, for the point was not made from one: its x is the SHA-256 of `no keys, no tokens 1`, its
/// y the even one of the two that P-256 has for it.
const NO_KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"nobody","x":"_RwhjOgvHLnBEFe5UNwkSpFq2o3H0Vzzo-xPy_ZMfWg","y":"2syqk2k4YEozIP0LSj766Dln76dtsurYLPtO2r4B9Zg"}]}"#;

/// What rendering depends on beside the policies.
#[derive(Clone, Copy)]
pub struct JwtOptions<'a> {
    /// Whether routes are chosen again once claims have become headers, as everywhere but in sidecars.
    pub clears_route_cache: bool,
    /// The key set (JSON) of a rule that holds none itself. `None` where it could not be had: then every token of that
    /// rule is refused, as where the set holds no key.
    pub keys: &'a dyn Fn(&JwtRule) -> Option<String>,
}

/// The filter that verifies tokens for a whole listener; nothing where no rule says which.
pub fn jwt_filter(policies: &[&RequestAuthentication], options: &JwtOptions<'_>) -> Option<Filter> {
    let written = Written::of(policies, options, "origins-");
    let requirement = written.requirement?;
    let rules = json!([{"match": {"prefix": "/"}, "requires": requirement}]);
    Some(filter([("providers", Value::Object(written.providers)), ("rules", rules)]))
}

/// The filter that verifies tokens for chosen routes, and what each route says about it: `typed_per_filter_config`
/// under [`HTTP_JWT_AUTHN`]. A route that says nothing has no token verified.
///
/// Each set of policies has a name, which is no other's.
pub fn jwt_per_route(
    sets: &[(&str, Vec<&RequestAuthentication>)],
    options: &JwtOptions<'_>,
) -> (Filter, Vec<Option<Value>>) {
    let (mut providers, mut requirements) = (Map::new(), Map::new());
    let mut routes = Vec::new();
    for (name, policies) in sets {
        let written = Written::of(policies, options, &format!("{name}-"));
        providers.extend(written.providers);
        routes.push(written.requirement.map(|requirement| {
            requirements.insert((*name).to_owned(), requirement);
            json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
                "requirementName": name,
            })
        }));
    }
    let providers = Value::Object(providers);
    (filter([("providers", providers), ("requirementMap", Value::Object(requirements))]), routes)
}

fn filter<const N: usize>(fields: [(&str, Value); N]) -> Filter {
    let mut config = Map::from_iter([("bypassCorsPreflight".to_owned(), json!(true))]);
    config.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Filter { name: HTTP_JWT_AUTHN.to_owned(), typed_config: FilterConfig::HttpJwtAuthn(config) }
}

/// Providers by name, and what is asked of them; `None` where there are none.
struct Written {
    providers: Map<String, Value>,
    requirement: Option<Value>,
}

impl Written {
    fn of(policies: &[&RequestAuthentication], options: &JwtOptions<'_>, prefix: &str) -> Self {
        let mut rules: Vec<&JwtRule> = policies.iter().flat_map(|policy| &policy.rules).collect();
        rules.sort_by(|left, right| issuer(left).cmp(issuer(right)));
        let names: Vec<String> = (0..rules.len()).map(|index| format!("{prefix}{index}")).collect();
        let providers = names.iter().cloned().zip(rules.iter().map(|rule| provider(rule, options))).collect();
        Self { providers, requirement: requirement(&names) }
    }
}

/// No token at all, or one that some provider accepts. Where there are several, each must accept what it finds or find
/// nothing, unless another accepts: so a token of nobody known is refused.
fn requirement(names: &[String]) -> Option<Value> {
    let any = |requirements: Vec<Value>| json!({"requiresAny": {"requirements": requirements}});
    let named = |name: &String| json!({"providerName": name});
    let missing = || json!({"allowMissing": {}});
    match names {
        [] => None,
        [only] => Some(any(vec![named(only), missing()])),
        several => {
            let each = several.iter().map(|name| any(vec![named(name), missing()]));
            let all = json!({"requiresAll": {"requirements": each.collect::<Vec<Value>>()}});
            Some(any(several.iter().map(named).chain([all]).collect()))
        }
    }
}

fn issuer(rule: &JwtRule) -> &str {
    rule.issuer.as_ref().map_or("", |issuer| &issuer.value)
}

fn provider(rule: &JwtRule, options: &JwtOptions<'_>) -> Value {
    let keys = match &rule.jwks {
        Some(keys) => Some(keys.value.to_string()),
        None => (options.keys)(rule),
    };
    let usable = |keys: &String| JwkSet::from_json(keys.as_bytes()).is_ok_and(|keys| !keys.is_empty());
    let keys = keys.filter(usable).unwrap_or_else(|| NO_KEYS.to_owned());
    let mut split: Vec<&str> = rule.space_delimited_claims.iter().map(|claim| &*claim.value).collect();
    split.extend(SPLIT_ALWAYS);
    split.sort_unstable();
    split.dedup();
    let headers = rule.from_headers.iter().map(|header| {
        let prefix = header.prefix.as_ref().filter(|prefix| !prefix.value.is_empty());
        match prefix {
            Some(prefix) => json!({"name": header.name.value, "valuePrefix": prefix.value}),
            None => json!({"name": header.name.value}),
        }
    });
    let claims = rule.output_claim_to_headers.iter();
    let claims = claims.map(|pair| json!({"headerName": pair.header.value, "claimName": pair.claim.value}));
    let mut provider = Map::new();
    let mut put = |name: &str, value: Option<Value>| provider.extend(value.map(|value| (name.to_owned(), value)));
    put("issuer", text(rule.issuer.as_ref()));
    put("audiences", list(rule.audiences.iter().map(|audience| json!(audience.value))));
    put("localJwks", Some(json!({"inlineString": keys})));
    put("forward", rule.forward_original_token.then_some(Value::Bool(true)));
    put("forwardPayloadHeader", text(rule.output_payload_to_header.as_ref()));
    put("payloadInMetadata", Some(json!("payload")));
    put("normalizePayloadInMetadata", Some(json!({"spaceDelimitedClaims": split})));
    put("fromHeaders", list(headers));
    put("fromParams", list(rule.from_params.iter().map(|name| json!(name.value))));
    put("fromCookies", list(rule.from_cookies.iter().map(|name| json!(name.value))));
    put("claimToHeaders", list(claims));
    put("clearRouteCache", options.clears_route_cache.then_some(Value::Bool(true)));
    Value::Object(provider)
}

fn text(text: Option<&Text>) -> Option<Value> {
    text.filter(|text| !text.value.is_empty()).map(|text| json!(text.value))
}

fn list(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}
