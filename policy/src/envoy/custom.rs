//! The filters that ask an external service: for each provider, one that finds out whether to ask, and one that asks.

use std::collections::BTreeMap;

use super::ext_authz::{ProviderError, filter};
use super::local::Built;
use super::{Chain, Filter, Rbac, RenderOptions};
use crate::model::{Action, AuthorizationPolicy, ExtensionProvider};

/// What the results of the first filter are found under.
const STAT_PREFIX: &str = "istio_ext_authz_";
/// What the names of rules that ask end with when there is nobody to ask, so that they refuse.
const BAD: &str = "-deny-due-to-bad-CUSTOM-action";

/// What CUSTOM policies depend on beside the policies.
#[derive(Debug, Clone, Copy)]
pub struct CustomOptions<'a> {
    /// The `extensionProviders` of the mesh.
    pub providers: &'a [ExtensionProvider],
    /// Whether one workload may have several (`PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS`).
    pub several_providers: bool,
    /// The services of the mesh. `None` where nobody knows them: then every service is taken to exist.
    pub services: Option<&'a [KnownService]>,
}

/// A service that a provider may be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KnownService {
    /// Its whole host name.
    pub hostname: Box<str>,
    /// Where it is.
    pub namespace: Box<str>,
}

/// The filters of CUSTOM policies, and why a provider cannot be asked. Other policies are passed over.
///
/// Where a provider cannot be asked, what its policies match is refused. A provider that speaks HTTP is not asked in a
/// chain of bytes: there, nothing is enforced.
pub fn custom_filters(
    policies: &[&AuthorizationPolicy],
    options: &RenderOptions<'_>,
    custom: &CustomOptions<'_>,
) -> (Vec<Filter>, Vec<ProviderError>) {
    let (mut filters, mut errors) = (Vec::new(), Vec::new());
    for (name, asked) in asked(policies.iter().copied(), options.chain, custom) {
        let behind = if asked.filter.is_err() { BAD } else { "" };
        let built = Built::of(asked.policies.into_iter(), options, &format!("{}-", before(name)), behind);
        match asked.filter {
            Ok(Some(asking)) => filters.extend([Filter::rbac(options.chain, watching(built)), asking]),
            Ok(None) => {}
            Err(error) => {
                filters.push(Filter::rbac(options.chain, refusing(built)));
                errors.push(error);
            }
        }
    }
    (filters, errors)
}

/// The policies of one provider, and what asks it.
pub(crate) struct Asked<'p> {
    policies: Vec<&'p AuthorizationPolicy>,
    /// `None` where this chain has no use for a provider that speaks HTTP.
    pub(crate) filter: Result<Option<Filter>, ProviderError>,
}

/// Every provider that CUSTOM policies name, and whether it can be asked. Other policies are passed over.
///
/// The only judgement on providers: what is decided here and what Envoy is told both rest on it.
pub(crate) fn asked<'p>(
    policies: impl Iterator<Item = &'p AuthorizationPolicy>,
    chain: Chain,
    custom: &CustomOptions<'_>,
) -> BTreeMap<&'p str, Asked<'p>> {
    let mut by_provider: BTreeMap<&str, Vec<&AuthorizationPolicy>> = BTreeMap::new();
    for policy in policies.filter(|policy| policy.action == Action::Custom) {
        by_provider.entry(provider_name(policy)).or_default().push(policy);
    }
    let too_many = by_provider.len() > 1 && !custom.several_providers;
    let judged = by_provider.into_iter().map(|(name, policies)| {
        let asking = || filter(name, &before(name), chain, custom);
        let filter = if too_many { Err(ProviderError::Several) } else { asking() };
        (name, Asked { policies, filter })
    });
    judged.collect()
}

/// The provider that a CUSTOM policy names; empty where it names none.
pub(crate) fn provider_name(policy: &AuthorizationPolicy) -> &str {
    policy.provider.as_ref().map_or("", |name| &name.value)
}

/// What the names of rules that ask a provider begin with.
fn before(name: &str) -> String {
    format!("istio-ext-authz-{name}")
}

/// The results are only looked at. A policy on trial is enforced as a refusal, which is Istio's doing and not its
/// author's wish; admission refuses such a policy.
fn watching(built: Built) -> Rbac {
    Rbac {
        rules: built.watched,
        shadow_rules: built.enforced,
        shadow_rules_stat_prefix: STAT_PREFIX.to_owned(),
        stat_prefix: String::new(),
    }
}

fn refusing(built: Built) -> Rbac {
    Rbac { rules: built.enforced.or(built.watched), ..Rbac::default() }
}
