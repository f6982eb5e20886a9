//! The clusters whose tokens are accepted, by the names that callers use for them.

use std::collections::HashMap;
use std::sync::Arc;

use super::cluster::Cluster;

/// Two clusters cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("more than one cluster is called `{name}`")]
pub struct NameTaken {
    /// The name.
    pub name: String,
}

/// All clusters. One is the primary: the one meant when a caller names none.
#[derive(Debug)]
pub struct Clusters {
    primary: Arc<Cluster>,
    by_name: HashMap<String, Arc<Cluster>>,
    all: Vec<Arc<Cluster>>,
}

impl Clusters {
    /// The clusters `primary` and `others`, each by its own name and its aliases.
    ///
    /// # Errors
    /// [`NameTaken`].
    pub fn new(primary: Cluster, others: Vec<Cluster>) -> Result<Self, NameTaken> {
        let primary = Arc::new(primary);
        let mut by_name = HashMap::new();
        let all: Vec<_> = std::iter::once(primary.clone()).chain(others.into_iter().map(Arc::new)).collect();
        for cluster in &all {
            for name in cluster.names() {
                if by_name.insert(name.to_owned(), cluster.clone()).is_some() {
                    return Err(NameTaken { name: name.to_owned() });
                }
            }
        }
        Ok(Self { primary, by_name, all })
    }

    /// Each once, the primary first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.all.iter()
    }

    /// The cluster that a caller means: no name and an empty one mean the primary, an alias means its cluster. Nobody
    /// but this function reads such a name, so everybody means the same cluster by it.
    pub fn named(&self, name: Option<&str>) -> Option<&Arc<Cluster>> {
        match name {
            None | Some("") => Some(&self.primary),
            Some(name) => self.by_name.get(name),
        }
    }
}
