//! Whether the external service that a CUSTOM policy names can be asked.

use crate::model::{Action, AuthorizationPolicy, MeshConfig, Provider};
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

pub(super) struct Asked<'a> {
    mesh: &'a MeshConfig,
    sees_http: bool,
    /// More providers than the mesh's switches allow.
    too_many: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn new<'p>(
        mesh: &'a MeshConfig,
        selection: &Selection<'_>,
        custom: impl Iterator<Item = &'p AuthorizationPolicy>,
    ) -> Self {
        let mut names: Vec<&str> = custom.filter_map(|policy| Some(&*policy.provider.as_ref()?.value)).collect();
        names.sort_unstable();
        names.dedup();
        let too_many = names.len() > 1 && !selection.switches.several_providers;
        Self { mesh, sees_http: selection.point.sees_http(), too_many }
    }

    pub(super) fn about(&self, policy: &AuthorizationPolicy) -> Answer {
        if policy.action != Action::Custom {
            return Answer::Ask;
        }
        let name = policy.provider.as_ref().map(|provider| &*provider.value);
        let named = name.and_then(|name| self.mesh.provider(name));
        match (named.map(|provider| &provider.provider), self.too_many) {
            (None | Some(Provider::Other), _) | (_, true) => Answer::Refuse,
            (Some(Provider::Http { .. }), false) if !self.sees_http => Answer::Drop,
            (Some(Provider::Http { .. } | Provider::Grpc { .. }), false) => Answer::Ask,
        }
    }
}
