//! Provisioning without the network: what counts as finished, and what the user's own choice must be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::{ENVOY, MARKER, TOOLS, is_complete, remove};
use crate::workspace::Workspace;

fn refusal(path: &Path) -> String {
    ENVOY.chosen_by_user(path).unwrap_err().to_string()
}

#[test]
fn an_environment_counts_only_with_a_marker_that_repeats_its_requirements() {
    let venv = TempDir::new().unwrap();
    assert!(!is_complete(venv.path(), "a==1\n"));

    fs::write(venv.path().join(MARKER), "a==1\n").unwrap();

    assert!(is_complete(venv.path(), "a==1\n"));
    assert!(!is_complete(venv.path(), "a==2\n"));
}

#[test]
fn an_absent_environment_is_as_good_as_a_removed_one() {
    let folder = TempDir::new().unwrap();

    assert!(remove(&folder.path().join("absent")).is_ok());
}

#[test]
fn an_envoy_of_the_users_own_must_be_an_executable_file() {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("envoy");
    assert!(refusal(&program).contains("`SIGNET_ENVOY` names `"));
    assert!(refusal(&program).contains("does not exist"));
    assert!(refusal(folder.path()).contains("is not a file"));

    fs::write(&program, "").unwrap();
    assert!(refusal(&program).contains("is not executable"));

    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ENVOY.chosen_by_user(&program).unwrap(), program);
}

#[test]
fn two_chores_do_not_make_one_environment_at_once() {
    let folder = TempDir::new().unwrap();
    let workspace = Workspace::at(folder.path(), folder.path());
    let held = ENVOY.lock(&workspace).unwrap();

    let (done, waits) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _second = ENVOY.lock(&workspace).unwrap();
            done.send(()).unwrap();
        });
        assert!(waits.recv_timeout(std::time::Duration::from_millis(50)).is_err());
        drop(held);
        assert!(waits.recv_timeout(std::time::Duration::from_secs(10)).is_ok());
    });
}

#[test]
fn every_requirement_is_pinned() {
    let workspace = Workspace::locate().unwrap();
    for provision in [ENVOY, TOOLS] {
        let list = workspace.root().join("xtask/python").join(provision.requirements);
        let text = fs::read_to_string(list).unwrap();
        let mut packages = text.lines().filter(|line| !line.starts_with('#')).peekable();
        assert!(packages.peek().is_some());
        assert!(packages.all(|package| package.contains("==")));
    }
}
