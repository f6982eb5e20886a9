//! Where the checkout and its target directory are, and how commands start in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::ChoreError;

/// The checkout that the chores work on.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The root is this crate's parent; the target directory is where this program was built.
    pub(crate) fn locate() -> Result<Self, ChoreError> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or(ChoreError::NoTargetDirectory)?;
        let program = std::env::current_exe().map_err(|_| ChoreError::NoTargetDirectory)?;
        let target = program.ancestors().nth(2).ok_or(ChoreError::NoTargetDirectory)?;
        Ok(Self { root: root.to_owned(), target: target.to_owned() })
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path, target: &Path) -> Self {
        Self { root: root.to_owned(), target: target.to_owned() }
    }

    /// The folder of the workspace manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo builds, whatever it was told by environment or configuration.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// `program`, to be run in the root.
    ///
    /// `cargo run` describes the package of this program in the environment. Build scripts that watch those variables
    /// would run again for every change between `cargo build` and `cargo xtask`, so they are not handed on.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            if describes_this_package(&name.to_string_lossy()) {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The cargo that runs this program, building where this program was built.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// Runs `command` to its end, as the named step of a chore, with this program's own stdout and stderr.
pub(crate) fn run_step(step: &str, command: &mut Command) -> Result<(), ChoreError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let hint = "run this program as `cargo xtask`".to_owned();
    let status = command.status().map_err(|source| ChoreError::Start { program, hint, source })?;
    if status.success() {
        return Ok(());
    }
    Err(ChoreError::Step { step: step.to_owned(), status })
}

fn describes_this_package(variable: &str) -> bool {
    const FAMILIES: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    FAMILIES.iter().any(|family| variable.starts_with(family))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Workspace, describes_this_package, run_step};

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        let workspace = Workspace::locate().unwrap();

        let manifest = std::fs::read_to_string(workspace.root().join("Cargo.toml")).unwrap();

        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn a_failed_step_is_named_with_its_status() {
        let error = run_step("lints", &mut Command::new("false")).unwrap_err();

        assert_eq!(error.to_string(), "step `lints` failed with exit status: 1");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run_step("lints", &mut Command::new("no-such-program")).unwrap_err();

        assert!(error.to_string().starts_with("`no-such-program` could not be started"));
    }

    #[test]
    fn settings_of_the_user_reach_cargo_and_words_about_this_package_do_not() {
        assert!(describes_this_package("CARGO_MANIFEST_DIR"));
        assert!(describes_this_package("CARGO_PKG_NAME"));
        assert!(!describes_this_package("CARGO_HOME"));
        assert!(!describes_this_package("CARGO_BUILD_JOBS"));
    }
}
