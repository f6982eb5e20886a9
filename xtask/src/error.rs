//! Why a chore could not be done, each with what to do next.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// Why a chore stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChoreError {
    #[error("the target directory could not be found from the path of this program; run it as `cargo xtask`")]
    NoTargetDirectory,
    #[error("step `{step}` failed with {status}")]
    Step { step: String, status: ExitStatus },
    #[error("`{program}` could not be started; {hint}")]
    Start { program: String, hint: String, source: io::Error },
    #[error("`{program}` failed with {status}; {hint}")]
    Command { program: String, status: ExitStatus, hint: String },
    #[error("`{}` could not be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("`{variable}` names `{}`, which {problem}; correct it, or unset it to use the pinned version", path.display())]
    Override { variable: &'static str, path: PathBuf, problem: &'static str },
    #[error("there is no fuzz target `{name}`; `cargo xtask fuzz --list` lists them")]
    UnknownTarget { name: String },
    #[error("`{}` was installed but does not run on this machine; {hint}", program.display())]
    Unusable { program: PathBuf, hint: String },
}

impl ChoreError {
    /// For `map_err` on whatever touches `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
