//! Generations kept in a directory: one file for each with its key, a journal that says what they are, and the
//! published roots for everyone to read.
//!
//! A generation's file is written before the journal names it, and the journal before anything else follows from it,
//! so a process that is killed anywhere leaves a directory that the next one goes on with. Of several processes with
//! one directory, the one that holds its lock writes; the lock ends with the process. A published root without its key
//! means that the key was lost: that is refused, since a second root would split the trust domain.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::{Certificate, TrustDomain};
use signet_runtime::files::{self, DirLock, SECRET_MODE};
use zeroize::Zeroizing;

use super::journal::{self, JOURNAL_MAX_BYTES};
use super::material::{MATERIAL_MAX_BYTES, Material};
use super::rotation::{Generation, Origin, Rotation, root_id};
use super::store::{StateError, Store};

/// The file of the first generation. Directories made before there were generations have only this one.
const FIRST_FILE: &str = "authority.pem";

/// What the files of later generations begin and end with; between stands the number.
const LATER_FILE: (&str, &str) = ("authority-", ".pem");

/// The file that says which generations there are.
const JOURNAL_FILE: &str = "state.json";

/// The file that holds the published roots, for everyone to read.
const ROOT_FILE: &str = "root-cert.pem";

const ROOT_FILE_MODE: u32 = 0o644;

/// A directory with generations.
pub(crate) struct StateDir {
    dir: PathBuf,
    trust_domain: TrustDomain,
    /// Held for as long as this process writes here.
    lock: Option<DirLock>,
}

impl StateDir {
    pub(crate) fn new(dir: &Path, trust_domain: TrustDomain) -> Self {
        Self { dir: dir.to_owned(), trust_domain, lock: None }
    }

    fn try_lock(&self) -> Result<Option<DirLock>, StateError> {
        files::create_secret_dir(&self.dir)?;
        Ok(files::try_lock_dir(&self.dir)?)
    }

    fn read(&self, path: &Path, roots_pem: Option<&str>) -> Result<Option<Material>, StateError> {
        let text = match files::read(path, MATERIAL_MAX_BYTES) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        warn_if_others_may_read(path);
        let material = Material::from_pem(&text, roots_pem);
        material.map(Some).map_err(|error| StateError::of_material(path.to_owned(), error))
    }

    fn journal(&self) -> PathBuf {
        self.dir.join(JOURNAL_FILE)
    }

    fn root(&self) -> PathBuf {
        self.dir.join(ROOT_FILE)
    }

    /// The published roots must be among those that `rotation` knows: others belong to another directory.
    fn check_published(&self, published: &[u8], rotation: &Rotation) -> Result<(), StateError> {
        let known =
            |id: &str| rotation.generations().iter().any(|generation| generation.roots.ids().any(|of| of == id));
        let roots = Certificate::list_from_pem(published, BUNDLE_PEM_MAX_BYTES).unwrap_or_default();
        if !roots.is_empty() && roots.iter().all(|root| known(&root_id(root))) {
            return Ok(());
        }
        let authority = rotation.active().map_or_else(|| self.journal(), |active| self.place(active.id));
        Err(StateError::AnotherRoot { root: self.root(), authority })
    }
}

impl Store for StateDir {
    fn leads(&mut self) -> Result<bool, StateError> {
        if self.lock.is_none() {
            self.lock = self.try_lock()?;
        }
        Ok(self.lock.is_some())
    }

    fn load(&self) -> Result<Option<Rotation>, StateError> {
        let path = self.journal();
        let text = match files::read(&path, JOURNAL_MAX_BYTES) {
            Ok(text) => text,
            Err(error) if error.is_missing() => {
                let (root, authority) = (self.root(), self.place(1));
                let is_lost = files::is_absent(&authority) && !files::is_absent(&root);
                return if is_lost { Err(StateError::KeyLost { root, authority }) } else { Ok(None) };
            }
            Err(error) => return Err(error.into()),
        };
        match journal::read(&text, &self.trust_domain) {
            Ok((trust_domain, _)) if trust_domain != self.trust_domain.as_str() => {
                Err(StateError::AnotherTrustDomain { path, trust_domain: self.trust_domain.clone() })
            }
            Ok((_, rotation)) => Ok(Some(rotation)),
            Err(source) => Err(StateError::Journal { path, source }),
        }
    }

