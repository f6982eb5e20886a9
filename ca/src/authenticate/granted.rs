//! The trust domain that a cluster's identities are granted in: its own, or for as long as somebody says so another that
//! has it as an alias.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use signet_identity::{SpiffeId, TrustDomain};

/// One trust domain, or two that are one. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Granted {
    own: Arc<TrustDomain>,
    other: Arc<ArcSwapOption<TrustDomain>>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Granted({}, {:?})", self.own, self.other.load())
    }
}

impl Granted {
    /// Its own.
    pub fn own(own: TrustDomain) -> Self {
        Self { own: Arc::new(own), other: Arc::default() }
    }

    /// Identities are granted in `other` from now on, or in its own again. Gives whether that is a change.
    pub(crate) fn follow(&self, other: Option<TrustDomain>) -> bool {
        let other = other.map(Arc::new);
        let before = self.other.swap(other.clone());
        before != other
    }

    /// In which one.
    pub fn current(&self) -> Arc<TrustDomain> {
        self.other.load_full().unwrap_or_else(|| self.own.clone())
    }

    /// Whether `id` is in one of them: what was granted under the one name stays good under the other.
    pub fn holds(&self, id: &SpiffeId) -> bool {
        self.of(id).is_some()
    }

    /// The one that `id` is in.
    pub fn of(&self, id: &SpiffeId) -> Option<Arc<TrustDomain>> {
        let other = self.other.load_full();
        [Some(self.own.clone()), other].into_iter().flatten().find(|domain| id.is_member_of(domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_is_granted_while_it_is_said_and_both_are_held() {
        let domain = |name: &str| name.parse::<TrustDomain>().unwrap();
        let granted = Granted::own(domain("cluster.local"));
        let holds = |name: &str| granted.holds(&format!("spiffe://{name}/ns/shop/sa/web").parse().unwrap());
        assert_eq!(
            (granted.current().as_str(), holds("cluster.local"), holds("example.org")),
            ("cluster.local", true, false)
        );
        assert!(granted.clone().follow(Some(domain("example.org"))) && !granted.follow(Some(domain("example.org"))));
        assert_eq!(
            (granted.current().as_str(), holds("cluster.local"), holds("example.org")),
            ("example.org", true, true)
        );
        assert!(!holds("other.org"));
        assert!(granted.follow(None));
        assert_eq!((granted.current().as_str(), holds("example.org")), ("cluster.local", false));
    }
}
