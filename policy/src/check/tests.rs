//! One table for each kind of rule: what is written, and the code and place that must be told.

mod crossing;
mod forms;
mod misleading;

use crate::{Checked, Code, ReadOptions, Sources, check};

fn checked(text: &str) -> Checked {
    let mut sources = Sources::new();
    sources.add("a.yaml", text);
    check(&sources, &ReadOptions::default())
}

fn object(kind: &str, rest: &str) -> String {
    format!("apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: a, namespace: foo}}\n{rest}")
}

fn authorization(spec: &str) -> String {
    object("AuthorizationPolicy", &format!("spec:\n{spec}"))
}

/// Before what is wrong stands this mark in the texts of the tables.
const MARK: char = '\u{a7}';

fn found(text: &str) -> Vec<(Code, u32, u32)> {
    checked(text).problems.iter().map(|problem| (problem.code, problem.at.line, problem.at.column)).collect()
}

/// Takes the mark out, and says where it stood.
fn unmark(marked: &str) -> (String, u32, u32) {
    let before = marked.split(MARK).next().unwrap();
    assert_ne!(before, marked, "a mark is missing: {marked}");
    let line = u32::try_from(before.matches('\n').count() + 1).unwrap();
    let column = u32::try_from(before.lines().last().map_or(0, |line| line.chars().count()) + 1).unwrap();
    (marked.replace(MARK, ""), line, if before.ends_with('\n') { 1 } else { column })
}

/// This problem where the mark stands, whatever else is told.
#[track_caller]
fn check_finds(marked: &str, code: Code) {
    let (text, line, column) = unmark(marked);
    let told = found(&text);
    assert!(told.contains(&(code, line, column)), "{code:?} at {line}:{column}\n{text}\n{told:?}");
}

/// Not this problem, anywhere.
#[track_caller]
fn check_silent(text: &str, code: Code) {
    let told = found(text);
    assert!(told.iter().all(|(found, ..)| *found != code), "{code:?}\n{text}\n{told:?}");
}

/// Nothing at all.
#[track_caller]
fn check_clean(text: &str) {
    let told = found(text);
    assert!(told.is_empty(), "{text}\n{told:?}");
}
