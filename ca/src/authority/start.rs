//! The start of an authority: from what is kept, from what is plugged in, or anew; until something signs.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use signet_identity::Timestamp;
use signet_runtime::tasks::chain;

use super::conductor::Conductor;
use super::rotation::{Watching, Why};
use super::store::StateError;
use super::{Authority, AuthorityError};

impl Conductor {
    /// Looks until something signs, waiting for a process that makes the first root in the same place, and for a place
    /// that is away.
    pub(crate) fn start(&mut self, now: Timestamp) -> Result<Arc<Authority>, AuthorityError> {
        let patience = self.store.patience();
        let (began, mut is_told) = (Instant::now(), false);
        loop {
            let error = match self.begin(now) {
                Ok(Some(authority)) => return Ok(authority),
                Ok(None) => StateError::Busy { place: self.store.place(1) }.into(),
                Err(error) if error.is_passing() => error,
                Err(error) => return Err(error),
            };
            // An attempt takes its time as well: that of the requests in it. What passes is tried at least twice.
            if is_told && began.elapsed() >= patience.deadline {
                return Err(error);
            }
            if !std::mem::replace(&mut is_told, true) {
                tracing::info!(error = chain(&error), "authority is waited for");
            }
            thread::sleep(patience.poll);
        }
    }

    /// One attempt to start; `None` while another process has not made what is needed.
    fn begin(&mut self, now: Timestamp) -> Result<Option<Arc<Authority>>, AuthorityError> {
        if !self.take_lead()? && self.load()?.is_none_or(|rotation| rotation.active().is_none()) {
            return Ok(None);
        }
        if self.leads {
            if self.rotation.generations().is_empty() && self.store.has_published() {
                // A root that was published before anything was written down comes first, and keeps its key.
                self.make(Why::Found, now)?;
            }
            self.import_first(now)??;
        }
        self.look(now, Duration::ZERO, Watching::default())?;
        match (&self.authority, self.rotation.active()) {
            (Some(authority), _) => Ok(Some(authority.clone())),
            // Tried once more for the reason.
            (None, Some(active)) => Err(self.signing_of(active, now).err().unwrap_or(StateError::NoSigner).into()),
            (None, None) => Err(StateError::NoSigner.into()),
        }
    }
}
