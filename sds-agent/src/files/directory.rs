//! How a set of files changes in one step, as the kubelet does it for its volumes.
//!
//! Each set lives in a directory of its own, named by time; the link `..data` leads to the newest, and the names that
//! programs know lead through that link. One rename of `..data` changes them all. The set before is kept until the
//! next change, so that a reader who followed the link a moment ago still finds its files.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use signet_identity::Timestamp;
use signet_runtime::files::{self, FileError, SECRET_DIR_MODE, SECRET_MODE};

use super::FileSet;

/// The private key, PKCS#8 PEM.
pub const KEY_FILE: &str = "key.pem";

/// The leaf and the intermediates, PEM.
pub const CHAIN_FILE: &str = "cert-chain.pem";

/// The roots, PEM.
pub const ROOTS_FILE: &str = "root-cert.pem";

/// The link to the newest set. Who reads several files resolves it once and reads them all behind it.
pub const DATA_LINK: &str = "..data";

/// Where a link is made before it is renamed.
const LINK_MAKING: &str = "..data_tmp";

/// Beginning of the names of set directories: unlike any name that programs use, or that anybody else makes here.
const SET_PREFIX: &str = "..signet-";

/// Writes `set` into `dir` and switches to it. On an error the set before is still in force.
pub(super) fn publish(dir: &Path, set: &FileSet, now: Timestamp) -> Result<(), FileError> {
    files::create_secret_dir(dir)?;
    let before = fs::read_link(dir.join(DATA_LINK)).ok();
    let name = format!("{SET_PREFIX}{}-{:08x}", now.unix_millis(), fastrand::u32(..));
    // The names come first and the switch last, so that whatever fails leaves the set before in force.
    let names = || set.files().iter().try_for_each(|(file, _)| link(dir, file, &Path::new(DATA_LINK).join(file)));
    let switched =
        write_set(&dir.join(&name), set).and_then(|()| names()).and_then(|()| link(dir, DATA_LINK, Path::new(&name)));
    if let Err(error) = switched {
        // The useless set holds a key; if it cannot be removed now, the next success removes it.
        let _ = fs::remove_dir_all(dir.join(&name));
        return Err(error);
    }
    files::sync_parent(&dir.join(DATA_LINK))?;
    remove_others(dir, &[Some(Path::new(&name)), before.as_deref()]);
    Ok(())
}

fn write_set(dir: &Path, set: &FileSet) -> Result<(), FileError> {
    let made = DirBuilder::new().mode(SECRET_DIR_MODE).create(dir);
    made.map_err(failed("create directory", dir))?;
    for (name, content) in set.files() {
        let path = dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(&path);
        file.and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
            .map_err(failed("write", &path))?;
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}

/// Makes `dir/name` a link to `target`, in one step whatever stood there.
fn link(dir: &Path, name: &str, target: &Path) -> Result<(), FileError> {
    let path = dir.join(name);
    if fs::read_link(&path).is_ok_and(|found| found == target) {
        return Ok(());
    }
    let making = dir.join(LINK_MAKING);
    match fs::remove_file(&making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &making)(error)),
        _ => {}
    }
    symlink(target, &making).map_err(failed("link", &making))?;
    fs::rename(&making, &path).map_err(failed("rename onto", &path))
}

/// Removes all sets but `keep`. One that cannot be removed is no harm but room on the disk, and is tried again.
fn remove_others(dir: &Path, keep: &[Option<&Path>]) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let is_set = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(SET_PREFIX));
    for name in entries.flatten().map(|entry| entry.file_name()).filter(|name| is_set(name)) {
        if !keep.contains(&Some(Path::new(&name)))
            && let Err(error) = fs::remove_dir_all(dir.join(&name))
        {
            tracing::debug!(%error, set = %Path::new(&name).display(), "old set could not be removed");
        }
    }
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path: PathBuf = path.to_owned();
    move |source| FileError::Io { verb, path, source }
}

#[cfg(test)]
mod tests;
