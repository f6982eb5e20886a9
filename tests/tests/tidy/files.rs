//! Every file of the checkout that a person may read.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are not part of the project.
const SKIPPED: [&str; 2] = [".git", "target"];

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// From the root, with slashes.
    pub(crate) path: String,
    /// With whatever is not UTF-8 replaced.
    pub(crate) text: String,
}

impl File {
    /// A file made up for a test.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// Whether it is test code: a `tests` folder or a `tests.rs`.
    pub(crate) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }
}

/// The folder of the workspace manifest.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The text of one file, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All files, in order of their paths. The lock file is cargo's and left out.
pub(crate) fn all() -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if entry.file_type().unwrap().is_dir() {
                if !SKIPPED.iter().any(|skipped| name == *skipped) {
                    folders.push(entry.path());
                }
            } else if name != "Cargo.lock" {
                let path = entry.path();
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

#[test]
fn this_file_is_among_all_files() {
    let files = all();

    let this = files.iter().find(|file| file.path == "tests/tests/tidy/files.rs").unwrap();

    assert!(this.is("rs") && this.is_test() && this.text.contains("this_file_is_among_all_files"));
    assert!(!files.iter().any(|file| file.path.starts_with("target/")));
}
