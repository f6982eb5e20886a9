//! SPIFFE ids against a table written from the standard: what must parse, what must not, and by which rule.
//!
//! `SIGNET_FIXTURES` may name a folder with another table of the same form in `spiffe/ids.yaml`.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use signet_identity::{SpiffeId, SpiffeIdError, TrustDomain};

/// Rows of the table that comes with these tests: valid, invalid, policy.
const OWN_ROWS: (usize, usize, usize) = (63, 79, 4);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    version: u32,
    rules: BTreeMap<String, String>,
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
    policy: Vec<Policy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    id: String,
    trust_domain: String,
    path: String,
    bytes: usize,
    leaf: bool,
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    id: String,
    rule: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    id: String,
    strict: String,
    normalise: String,
    rule: String,
}

fn table() -> Table {
    let (path, is_own) = match std::env::var_os("SIGNET_FIXTURES") {
        Some(folder) => (PathBuf::from(folder).join("spiffe/ids.yaml"), false),
        None => (PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ids.yaml"), true),
    };
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let table: Table = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(table.version, 1, "{}", path.display());
    let rows = (table.valid.len(), table.invalid.len(), table.policy.len());
    if is_own {
        assert_eq!(rows, OWN_ROWS);
    }
    assert!(rows.0 > 0 && rows.1 > 0 && rows.2 > 0, "{} has an empty part", path.display());
    table
}

/// The table's name for the rule that `id` was refused by.
fn rule_of(error: &SpiffeIdError, id: &str) -> &'static str {
    let authority_has_user = || id.split('/').nth(2).is_some_and(|authority| authority.contains('@'));
    match error {
        SpiffeIdError::Empty => "EMPTY",
        SpiffeIdError::Scheme => "SCHEME",
        SpiffeIdError::TooLong { .. } => "LENGTH",
        SpiffeIdError::TrustDomainEmpty => "TD-EMPTY",
        SpiffeIdError::TrustDomainTooLong { .. } => "TD-LENGTH",
        SpiffeIdError::TrustDomainCharacter { character, .. } => match character {
            'A'..='Z' => "TD-CASE",
            '@' => "USERINFO",
            ':' if authority_has_user() => "USERINFO",
            ':' => "PORT",
            other => character_rule(*other).unwrap_or("TD-CHARSET"),
        },
        SpiffeIdError::PathCharacter { character, .. } => character_rule(*character).unwrap_or("SEG-CHARSET"),
        SpiffeIdError::EmptySegment { .. } => "SEG-EMPTY",
        SpiffeIdError::TrailingSlash => "TRAILING-SLASH",
        SpiffeIdError::DotSegment { .. } => "SEG-DOT",
    }
}

fn character_rule(character: char) -> Option<&'static str> {
    match character {
        '%' => Some("PCT"),
        '?' => Some("QUERY"),
        '#' => Some("FRAGMENT"),
        _ => None,
    }
}

fn check_refused(table: &Table, id: &str, rule: &str) {
    assert!(table.rules.contains_key(rule), "{rule} is not among the table's rules");
    let error = id.parse::<SpiffeId>().expect_err(id);
    assert_eq!(rule_of(&error, id), rule, "{id:?}: {error}");
}

#[test]
fn every_valid_id_parses_to_its_parts_and_prints_as_it_was() {
    for row in table().valid {
        let id: SpiffeId = row.id.parse().unwrap_or_else(|error| panic!("{} ({}): {error}", row.id, row.note));
        let home: TrustDomain = row.trust_domain.parse().unwrap();
        assert_eq!(id.to_string(), row.id);
        assert_eq!(id.as_str().len(), row.bytes, "{}", row.note);
        assert_eq!((id.trust_domain_name(), id.path()), (row.trust_domain.as_str(), row.path.as_str()));
        assert_eq!(id.names_a_workload(), row.leaf, "{}", row.note);
        assert!(id.is_member_of(&home));
        let segments: Vec<&str> = row.path.split('/').skip(1).collect();
        assert_eq!(SpiffeId::from_segments(&home, &segments), Ok(id), "{}", row.note);
    }
}

#[test]
fn every_invalid_id_is_refused_by_the_rule_it_breaks() {
    let table = table();
    for row in &table.invalid {
        check_refused(&table, &row.id, &row.rule);
    }
}

#[test]
fn where_the_standard_contradicts_itself_upper_case_is_refused_and_never_folded() {
    let table = table();
    for row in &table.policy {
        assert_eq!(row.strict, "refuse", "{}", row.id);
        check_refused(&table, &row.id, &row.rule);
        assert!(row.normalise.parse::<SpiffeId>().is_ok(), "{}", row.normalise);
    }
}

#[test]
fn no_two_valid_ids_are_equal() {
    let ids: Vec<SpiffeId> = table().valid.iter().map(|row| row.id.parse().unwrap()).collect();
    let distinct: std::collections::HashSet<&SpiffeId> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}
