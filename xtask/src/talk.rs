//! What chores say: data on stdout, talk on stderr.
//!
//! A closed pipe is no reason to fail a chore, so write errors are let go.

use std::error::Error;
use std::io::Write as _;

/// One line of data.
pub(crate) fn data(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// One line for the person who waits.
pub(crate) fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// An error with everything that led to it.
pub(crate) fn error(error: &dyn Error) {
    let mut line = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    progress(&line);
}
