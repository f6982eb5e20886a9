//! Where generations are kept: the seam between rotation and what holds its state.
//!
//! A store keeps three things: the rotation as it was last written down, the material of each generation, and the
//! published roots. It decides nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use signet_identity::{CertificateError, KeyError, PemError, Timestamp, TrustDomain};
use signet_runtime::files::FileError;

use super::journal::JournalError;
use super::material::{Material, MaterialError};
use super::rotation::{Generation, Refusal, Rotation};
use super::signing::UnfitError;
use crate::shared::SharedError;

/// Why state is not used. What was kept is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of a generation is not PEM.
    #[error("`{path}` cannot be read as PEM: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PemError,
    },
    /// A file of a generation does not hold one key and its certificates.
    #[error("`{path}` holds {keys} private keys and {certificates} certificates, one of each is needed")]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Keys found.
        keys: usize,
        /// Certificates found.
        certificates: usize,
    },
    /// The key in it cannot be used.
    #[error("private key in `{path}` cannot be used: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A certificate in it cannot be used.
    #[error("certificate in `{path}` cannot be used: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// Key and certificates do not make an authority.
    #[error("`{path}`: {source}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: UnfitError,
    },
    /// The file that says what is what cannot be used.
    #[error("`{path}` cannot be used: {source}")]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        source: JournalError,
    },
    /// A root was published here and its key is gone.
    #[error("`{root}` is there but `{authority}` is not: restore it, or empty the directory to begin with a new root")]
    KeyLost {
        /// The published root.
        root: PathBuf,
        /// The file that is missing.
        authority: PathBuf,
    },
    /// The published roots are others.
    #[error("`{root}` is not the root in `{authority}`: one of them was exchanged")]
    AnotherRoot {
        /// The published roots.
        root: PathBuf,
        /// What says which roots there are.
        authority: PathBuf,
    },
    /// What is kept was made for another trust domain.
    #[error("root in `{path}` was made for another trust domain than `{trust_domain}`: use another directory for it")]
    AnotherTrustDomain {
        /// The file.
        path: PathBuf,
        /// The trust domain in force.
        trust_domain: TrustDomain,
    },
    /// Another process may write and has not yet.
    #[error("another process holds the lock and has not made `{place}`")]
    Busy {
        /// What it should have made.
        place: PathBuf,
    },
    /// What all replicas share.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// Key or certificate are not those that were written down.
    #[error("`{path}` is not what was kept there: somebody changed it, restore it")]
    Exchanged {
        /// Where they stand.
        path: PathBuf,
    },
    /// Keys are there and what says what they are is not.
    #[error("`{path}` is gone, which says what the kept keys are: restore it")]
    JournalLost {
        /// What is missing.
        path: PathBuf,
    },
    /// What is kept is older than what this process knows.
    #[error(
        "state in `{path}` went back from change {known} to {found}: restore the later one, or restart every replica to \
         go on from the earlier one"
    )]
    WentBack {
        /// Where it stands.
        path: PathBuf,
        /// The latest change that this process knows.
        known: u64,
        /// The latest in what was found.
        found: u64,
    },
    /// A root that stands where the next generation's should be is none that could be it.
    #[error("root in `{place}` cannot be the next generation: {source}")]
    NotTaken {
        /// Where it stands.
        place: PathBuf,
        /// Why not.
        source: Refusal,
    },
    /// A key that nobody wrote down stands where the first generation's would be written.
    #[error(
        "`{place}` holds another authority than what is plugged in, and perhaps the only copy of its key: keep the state \
         elsewhere, or start once without what is plugged in, so that it is followed step by step"
    )]
    AnotherAuthority {
        /// Where it stands.
        place: PathBuf,
    },
    /// A certificate stands where a root should be and is none.
    #[error(
        "`{place}` is an intermediate, whose roots are not known: plug it in with its roots, and keep the state elsewhere"
    )]
    NotRoot {
        /// Where it stands.
        place: PathBuf,
    },
    /// The clock of this machine is not that of those who keep the state.
    #[error(
        "the clock of this machine shows {now}, where the state is kept it is {there}: nothing ends, and nothing is made, by \
         a clock that may be wrong; set it right"
    )]
    Skewed {
        /// What the clock shows.
        now: Timestamp,
        /// What the other one shows.
        there: Timestamp,
    },
    /// No generation signs, and none can be made.
    #[error("no generation of the authority can sign")]
    NoSigner,
    /// No key could be made.
    #[error("root cannot be made: {0}")]
    Make(#[from] KeyError),
    /// What was made could not be read back.
    #[error("root cannot be made: {0}")]
    Made(CertificateError),
    /// The clock shows a time that no certificate can name.
    #[error("root cannot be made at {now}, which is beyond what a certificate can say")]
    Clock {
        /// What the clock shows.
        now: Timestamp,
    },
}

