//! The logic that permissions and principals have in common: all of, one of, not, always.

use super::tree::{Permission, Principal};

/// A permission or a principal.
pub(super) trait Node: Sized {
    /// Always.
    fn any() -> Self;
    /// All of `nodes`.
    fn all_of(nodes: Vec<Self>) -> Self;
    /// One of `nodes`.
    fn one_of(nodes: Vec<Self>) -> Self;
    /// Not `node`.
    fn not(node: Self) -> Self;
}

impl Node for Permission {
    fn any() -> Self {
        Self::Any(true)
    }

    fn all_of(rules: Vec<Self>) -> Self {
        Self::AndRules { rules }
    }

    fn one_of(rules: Vec<Self>) -> Self {
        Self::OrRules { rules }
    }

    fn not(node: Self) -> Self {
        Self::NotRule(Box::new(node))
    }
}

impl Node for Principal {
    fn any() -> Self {
        Self::Any(true)
    }

    fn all_of(ids: Vec<Self>) -> Self {
        Self::AndIds { ids }
    }

    fn one_of(ids: Vec<Self>) -> Self {
        Self::OrIds { ids }
    }

    fn not(node: Self) -> Self {
        Self::NotId(Box::new(node))
    }
}
