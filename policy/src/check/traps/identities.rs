//! Traps in the names of callers: schemes, trust domains, request principals.

use crate::check::findings::Findings;
use crate::identity::SCHEME;
use crate::model::{Condition, MeshConfig, StringPattern, Test, Written};
use crate::problem::Code;
use crate::trust_domain::{POINTER, is_whole};

pub(super) fn check(condition: &Condition, mesh: &MeshConfig, findings: &mut Findings) {
    match &condition.test {
        Test::Principal(values) => values.all().for_each(|value| principal(&value.text, value, mesh, findings)),
        Test::TrustDomain(values) => {
            for value in values.all() {
                if let Ok(pattern) = &value.pattern
                    && let StringPattern::Exact(domain) = pattern.pattern()
                {
                    foreign(domain, value.at, mesh, findings);
                }
            }
        }
        Test::RequestPrincipal(values) => values.all().for_each(|value| request_principal(value, findings)),
        _ => {}
    }
}

fn principal<T>(text: &str, value: &Written<T>, mesh: &MeshConfig, findings: &mut Findings) {
    if let Some(hint) = text.strip_prefix(SCHEME) {
        let message = format!("`{text}` never matches: principals are written without `{SCHEME}`");
        return findings.advise(Code::PrincipalScheme, value.at, message, format!("write `{hint}`"));
    }
    let domain = text.split('/').next().unwrap_or_default();
    if domain.contains('*') || domain.len() == text.len() {
        return;
    }
    if is_whole(text) {
        if domain != POINTER {
            foreign(domain, value.at, mesh, findings);
        }
    } else if mesh.at.is_some() && (domain == POINTER || is_own(domain, mesh)) && needs_rewriting(domain, mesh) {
        let message = format!("`{text}` is not rewritten to the mesh's trust domains: only whole names are");
        let hint = "write `DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, or a value for each trust domain";
        findings.advise(Code::AliasNotApplied, value.at, message, hint);
    }
}

fn is_own(domain: &str, mesh: &MeshConfig) -> bool {
    mesh.trust_domains.iter().any(|own| &**own == domain)
}

/// Whether rewriting would have changed or added something.
fn needs_rewriting(domain: &str, mesh: &MeshConfig) -> bool {
    mesh.trust_domains.iter().any(|own| &**own != domain)
}

/// Told only where the mesh's own trust domains are known.
fn foreign(domain: &str, at: crate::source::Place, mesh: &MeshConfig, findings: &mut Findings) {
    let wild = mesh.trust_domains.iter().any(|own| own.contains('*'));
    if mesh.at.is_some() && !wild && !is_own(domain, mesh) {
        let own = mesh.trust_domains.join("`, `");
        let message = format!("`{domain}` is not one of the mesh's trust domains: `{own}`");
        findings.tell(Code::ForeignTrustDomain, at, message);
    }
}

fn request_principal<T>(value: &Written<T>, findings: &mut Findings) {
    let text = &*value.text;
    if text == "*" || text.is_empty() {
        return;
    }
    let why = if text.strip_prefix('*').is_some_and(|rest| rest.ends_with('*')) {
        "only its first star is a wildcard: the subject would have to end in a star itself"
    } else if !text.contains(['/', '*']) {
        "without `/` it asks for an empty subject"
    } else if text.ends_with('/') {
        "it asks for an empty subject"
    } else {
        return;
    };
    let message = format!("practically no token matches `{text}`: {why}");
    let hint = "`ISSUER/SUBJECT`, `ISSUER/*`, or conditions on `request.auth.claims[iss]` and `[sub]`";
    findings.advise(Code::TokenPrincipal, value.at, message, hint);
}
