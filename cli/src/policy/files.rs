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
        } else {
            walk(path, &is_manifest, &mut |found| match found {
                Ok(path) => texts.file(&path),
                Err(refused) => texts.refuse(&refused),
            });
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
        let refused = |why: String| Refused { name: name.to_owned(), why };
        match text {
            _ if self.read >= FILES_MAX => self.refuse(&refused(format!("more than {FILES_MAX} files"))),
            Ok(text) => {
                self.sources.add(name, &text);
                self.read += 1;
            }
            Err(error) => self.refuse(&refused(error.to_string())),
        }
    }

    fn refuse(&mut self, refused: &Refused) {
        self.unreadable += 1;
        output::talk(&refused.to_string());
    }
}

/// A file or directory that was not read, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{name}`: {why}")]
pub(crate) struct Refused {
    name: String,
    why: String,
}

/// Tells every file below a directory that is wanted, and every directory that could not be searched, in order of
/// names, so that two runs say the same. What is no directory is told itself, wanted or not: somebody named it. Links to
/// directories are not followed below: they may lead in circles.
fn walk(path: &Path, wanted: &dyn Fn(&Path) -> bool, tell: &mut dyn FnMut(Result<PathBuf, Refused>)) {
    if path.is_dir() { search(path, 0, wanted, tell) } else { tell(Ok(path.to_path_buf())) }
}

fn search(path: &Path, depth: usize, wanted: &dyn Fn(&Path) -> bool, tell: &mut dyn FnMut(Result<PathBuf, Refused>)) {
    let refused = |why: String| Refused { name: path.display().to_string(), why };
    if depth > DEPTH_MAX {
        return tell(Err(refused(format!("more than {DEPTH_MAX} directories deep"))));
    }
    let entries = match std::fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return tell(Err(refused(error.to_string()))),
    };
    let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        if !path.is_dir() {
            if wanted(&path) {
                tell(Ok(path));
            }
        } else if !path.is_symlink() {
            search(&path, depth + 1, wanted, tell);
        }
    }
}

/// How files of cases end; directories are not searched for manifests in them.
const CASES_END: [&str; 2] = [".test.yaml", ".test.yml"];

fn is_cases(path: &Path) -> bool {
    path.to_str().is_some_and(|name| CASES_END.iter().any(|end| name.ends_with(end)))
}

/// Every file of cases that the paths name or hold, in order.
///
/// # Errors
/// The first directory that could not be searched, or too many files: cases that nobody ran are no success.
pub(crate) fn cases(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Refused> {
    let (mut found, mut refused) = (Vec::new(), None);
    for path in paths {
        walk(path, &is_cases, &mut |one| match one {
            Ok(file) if found.len() < FILES_MAX => found.push(file),
            Ok(file) => {
                let why = format!("more than {FILES_MAX} files");
                refused.get_or_insert(Refused { name: file.display().to_string(), why });
            }
            Err(error) => {
                refused.get_or_insert(error);
            }
        });
    }
    refused.map_or(Ok(found), Err)
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
