//! What every source file looks like, and what none may hold.

use crate::files::{self, File};
use crate::nothing_to_complain_about;

/// Lines that a person can hold in mind.
const LINES_MAX: usize = 400;
/// The same for tests, which are read a case at a time.
const TEST_LINES_MAX: usize = 600;

/// Notes to a later self, in pieces so that this file holds none.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
/// Code that is switched off or not written yet, likewise.
const UNFINISHED: [&str; 3] = [concat!("#[", "ignore"), concat!("to", "do!"), concat!("unimple", "mented!")];

fn without_module_doc(files: &[File]) -> Vec<String> {
    let sources = files.iter().filter(|file| file.is("rs") && !is_generated(file));
    let silent = sources.filter(|file| !file.text.starts_with("//! "));
    silent.map(|file| format!("{} does not open with `//! `", file.path)).collect()
}

fn is_generated(file: &File) -> bool {
    file.path.split('/').any(|part| part == "generated")
}

fn too_long(files: &[File]) -> Vec<String> {
    let sources = files.iter().filter(|file| file.is("rs") && !is_generated(file));
    let long = sources.filter_map(|file| {
        let max = if file.is_test() { TEST_LINES_MAX } else { LINES_MAX };
        let lines = file.text.lines().count();
        (lines > max).then(|| format!("{} has {lines} lines; at most {max}", file.path))
    });
    long.collect()
}

fn unfinished(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (line, text) in file.text.lines().enumerate() {
            let words = || text.split(|c: char| !c.is_alphanumeric() && c != '_');
            let note = NOTES.into_iter().find(|note| words().any(|word| word == *note));
            let code = UNFINISHED.into_iter().find(|code| file.is("rs") && text.contains(code));
            if let Some(found) = note.or(code) {
                complaints.push(format!("{}:{}: {found}", file.path, line + 1));
            }
        }
    }
    complaints
}

fn without_lints(files: &[File]) -> Vec<String> {
    let packages = files.iter().filter(|file| {
        let line = |wanted: &str| file.text.lines().any(|line| line == wanted);
        // Fuzz targets are a workspace of their own, and their entry point is made by a macro.
        file.path.ends_with("/Cargo.toml") && line("[package]") && !(line("[workspace]") && line("cargo-fuzz = true"))
    });
    let without = packages.filter(|file| !file.text.contains("\n[lints]\nworkspace = true\n"));
    without.map(|file| format!("{} does not inherit the workspace's lints", file.path)).collect()
}

#[test]
fn every_source_file_opens_with_what_it_is_about() {
    nothing_to_complain_about(&without_module_doc(&files::all()));
}

#[test]
fn a_source_file_without_a_module_doc_is_told() {
    let files = [
        File::new("a/src/lib.rs", "//! About.\n"),
        File::new("a/src/generated/wire.rs", "struct A;\n"),
        File::new("a/src/late.rs", "use b;\n//! About.\n"),
        File::new("a/src/empty.rs", ""),
        File::new("a/README.md", "# A\n"),
    ];

    let found = without_module_doc(&files);

    let told = ["a/src/late.rs", "a/src/empty.rs"];
    assert_eq!(found, told.map(|path| format!("{path} does not open with `//! `")));
}

#[test]
fn every_source_file_can_be_held_in_mind() {
    nothing_to_complain_about(&too_long(&files::all()));
}

#[test]
fn a_source_file_beyond_its_bound_is_told() {
    let lines = |count| "//! About.\n".repeat(count);
    let files = [
        File::new("a/src/lib.rs", &lines(LINES_MAX)),
        File::new("a/src/long.rs", &lines(LINES_MAX + 1)),
        File::new("a/src/long/tests.rs", &lines(TEST_LINES_MAX)),
        File::new("a/tests/long.rs", &lines(TEST_LINES_MAX + 1)),
    ];

    assert_eq!(
        too_long(&files),
        ["a/src/long.rs has 401 lines; at most 400", "a/tests/long.rs has 601 lines; at most 600"]
    );
}

#[test]
fn nothing_is_unfinished_or_switched_off() {
    nothing_to_complain_about(&unfinished(&files::all()));
}

#[test]
fn notes_to_a_later_self_and_tests_switched_off_are_told() {
    let [note, _, marks] = NOTES;
    let [ignore, later, _] = UNFINISHED;
    let files = [
        File::new("a.sh", &format!("mktemp {marks}{marks}\n# {note}: more\n")),
        File::new("a.rs", &format!("//! {note}S\n{ignore}]\nfn f() {{ {later}() }}\n")),
        File::new("a.md", &format!("`{later}()` is refused\n")),
    ];

    let found = unfinished(&files);

    let told = [format!("a.sh:2: {note}"), format!("a.rs:2: {ignore}"), format!("a.rs:3: {later}")];
    assert_eq!(found, told);
}

#[test]
fn every_package_inherits_the_lints_of_the_workspace() {
    nothing_to_complain_about(&without_lints(&files::all()));
}

#[test]
fn a_package_with_lints_of_its_own_is_told() {
    let files = [
        File::new("Cargo.toml", "[workspace]\n"),
        File::new("a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
        File::new("a/fuzz/Cargo.toml", "[package]\n[package.metadata]\ncargo-fuzz = true\n[workspace]\n"),
        File::new("b/Cargo.toml", "[package]\n\n[lints.clippy]\nall = \"allow\"\n"),
        File::new("c/Cargo.toml", "[package]\n[workspace]\n"),
    ];

    let told = ["b", "c"].map(|folder| format!("{folder}/Cargo.toml does not inherit the workspace's lints"));
    assert_eq!(without_lints(&files), told);
}