    fn save(&mut self, rotation: &Rotation) -> Result<(), StateError> {
        let path = self.journal();
        match journal::write(rotation, &self.trust_domain) {
            Ok(text) => Ok(files::replace(&path, text.as_bytes(), SECRET_MODE)?),
            Err(source) => Err(StateError::Journal { path, source }),
        }
    }

    fn keep(&mut self, id: u64, material: Material) -> Result<(), StateError> {
        Ok(files::replace(&self.place(id), material.to_pem().as_bytes(), SECRET_MODE)?)
    }

    fn material(&self, generation: &Generation) -> Result<Material, StateError> {
        let path = self.place(generation.id);
        let roots_pem = (generation.origin == Origin::PluggedIn).then(|| generation.roots.pem());
        match self.read(&path, roots_pem)? {
            Some(material) => Ok(material),
            None => Err(StateError::KeyLost { root: self.root(), authority: path }),
        }
    }

    fn unwritten(&self, id: u64) -> Result<Option<Material>, StateError> {
        let path = self.place(id);
        let read = match self.read(&path, None) {
            // An operator's set, which comes again from its directory. One that stands as the first generation may be
            // the only copy that there is.
            Err(StateError::Incomplete { keys: 1, certificates: 2.., .. }) if id > 1 => return Ok(None),
            // Its key is in a token, so that nothing is lost with it.
            Err(StateError::Incomplete { keys: 0, certificates: 1.., .. }) => return Ok(None),
            read => read?,
        };
        match read {
            Some(material) if material.certificate.uris() != [self.trust_domain.id().as_str()] => {
                Err(StateError::AnotherTrustDomain { path, trust_domain: self.trust_domain.clone() })
            }
            read => Ok(read),
        }
    }

    fn publish(&mut self, rotation: &Rotation, roots_pem: &str) -> Result<(), StateError> {
        let path = self.root();
        match files::read(&path, BUNDLE_PEM_MAX_BYTES) {
            Ok(published) if published == roots_pem.as_bytes() => return Ok(()),
            Ok(published) => self.check_published(&published, rotation)?,
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(files::replace(&path, roots_pem.as_bytes(), ROOT_FILE_MODE)?)
    }

    /// Removes keys that nobody needs: of generations that are over, and what a process left that was killed while
    /// writing. A file that no journal ever named is not ours to remove: it may be from a later backup.
    fn sweep(&mut self, rotation: &Rotation) -> bool {
        let is_over = |id: u64| {
            let found = rotation.get(id);
            id < rotation.next_id() && found.is_none_or(|generation| generation.phase.is_over())
        };
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if is_leftover(&name) || id_of(&name).is_some_and(is_over) {
                match fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(path = %entry.path().display(), %error, "file that is not needed any more stays");
                    }
                    _ => {}
                }
            }
        }
        true
    }

    fn has_published(&self) -> bool {
        !files::is_absent(&self.root())
    }

    fn place(&self, id: u64) -> PathBuf {
        let (before, after) = LATER_FILE;
        self.dir.join(if id == 1 { FIRST_FILE.to_owned() } else { format!("{before}{id}{after}") })
    }
}

/// The generation whose file is called `name`.
fn id_of(name: &str) -> Option<u64> {
    let (before, after) = LATER_FILE;
    if name == FIRST_FILE { Some(1) } else { name.strip_prefix(before)?.strip_suffix(after)?.parse().ok() }
}

/// Whether `name` is that of a file which was being written when its writer was killed.
fn is_leftover(name: &str) -> bool {
    let beside = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    let of = beside.and_then(|name| name.rsplit_once('.')).map(|(of, _)| of);
    of.is_some_and(|of| of == JOURNAL_FILE || of == ROOT_FILE || id_of(of).is_some())
}

/// Some volumes change modes by themselves, so this is told and not refused.
fn warn_if_others_may_read(path: &Path) {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(SECRET_MODE);
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "others may read the root's key");
    }
}
