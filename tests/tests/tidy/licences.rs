//! Every licence in the dependency graph is one that we may ship under.

use crate::graph::Graph;
use crate::nothing_to_complain_about;

const ALLOWED: [&str; 10] = [
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Exceptions that only add to what their licence permits: this one lifts conditions on what compilers put into what they
/// compile.
const PERMISSIVE_EXCEPTIONS: [(&str, &str); 1] = [("Apache-2.0", "LLVM-exception")];

/// Whether an SPDX expression can be met with allowed licences alone. A slash is an old `OR`; an
/// exception (`WITH`) makes another licence of the one before it, and few such are allowed.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words) == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = all_of(words)?;
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all_of(words)?;
    }
    Some(allowed)
}

fn all_of(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words)?;
    }
    Some(allowed)
}

/// Nothing for what is no licence and no bracketed expression.
fn one(words: &mut Words<'_>) -> Option<bool> {
    match words.next()? {
        "(" => {
            let allowed = any_of(words)?;
            words.next_if_eq(&")").map(|_| allowed)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        licence => {
            if words.next_if_eq(&"WITH").is_some() {
                let exception = words.next()?;
                return Some(PERMISSIVE_EXCEPTIONS.contains(&(licence, exception)));
            }
            Some(ALLOWED.contains(&licence))
        }
    }
}

#[test]
fn every_licence_in_the_graph_is_allowed() {
    let graph = Graph::load();
    let refused = graph.packages.values().filter(|package| !is_allowed(&package.licence));
    let complaints = refused.map(|package| format!("`{}`: `{}`", package.name, package.licence));

    nothing_to_complain_about(&complaints.collect::<Vec<_>>());
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for allowed in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/MIT",
        "GPL-3.0 OR (MIT AND ISC)",
        "MIT AND ISC OR GPL-3.0",
        "Apache-2.0 WITH LLVM-exception",
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in [
        "",
        "GPL-3.0",
        "MPL-2.0",
        "MIT AND GPL-3.0",
        "GPL-3.0 AND (MIT OR ISC)",
        "MIT WITH LLVM-exception",
        "Apache-2.0 WITH Commons-Clause",
        "MIT OR",
        "(MIT",
        "MIT)",
        "MIT ISC",
        "AND MIT",
    ] {
        assert!(!is_allowed(refused), "{refused}");
    }
}