impl StateError {
    pub(super) fn of_material(path: PathBuf, error: MaterialError) -> Self {
        match error {
            MaterialError::Pem(source) => Self::Pem { path, source },
            MaterialError::Incomplete { keys, certificates } => Self::Incomplete { path, keys, certificates },
            MaterialError::Key(source) => Self::Key { path, source },
            MaterialError::Certificate(source) => Self::Certificate { path, source },
        }
    }
}

/// How long a start waits for what should pass, and how often it looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) deadline: Duration,
    pub(crate) poll: Duration,
}

/// Enough for another process of this machine that makes a root in the same directory.
const PATIENCE: Patience = Patience { deadline: Duration::from_secs(5), poll: Duration::from_millis(10) };

/// Keeps generations. Each write is whole or not there at all, also after a crash.
pub(crate) trait Store: Send {
    /// Whether this process may write. Asked before each look, since that may change.
    fn leads(&mut self) -> Result<bool, StateError>;

    /// Whether another process wrote since this was last asked, or may have.
    fn has_changed(&mut self) -> bool {
        false
    }

    /// What was written down last; `None` before the first time.
    fn load(&self) -> Result<Option<Rotation>, StateError>;

    /// Writes a rotation down. Everything that it refers to must be kept before.
    fn save(&mut self, rotation: &Rotation) -> Result<(), StateError>;

    /// Keeps what generation `id` is made of.
    fn keep(&mut self, id: u64, material: Material) -> Result<(), StateError>;

    /// What a generation is made of.
    fn material(&self, generation: &Generation) -> Result<Material, StateError>;

    /// That a first generation may be made, or be `plugged_in`: nothing says that there is one already.
    fn check_first(&self, _plugged_in: Option<&Material>) -> Result<(), StateError> {
        Ok(())
    }

    /// A root of our own that was kept as generation `id` and never written down, if there is one.
    fn unwritten(&self, id: u64) -> Result<Option<Material>, StateError>;

    /// Puts the published roots where everyone can read them, if something else is there.
    fn publish(&mut self, rotation: &Rotation, roots_pem: &str) -> Result<(), StateError>;

    /// Removes what `rotation` does not need any more, and gives whether nothing of it is left to try again. What cannot be removed
    /// is told and stays.
    fn sweep(&mut self, rotation: &Rotation) -> bool;

    /// Names the place of generation `id` in messages.
    fn place(&self, id: u64) -> PathBuf;

    /// Whether roots stand where everyone can read them.
    fn has_published(&self) -> bool {
        false
    }

    /// Whether what is kept outlives the process.
    fn lasts(&self) -> bool {
        true
    }

    /// The number of the bundle before the first.
    fn numbered_from(&self) -> u64 {
        0
    }

    /// Whether processes that do not write know it from afar, and late.
    fn is_shared(&self) -> bool {
        false
    }

    /// What time it is by the clock of whoever keeps it, where that is another one.
    fn time(&self) -> Option<Timestamp> {
        None
    }

    /// How long nothing was heard of what is kept.
    fn silence(&self) -> Duration {
        Duration::ZERO
    }

    /// How long a start waits.
    fn patience(&self) -> Patience {
        PATIENCE
    }
}

/// Keeps everything in memory: what ends with the process was given by others, and comes back from them.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    rotation: Option<Rotation>,
    materials: BTreeMap<u64, Material>,
}

impl Memory {
    /// Nothing kept, and bundles numbered from `bundle`.
    pub(crate) fn numbered_from(bundle: u64) -> Self {
        Self { rotation: Some(Rotation::new(bundle)), materials: BTreeMap::new() }
    }
}

impl Store for Memory {
    fn leads(&mut self) -> Result<bool, StateError> {
        Ok(true)
    }

    fn load(&self) -> Result<Option<Rotation>, StateError> {
        Ok(self.rotation.clone())
    }

    fn save(&mut self, rotation: &Rotation) -> Result<(), StateError> {
        self.rotation = Some(rotation.clone());
        Ok(())
    }

    fn keep(&mut self, id: u64, material: Material) -> Result<(), StateError> {
        self.materials.insert(id, material);
        Ok(())
    }

    fn material(&self, generation: &Generation) -> Result<Material, StateError> {
        let found = self.materials.get(&generation.id).ok_or(StateError::NoSigner)?;
        Ok(found.try_clone()?)
    }

    fn unwritten(&self, _: u64) -> Result<Option<Material>, StateError> {
        Ok(None)
    }

    fn publish(&mut self, _: &Rotation, _: &str) -> Result<(), StateError> {
        Ok(())
    }

    fn sweep(&mut self, rotation: &Rotation) -> bool {
        self.materials.retain(|id, _| rotation.get(*id).is_some_and(|found| !found.phase.is_over()));
        true
    }

    fn place(&self, id: u64) -> PathBuf {
        PathBuf::from(format!("generation {id}"))
    }

    fn lasts(&self) -> bool {
        false
    }
}
