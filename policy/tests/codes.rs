//! The reference lists every code as the program has it, and no other.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

use signet_policy::Code;

#[test]
fn the_reference_lists_every_code_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/policy-codes.md");
    let document = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documented: BTreeSet<String> = document
        .lines()
        .filter(|line| line.starts_with("| `SIG"))
        .map(|line| line.split(" | ").take(3).collect::<Vec<_>>().join(" | "))
        .collect();
    let row = |code: &Code| format!("| `{code}` | {} | {}", code.severity(), code.about());
    let known: BTreeSet<String> = Code::ALL.iter().map(row).collect();
    assert_eq!(documented, known);
}
