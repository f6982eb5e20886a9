//! Whether the external service that a CUSTOM policy names can be asked. Envoy's rendering judges; this remembers.

use std::collections::BTreeMap;

use crate::envoy::{Chain, CustomOptions, asked, provider_name};
use crate::model::{Action, AuthorizationPolicy, MeshConfig};
use crate::select::Selection;

/// What becomes of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its rules are enforced; for CUSTOM, by asking.
    Ask,
    /// Nobody can be asked: what its rules match is refused.
    Refuse,
    /// Its provider speaks HTTP, and this is TCP: nothing is enforced.
    Drop,
}

pub(super) struct Asked<'p> {
    by_provider: BTreeMap<&'p str, Answer>,
}

impl<'p> Asked<'p> {
    pub(super) fn new(
        mesh: &MeshConfig,
        selection: &Selection<'_>,
        policies: impl Iterator<Item = &'p AuthorizationPolicy>,
    ) -> Self {
        let chain = if selection.point.sees_http() { Chain::Http } else { Chain::Tcp };
        let several_providers = selection.switches.several_providers;
        let custom = CustomOptions { providers: &mesh.providers, several_providers, services: None };
        let judged = asked(policies, chain, &custom).into_iter().map(|(name, asked)| {
            let answer = match asked.filter {
                Ok(Some(_)) => Answer::Ask,
                Ok(None) => Answer::Drop,
                Err(_) => Answer::Refuse,
            };
            (name, answer)
        });
        Self { by_provider: judged.collect() }
    }

    pub(super) fn about(&self, policy: &AuthorizationPolicy) -> Answer {
        match policy.action {
            Action::Custom => self.by_provider.get(provider_name(policy)).copied().unwrap_or(Answer::Refuse),
            _ => Answer::Ask,
        }
    }
}
