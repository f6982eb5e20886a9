//! SoftHSM, a token in software, from the packages of the distribution, unpacked under the target directory.
//!
//! Nothing is installed into the system. A marker is written last: a folder without it is half-made and is made anew.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::ChoreError;
use crate::python::{remove, run};
use crate::talk;
use crate::workspace::Workspace;

/// Names the root below which SoftHSM is installed; nothing is unpacked then. Children of chores always get it set.
pub(crate) const VARIABLE: &str = "SIGNET_SOFTHSM";

/// The folder under the target directory, where tests find it too.
const FOLDER: &str = "softhsm";

/// Debian's packages of the module, the program that fills tokens, and what both need that may not be there.
const PACKAGES: [&str; 3] = ["libsofthsm2", "softhsm2", "softhsm2-common"];

/// What must be there.
const PROGRAM: &str = "usr/bin/softhsm2-util";

const MARKER: &str = "complete.txt";

const HINT: &str = "install SoftHSM 2 (Debian: softhsm2) and set SIGNET_SOFTHSM=/, or name the root below which it is";

/// The root below which SoftHSM is, unpacked first where that is needed.
pub(crate) fn provide(workspace: &Workspace) -> Result<PathBuf, ChoreError> {
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return chosen_by_user(Path::new(&path));
    }
    let root = workspace.target().join(FOLDER);
    if !root.join(MARKER).exists() || !root.join(PROGRAM).exists() {
        unpack(workspace, &root)?;
        fs::write(root.join(MARKER), PACKAGES.join("\n")).map_err(ChoreError::file(&root))?;
    }
    Ok(root)
}

fn chosen_by_user(root: &Path) -> Result<PathBuf, ChoreError> {
    if !root.join(PROGRAM).is_file() {
        return Err(ChoreError::Override { variable: VARIABLE, path: root.join(PROGRAM), problem: "does not exist" });
    }
    std::path::absolute(root).map_err(ChoreError::file(root))
}

fn unpack(workspace: &Workspace, root: &Path) -> Result<(), ChoreError> {
    talk::progress(&format!("unpacking SoftHSM into {}", root.display()));
    let packages = workspace.target().join("softhsm-packages");
    for folder in [root, &packages] {
        remove(folder).map_err(ChoreError::file(folder))?;
        fs::create_dir_all(folder).map_err(ChoreError::file(folder))?;
    }
    let download = || {
        let mut command = workspace.command("apt-get");
        command.arg("download").args(PACKAGES).current_dir(&packages);
        run(&mut command, HINT)
    };
    if download().is_err() {
        // A fresh machine does not know what there is; who may not ask is told by the second attempt.
        let _ = run(workspace.command("apt-get").arg("update"), HINT);
        download()?;
    }
    let entries = fs::read_dir(&packages).map_err(ChoreError::file(&packages))?;
    for package in entries.flatten().map(|entry| entry.path()) {
        run(workspace.command("dpkg-deb").arg("--extract").arg(package).arg(root), HINT)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::chosen_by_user;

    #[test]
    fn a_root_without_softhsm_is_refused_with_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();

        let error = chosen_by_user(dir.path()).unwrap_err().to_string();

        assert!(error.contains("usr/bin/softhsm2-util`, which does not exist"), "{error}");
    }
}
