//! Which names somebody waits for: what nobody asks for is not looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use crate::sds::ResourceName;

/// Most names looked for at once, over all streams.
pub const DEMANDS_MAX: usize = 256;

/// Who asks. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Demands {
    counts: Arc<watch::Sender<BTreeMap<ResourceName, usize>>>,
}

/// Already [`DEMANDS_MAX`] names are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("already {DEMANDS_MAX} secrets are looked for")]
pub struct TooMany;

/// Somebody who asks; until it is dropped.
#[derive(Debug)]
pub struct Lease {
    name: ResourceName,
    demands: Demands,
}

/// What is asked for, as whoever looks for it sees it.
#[derive(Debug)]
pub struct Asked {
    counts: watch::Receiver<BTreeMap<ResourceName, usize>>,
}

impl Demands {
    /// Nobody asks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for `name`.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn lease(&self, name: ResourceName) -> Result<Lease, TooMany> {
        let mut is_refused = false;
        self.counts.send_if_modified(|counts| {
            if let Some(count) = counts.get_mut(&name) {
                *count += 1;
                return false;
            }
            is_refused = counts.len() >= DEMANDS_MAX;
            if !is_refused {
                counts.insert(name.clone(), 1);
            }
            !is_refused
        });
        if is_refused { Err(TooMany) } else { Ok(Lease { name, demands: self.clone() }) }
    }

    /// For whoever looks.
    pub fn asked(&self) -> Asked {
        let mut counts = self.counts.subscribe();
        // What was asked before must not be missed.
        counts.mark_changed();
        Asked { counts }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.demands.counts.send_if_modified(|counts| {
            let Some(count) = counts.get_mut(&self.name) else { return false };
            *count -= 1;
            let is_last = *count == 0;
            if is_last {
                counts.remove(&self.name);
            }
            is_last
        });
    }
}

impl Asked {
    /// Waits until other names are asked for. Losing this future loses nothing.
    pub async fn changed(&mut self) {
        if self.counts.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The names; marks them as seen.
    pub fn names(&mut self) -> BTreeSet<ResourceName> {
        self.counts.borrow_and_update().keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(index: usize) -> ResourceName {
        format!("file-root:/etc/certs/{index}").parse().unwrap()
    }

    #[test]
    fn a_name_is_looked_for_as_long_as_anybody_asks() {
        let demands = Demands::new();
        let mut asked = demands.asked();
        let (one, two) = (demands.lease(name(1)).unwrap(), demands.lease(name(1)).unwrap());
        drop(one);
        assert_eq!(asked.names(), [name(1)].into());
        drop(two);
        assert_eq!(asked.names(), BTreeSet::new());
    }

    #[test]
    fn there_is_room_for_so_many_names_and_again_when_one_goes() {
        let demands = Demands::new();
        let mut leases: Vec<_> = (0..DEMANDS_MAX).map(|index| demands.lease(name(index)).unwrap()).collect();
        assert_eq!(demands.lease(name(DEMANDS_MAX)).unwrap_err(), TooMany);
        assert!(demands.lease(name(0)).is_ok(), "what is looked for already costs nothing more");
        leases.pop();
        assert!(demands.lease(name(DEMANDS_MAX)).is_ok());
    }
}
