//! AuthorizationPolicy: what the webhook refuses beyond the form, and templates that the webhook accepts and Envoy dies
//! of.

use super::findings::Findings;
use crate::model::{Action, AuthorizationPolicy, Condition, Field, PatternError, Rule, Test, When};
use crate::problem::{Code, Problem};
use crate::source::Place;

pub(super) fn check(policy: &AuthorizationPolicy, findings: &mut Findings) {
    head(policy, findings);
    for rule in policy.rules.iter().flatten() {
        for condition in conditions(rule) {
            values(condition, findings);
        }
        for when in &rule.when {
            key(when, findings);
        }
        if policy.action == Action::Custom {
            custom(rule, findings);
        }
    }
}

/// Every condition of a rule whose attribute is known.
pub(super) fn conditions(rule: &Rule) -> impl Iterator<Item = &Condition> {
    let clauses = rule.from.iter().chain(&rule.to).flat_map(|clause| &clause.conditions);
    clauses.chain(rule.when.iter().filter_map(|when| match when {
        When::Known(condition) => Some(condition),
        When::Unknown { .. } => None,
    }))
}

fn head(policy: &AuthorizationPolicy, findings: &mut Findings) {
    let at = policy.meta.at;
    let action = policy.action;
    if policy.rules.is_empty() && matches!(action, Action::Deny | Action::Custom) {
        let message = format!("a {action} policy without rules never matches");
        findings.advise(Code::NoRules, at, message, "write `rules: [{}]` to match every request");
    }
    match (&policy.provider, action) {
        (Some(provider), Action::Custom) if provider.value.is_empty() => {
            findings.tell(Code::ProviderMissing, provider.at, "the name of the provider is empty");
        }
        (None, Action::Custom) if !policy.rules.is_empty() => {
            let hint = "name one of the mesh configuration's `extensionProviders`";
            findings.advise(Code::ProviderMissing, at, "a CUSTOM policy names no provider", hint);
        }
        (Some(provider), action) if action != Action::Custom => {
            let message = format!("a provider is asked by CUSTOM policies only, and this is {action}");
            findings.advise(Code::ProviderUnused, provider.at, message, "remove it, or write `action: CUSTOM`");
        }
        _ => {}
    }
}

fn values(condition: &Condition, findings: &mut Findings) {
    let [any_of, none_of] = condition.test.texts();
    for (_, at) in any_of.iter().chain(&none_of).filter(|(text, _)| text.is_empty()) {
        let message = format!("an empty string in `{}`", condition.name);
        findings.tell(Code::EmptyValue, *at, message);
    }
    for (text, at, error) in condition.test.broken() {
        if !text.is_empty() {
            findings.push(broken(condition.test.field(), text, at, error));
        }
    }
}

fn broken(field: Field, text: &str, at: Place, error: &PatternError) -> Problem {
    let code = match (field, error) {
        (_, PatternError::TemplateStart) => Code::CrashingTemplate,
        (Field::RemoteIp | Field::SourceIp | Field::DestinationIp, _) => Code::BadAddress,
        (Field::DestinationPort, _) => Code::BadPort,
        (Field::ServiceAccount, _) => Code::BadServiceAccount,
        (Field::TrustDomain, _) => Code::BadTrustDomain,
        _ => Code::BadPath,
    };
    let message = match code {
        Code::CrashingTemplate => format!("`{text}`: {error}, and Envoy aborts where it does not"),
        _ => format!("`{text}`: {error}"),
    };
    let hint = match code {
        Code::BadAddress => "for instance `10.0.0.0/8` or `2001:db8::1`",
        Code::BadPort => "one port a value; ranges are not supported",
        Code::BadServiceAccount => "for instance `foo/default`; use `principals` for patterns",
        Code::BadTrustDomain => "for instance `cluster.local` or `*.example.com`",
        Code::CrashingTemplate => "begin the template with `/`",
        _ => "`{*}` stands for one segment, `{**}` for the rest; each stands alone between slashes",
    };
    Problem::new(code, at, message).with_hint(hint)
}

fn key(when: &When, findings: &mut Findings) {
    match when {
        When::Known(condition) if condition.test.is_empty() => {
            let message = format!("`{}` has neither `values` nor `notValues`", condition.name);
            findings.tell(Code::NoValues, condition.name.at, message);
        }
        When::Known(_) => {}
        When::Unknown { key, has_values } => {
            if !key.value.is_empty() {
                let message = format!("`{key}` is no attribute; the rule would be skipped, in a DENY policy too");
                let hint = closest(&key.value);
                let problem = Problem::new(Code::UnknownKey, key.at, message);
                findings.push(match hint {
                    Some(hint) => problem.with_hint(format!("did you mean `{hint}`?")),
                    None => problem,
                });
            }
            if !has_values {
                findings.tell(Code::NoValues, key.at, "the condition has neither `values` nor `notValues`");
            }
        }
    }
}

/// Keys that are known, for hints.
const KEYS: [&str; 15] = [
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.serviceAccount",
    "source.principal",
    "source.trustDomain",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "destination.ip",
    "destination.port",
    "connection.sni",
    "request.headers[NAME]",
    "request.auth.claims[NAME]",
    "experimental.envoy.filters.FILTER[KEY]",
];

/// The key that was probably meant: another spelling of case, or the same with another end.
fn closest(key: &str) -> Option<&'static str> {
    let bare = |text: &str| text.split('[').next().unwrap_or_default().trim_end_matches('s').to_ascii_lowercase();
    let wanted = bare(key);
    KEYS.into_iter().find(|known| bare(known) == wanted)
}

/// CUSTOM stands before the filters that know the caller's token, and is refused conditions on the caller altogether.
fn custom(rule: &Rule, findings: &mut Findings) {
    for condition in conditions(rule) {
        let token = match &condition.test {
            Test::Claim(..) | Test::RequestPrincipal(_) => true,
            Test::Principal(_) | Test::Namespace(_) | Test::ServiceAccount(_) | Test::TrustDomain(_) => false,
            _ => continue,
        };
        let reason = if token { "the token is verified later" } else { "it is not accepted there" };
        let message = format!("a CUSTOM policy cannot ask for `{}`: {reason}", condition.name);
        let hint = "ask for it in the external service, or in a DENY policy beside this one";
        findings.advise(Code::CustomIdentity, condition.name.at, message, hint);
    }
}
