//! The filters that ask an external service: for each provider, one that finds out whether to ask, and one that asks.

use std::collections::BTreeMap;

use super::ext_authz::{ProviderError, filter};
use super::local::Built;
use super::{Filter, Rbac, RenderOptions};
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
    let mut by_provider: BTreeMap<&str, Vec<&AuthorizationPolicy>> = BTreeMap::new();
    for policy in policies.iter().filter(|policy| policy.action == Action::Custom) {
        let name = policy.provider.as_ref().map_or("", |name| &*name.value);
        by_provider.entry(name).or_default().push(policy);
    }
    let too_many = by_provider.len() > 1 && !custom.several_providers;
    let (mut filters, mut errors) = (Vec::new(), Vec::new());
    for (name, policies) in by_provider {
        let before = format!("istio-ext-authz-{name}");
        let asking = if too_many { Err(ProviderError::Several) } else { filter(name, &before, options.chain, custom) };
        let behind = if asking.is_err() { BAD } else { "" };
        let built = Built::of(policies.into_iter(), options, &format!("{before}-"), behind);
        match asking {
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
