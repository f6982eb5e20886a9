//! One replica's copy of the shared object, and the only way to change it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Changes, ENTRIES_MAX_BYTES, Entries, Seen, SharedError, SharedObject, Snapshot};

/// How many states that were read or written here are remembered, so that an echo of them is no news.
const KNOWN_MAX: usize = 64;

/// How long nothing may be heard before it is asked: what tells of it may have ended without a word.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// A copy of a shared object.
pub(crate) struct Share {
    object: Arc<dyn SharedObject>,
    copy: Option<Arc<Snapshot>>,
    /// Versions that were the copy or older than it.
    known: VecDeque<String>,
    led: bool,
    /// Whether it is not known what a write has led to.
    is_doubtful: bool,
    /// Whether the copy is another one than was last taken notice of.
    has_changed: bool,
}

impl Share {
    pub(crate) fn new(object: Arc<dyn SharedObject>) -> Self {
        Self { object, copy: None, known: VecDeque::new(), led: false, is_doubtful: false, has_changed: false }
    }

    /// Brings the copy up to date, and tells whether this replica leads. It is asked when something is heard that is not
    /// known, since what is heard may be late; when nothing is heard; when this replica begins to lead; and after a write
    /// that failed.
    ///
    /// # Errors
    /// Every variant of [`SharedError`]; the copy stays as it was.
    pub(crate) fn refresh(&mut self) -> Result<bool, SharedError> {
        let leads = self.object.leads();
        let seen = self.object.seen();
        let is_news = match &seen {
            Seen::Unheard => !leads || self.copy.is_none(),
            Seen::Absent => self.copy.is_some(),
            Seen::There(snapshot) => !self.known.contains(&snapshot.version),
        };
        let is_silent = self.object.silence() >= SILENCE_MAX;
        if is_news || is_silent || (leads && (!self.led || self.is_doubtful)) {
            let read = self.object.read()?;
            self.take(read.map(Arc::new))?;
            self.is_doubtful = false;
            if let Seen::There(snapshot) = seen {
                self.remember(&snapshot.version);
            }
        }
        self.led = leads;
        Ok(leads)
    }

    fn take(&mut self, snapshot: Option<Arc<Snapshot>>) -> Result<(), SharedError> {
        if snapshot.is_none() && self.copy.is_some() {
            return Err(SharedError::Gone { place: self.object.place() });
        }
        // A version may come again with another content, after the API server was restored.
        self.has_changed |= snapshot != self.copy;
        if let Some(snapshot) = &snapshot {
            self.remember(&snapshot.version);
        }
        self.copy = snapshot;
        Ok(())
    }

    fn remember(&mut self, version: &str) {
        self.known.retain(|known| known != version);
        self.known.push_back(version.to_owned());
        while self.known.len() > KNOWN_MAX {
            self.known.pop_front();
        }
    }

    /// What time it is by the clock of whoever keeps it, in seconds since the Unix epoch, if that was told.
    pub(crate) fn time(&self) -> Option<i64> {
        self.object.time()
    }

    /// For how long nothing was heard of it.
    pub(crate) fn silence(&self) -> Duration {
        self.object.silence()
    }

    /// Whether the copy became another one, other than by a change made here, since this was last asked.
    pub(crate) fn take_notice(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// The version of the copy.
    pub(crate) fn version(&self) -> Option<&str> {
        self.copy.as_ref().map(|copy| copy.version.as_str())
    }

    /// The entry called `name`, if it is there and not empty.
    pub(crate) fn entry(&self, name: &str) -> Option<&[u8]> {
        self.copy.as_ref()?.entries.get(name).map(|text| text.as_slice()).filter(|text| !text.is_empty())
    }

    /// The names of all entries.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.copy.iter().flat_map(|copy| copy.entries.keys().map(String::as_str))
    }

    /// Changes the object, unless nothing would change.
    ///
    /// # Errors
    /// Every variant of [`SharedError`]; the copy stays as it was, and is read again at the next refresh.
    pub(crate) fn change(&mut self, mut changes: Changes) -> Result<(), SharedError> {
        let place = || self.object.place();
        if !self.object.leads() {
            self.is_doubtful = true;
            return Err(SharedError::NotLeading { place: place() });
        }
        let before = self.copy.as_ref().map(|copy| &copy.entries);
        let old = |name: &str| before.and_then(|entries| entries.get(name));
        changes.retain(|name, text| old(name) != text.as_ref());
        if changes.is_empty() && before.is_some() {
            return Ok(());
        }
        let kept = before.into_iter().flatten().filter(|(name, _)| !changes.contains_key(*name));
        let added = changes.iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let bytes = kept.chain(added).map(|(name, text)| name.len() + text.len()).sum();
        if bytes > ENTRIES_MAX_BYTES {
            return Err(SharedError::TooLarge { place: place(), bytes });
        }
        let written = match &self.copy {
            Some(copy) => self.object.change(&copy.version, &changes),
            None => {
                let entries: Entries = changes.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
                self.object.create(&entries)
            }
        };
        let noticed = self.has_changed;
        match written {
            Ok(snapshot) => self.take(Some(Arc::new(snapshot)))?,
            Err(error) => {
                self.is_doubtful = true;
                return Err(error);
            }
        }
        self.has_changed = noticed;
        Ok(())
    }

    /// That nothing is kept although something says that it was; unless what says so `agrees` with what is to be kept.
    ///
    /// # Errors
    /// [`SharedError::Lost`]; [`SharedError::Conflict`] when another process made it meanwhile.
    pub(crate) fn check_never_was(&self, agrees: impl Fn(&str) -> bool) -> Result<(), SharedError> {
        let Some(witness) = self.object.witness()?.filter(|witness| !agrees(&witness.text)) else { return Ok(()) };
        let place = self.object.place();
        // Whoever is first makes the object before the witness.
        let now = self.object.read()?.map(|snapshot| snapshot.version);
        if now.as_deref() == self.version() {
            Err(SharedError::Lost { place, witness: witness.name })
        } else {
            Err(SharedError::Conflict { place })
        }
    }

    /// Names an entry in messages.
    pub(crate) fn place_of(&self, entry: &str) -> PathBuf {
        PathBuf::from(format!("{}, entry {entry}", self.object.place()))
    }

    /// Names it in messages.
    pub(crate) fn place(&self) -> PathBuf {
        PathBuf::from(self.object.place())
    }
}

#[cfg(test)]
mod tests;
