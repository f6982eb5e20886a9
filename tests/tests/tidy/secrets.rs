//! What must not leave somebody's machine with the project: keys, and words about the machine.

use crate::files::{self, File};
use crate::nothing_to_complain_about;

/// In pieces, so that this file holds none of them.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/t", "mp/")];
const REGISTRIES: [&str; 6] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npm", "js"),
    concat!("deb.deb", "ian"),
    concat!("proxy.gol", "ang"),
];

fn private_keys(files: &[File]) -> Vec<String> {
    complaints(files, |line| {
        line.starts_with("-----BEGIN ") && line.contains(" PRIVATE KEY-----")
            || line.starts_with("-----BEGIN PRIVATE KEY-----")
    })
}

fn words_of_a_machine(files: &[File]) -> Vec<String> {
    complaints(files, |line| {
        REGISTRIES.iter().any(|host| line.contains(host)) || MACHINE_PATHS.iter().any(|path| begins_a_path(line, path))
    })
}

/// Whether `path` stands in `line` as the start of an absolute path, not in the midst of another.
fn begins_a_path(line: &str, path: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "._-~}>)/*".contains(c);
    let mut places = line.match_indices(path);
    places.any(|(at, _)| !line.get(..at).unwrap_or_default().ends_with(inside))
}

fn complaints(files: &[File], is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (line, text) in file.text.lines().enumerate() {
            if is_bad(text.trim_start()) {
                complaints.push(format!("{}:{}", file.path, line + 1));
            }
        }
    }
    complaints
}

#[test]
fn no_private_key_is_in_the_project() {
    nothing_to_complain_about(&private_keys(&files::all()));
}

#[test]
fn a_private_key_is_told() {
    let key = |kind: &str| format!("text\n  -----BEGIN {kind}PRIVATE KEY-----\nMC4C\n");
    let files = [
        File::new("a.pem", &key("")),
        File::new("b.rs", &key("EC ")),
        File::new("c.rs", "let header = \"-----BEGIN PRIVATE KEY-----\";\n"),
        File::new("d.pem", "-----BEGIN CERTIFICATE REQUEST-----\n"),
    ];

    assert_eq!(private_keys(&files), ["a.pem:2", "b.rs:2"]);
}

#[test]
fn the_project_speaks_of_no_machine_and_no_registry() {
    nothing_to_complain_about(&words_of_a_machine(&files::all()));
}

#[test]
fn words_of_a_machine_are_told() {
    let [work, root, ..] = MACHINE_PATHS;
    let [registry, ..] = REGISTRIES;
    let files = [
        File::new("a.md", &format!("see `{work}main`\nsee https://{registry}/x\n")),
        File::new("b.md", &format!("see state{root}ca.pem and {{dir}}{root}ca.pem\n")),
        File::new("c.rs", &format!("let path = \"{root}x\";\n")),
    ];

    assert_eq!(words_of_a_machine(&files), ["a.md:1", "a.md:2", "c.rs:1"]);
}
