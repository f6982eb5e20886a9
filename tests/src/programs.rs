//! Where the programs under test are.

use std::path::{Path, PathBuf};

/// The program that cargo built under `name` in the profile of the running test.
///
/// # Panics
/// When it is not there, with what to run.
#[track_caller]
pub fn bin(name: &str) -> PathBuf {
    let program = profile_folder().join(name);
    assert!(
        program.is_file(),
        "`{}` is not built: run `cargo xtask test`, or `cargo build --workspace --bins` first",
        program.display()
    );
    program
}

/// What a chore installed for tests: the program that `variable` names, or else the one that
/// `cargo xtask CHORE` leaves at `place` in the target directory.
#[track_caller]
pub(crate) fn installed(variable: &str, chore: &str, place: &str) -> PathBuf {
    let named = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let program = named.unwrap_or_else(|| target_folder().join(place));
    assert!(
        program.is_file(),
        "`{}` is not there: run `cargo xtask {chore}`, or set {variable} to a program of your own",
        program.display()
    );
    program
}

/// `target/<profile>`, which holds the running test as `deps/<test>`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(2).expect("a test lies in a profile's `deps`").to_owned()
}

fn target_folder() -> PathBuf {
    profile_folder().parent().map(Path::to_owned).expect("a profile lies in the target directory")
}

#[cfg(test)]
mod tests {
    use super::{bin, installed};

    #[test]
    #[should_panic(expected = "run `cargo xtask test`, or `cargo build --workspace --bins` first")]
    fn a_program_that_is_not_built_is_told() {
        bin("no-such-program");
    }

    #[test]
    #[should_panic(expected = "run `cargo xtask envoy`, or set NO_SUCH_VARIABLE to a program")]
    fn a_program_that_is_not_installed_is_told() {
        installed("NO_SUCH_VARIABLE", "envoy", "no-such-place");
    }
}
