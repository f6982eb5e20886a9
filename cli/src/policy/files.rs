//! Manifests from files, directories and stdin. What cannot be read is said at once and counted; the rest is read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use signet_policy::Sources;
use signet_policy::source::SOURCE_MAX_BYTES;

use crate::output;

/// Most files that one run reads.
const FILES_MAX: usize = 100_000;
/// Deepest directory that is searched below one that was given.
const DEPTH_MAX: usize = 64;

/// What was read.
pub(crate) struct Texts {
    pub(crate) sources: Sources,
    /// How many were read, and how many could not be.
    pub(crate) read: usize,
    pub(crate) unreadable: usize,
}

/// Reads what the paths name: files, everything in directories that looks like a manifest, and `-` for stdin.
pub(crate) fn read(paths: &[PathBuf]) -> Texts {
    let mut texts = Texts { sources: Sources::new(), read: 0, unreadable: 0 };
    for path in paths {
        if path.as_os_str() == "-" {
            texts.take("<stdin>", manifest(io::stdin().lock()));
        } else if path.is_dir() {
            texts.directory(path, 0);
        } else {
            texts.file(path);
        }
    }
    texts
}

impl Texts {
    fn file(&mut self, path: &Path) {
        let text = File::open(path).and_then(manifest);
        self.take(&path.display().to_string(), text);
    }

    fn take(&mut self, name: &str, text: io::Result<String>) {
        if self.read >= FILES_MAX {
            return self.refuse(name, &format!("more than {FILES_MAX} files"));
        }
        match text {
            Ok(text) => {
                self.sources.add(name, &text);
                self.read += 1;
            }
            Err(error) => self.refuse(name, &error.to_string()),
        }
    }

    fn refuse(&mut self, name: &str, why: &str) {
        self.unreadable += 1;
        output::talk(&format!("cannot read `{name}`: {why}"));
    }

    /// In order of names, so that two runs say the same. Links to directories are not followed: they may lead in circles.
    fn directory(&mut self, path: &Path, depth: usize) {
        let name = path.display().to_string();
        if depth > DEPTH_MAX {
            return self.refuse(&name, &format!("more than {DEPTH_MAX} directories deep"));
        }
        let entries = match std::fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => return self.refuse(&name, &error.to_string()),
        };
        let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                if !path.is_symlink() {
                    self.directory(&path, depth + 1);
                }
            } else if is_manifest(&path) {
                self.file(&path);
            }
        }
    }
}

/// How files of cases end; directories are not searched for manifests in them.
const CASES_END: [&str; 2] = [".test.yaml", ".test.yml"];

fn is_cases(path: &Path) -> bool {
    path.to_str().is_some_and(|name| CASES_END.iter().any(|end| name.ends_with(end)))
}

/// Every file of cases that the paths name or hold, in order.
pub(crate) fn cases(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        search(path, 0, &mut found).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    }
    Ok(found)
}

fn search(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.metadata()?.is_dir() {
        if is_cases(path) && found.len() < FILES_MAX {
            found.push(path.to_path_buf());
        }
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    entries.sort();
    let follow = |entry: &&PathBuf| is_cases(entry) || (depth < DEPTH_MAX && entry.is_dir() && !entry.is_symlink());
    entries.iter().filter(follow).try_for_each(|entry| search(entry, depth + 1, found))
}

fn manifest(reader: impl Read) -> io::Result<String> {
    text(reader, SOURCE_MAX_BYTES)
}

fn is_manifest(path: &Path) -> bool {
    if is_cases(path) {
        return false;
    }
    path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end.eq_ignore_ascii_case(known)))
}

/// The text, as far as its reader accepts it and a byte more, so that whoever has the bound says what is too long.
pub(crate) fn text(reader: impl Read, max_bytes: usize) -> io::Result<String> {
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}
