//! Who decides, and who is overruled for which reason.

use super::*;
use crate::{ReadOptions, Sources, read};

fn policies(rows: &[(&str, &str)]) -> Vec<PeerAuthentication> {
    let mut sources = Sources::new();
    for (index, (namespace, spec)) in rows.iter().enumerate() {
        let head = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:";
        sources.add("a.yaml", &format!("{head} {{name: p{index}, namespace: {namespace}}}\nspec: {spec}\n"));
    }
    read(&sources, &ReadOptions::default()).into_world().unwrap().peer
}

fn name(policy: &PeerAuthentication) -> &str {
    &policy.meta.name
}

/// Each overruled policy with the one that beat it, or why else.
fn overruled(effective: &Effective<'_>) -> Vec<String> {
    let mut all: Vec<String> = effective
        .overruled
        .iter()
        .map(|lost| match &lost.why {
            Why::Younger(winner) => format!("{} younger than {}", name(lost.policy), name(winner)),
            Why::Narrower(winner) => format!("{} wider than {}", name(lost.policy), name(winner)),
            other => format!("{} {other:?}", name(lost.policy)),
        })
        .collect();
    all.sort();
    all
}

#[track_caller]
fn check(rows: &[(&str, &str)], mode: Mode, decided_by: Option<&str>, lost: &[&str]) {
    let policies = policies(rows);
    let labels = [("app", "a")].into_iter().collect();
    let found = effective(&policies, "root", "foo", &labels);
    assert_eq!((found.mode, found.decided_by.map(name)), (mode, decided_by));
    assert_eq!(overruled(&found), lost);
}

const SELECTOR: &str = "selector: {matchLabels: {app: a}}";

#[test]
fn the_narrowest_policy_with_a_mode_decides() {
    let workload = format!("{{{SELECTOR}, mtls: {{mode: DISABLE}}}}");
    let mesh = ("root", "{mtls: {mode: STRICT}}");
    check(&[], Mode::Permissive, None, &[]);
    check(&[mesh], Mode::Strict, Some("p0"), &[]);
    check(&[mesh, ("foo", "{}")], Mode::Strict, Some("p0"), &["p1 Unset"]);
    check(&[mesh, ("foo", &workload)], Mode::Disable, Some("p1"), &["p0 wider than p1"]);
    check(&[mesh, ("bar", "{mtls: {mode: DISABLE}}")], Mode::Strict, Some("p0"), &[]);
}

#[test]
fn what_does_not_count_is_told_with_its_reason() {
    let selected = format!("{{{SELECTOR}, mtls: {{mode: STRICT}}}}");
    check(&[("root", &selected)], Mode::Permissive, None, &["p0 SelectorInRoot"]);
    let twice = [("foo", "{mtls: {mode: STRICT}}"), ("foo", "{mtls: {mode: DISABLE}}")];
    check(&twice, Mode::Strict, Some("p0"), &["p1 younger than p0"]);
    check(&[("foo", "{portLevelMtls: {80: {mode: STRICT}}}")], Mode::Permissive, None, &["p0 PortsWithoutSelector"]);
    check(&[("foo", "{selector: {}, mtls: {mode: STRICT}}")], Mode::Strict, Some("p0"), &[]);
}

#[test]
fn ports_have_modes_of_their_own() {
    let spec = format!("{{{SELECTOR}, mtls: {{mode: STRICT}}, portLevelMtls: {{80: {{mode: DISABLE}}, 90: {{}}}}}}");
    let policies = policies(&[("foo", &spec)]);
    let labels = [("app", "a")].into_iter().collect();
    let found = effective(&policies, "root", "foo", &labels);
    assert_eq!([80, 90, 100].map(|port| found.at(port)), [Mode::Disable, Mode::Strict, Mode::Strict]);
    assert!(found.accepts_plaintext(80) && !found.accepts_mutual_tls(80));
    assert!(!found.accepts_plaintext(90) && found.accepts_mutual_tls(90));
}
