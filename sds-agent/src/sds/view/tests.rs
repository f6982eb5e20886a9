//! The answer to every name, one row each.

use super::*;
use crate::sds::samples::Sample;
use signet_testkit::TestCa;

const OWN: &str = "spiffe://cluster.local/ns/shop/sa/web";

fn policy(federated: &[&str]) -> Arc<Policy> {
    Arc::new(Policy {
        trust_domain: "cluster.local".parse().unwrap(),
        federated: federated.iter().map(|domain| domain.parse().unwrap()).collect(),
        file_dirs: vec!["/etc/certs".into()],
    })
}

fn roots_of(domain: &str) -> (ResourceName, Held) {
    let anchors = Anchors::of(&TestCa::root(domain).bundle());
    let version = anchors.version();
    let name = ResourceName::TrustDomain(domain.parse().unwrap());
    (name, Held { content: Content::Anchors(Arc::new(anchors)), version })
}

fn view(own: Snapshot, federated: &[&str], there: &[&str]) -> View {
    View::new(policy(federated), own, there.iter().map(|domain| roots_of(domain)).collect())
}

fn told(view: &View, name: &str, form: RootsForm) -> String {
    match view.find(&name.parse().unwrap(), form) {
        Found::Absent => "absent".to_owned(),
        Found::Refused(refusal) => format!("{refusal:?}"),
        Found::Ready(secret) => {
            assert_eq!(secret.name().to_string(), name);
            match secret.content() {
                Content::Identity(svid) => svid.id().to_string(),
                Content::Pair(_) => "pair".to_owned(),
                Content::Anchors(anchors) => format!("plain {}", anchors.roots().len()),
                Content::Domains(roots) => {
                    roots.iter().map(|roots| roots.domain.as_str()).collect::<Vec<_>>().join("+")
                }
            }
        }
    }
}

#[track_caller]
fn check(view: &View, form: RootsForm, rows: &[(&str, &str)]) {
    for (name, wanted) in rows {
        assert_eq!(told(view, name, form), *wanted, "{name} in form {form:?}");
    }
}

#[test]
fn a_workload_of_one_trust_domain_gets_its_own_and_no_other() {
    let view = view(Sample::new().snapshot(), &[], &[]);
    check(
        &view,
        RootsForm::Any,
        &[
            ("default", OWN),
            (OWN, OWN),
            ("spiffe://cluster.local/ns/shop/sa/other", "NotYours"),
            ("spiffe://else.where/ns/shop/sa/web", "NotYours"),
            ("ROOTCA", "plain 1"),
            ("spiffe://cluster.local", "cluster.local"),
            ("spiffe://else.where", "Unknown"),
            ("ALL", "cluster.local"),
            ("file-root:/etc/certs/root.pem", "absent"),
            ("file-root:/etc/certsmore/root.pem", "Outside"),
            ("file-cert:/etc/certs/a~/etc/certs/b", "absent"),
            ("file-cert:/etc/certs/a~/etc/b", "Outside"),
            ("file-cert:/etc/a~/etc/certs/b", "Outside"),
            ("file-root:system", "absent"),
        ],
    );
    check(
        &view,
        RootsForm::Plain,
        &[("ROOTCA", "plain 1"), ("spiffe://cluster.local", "plain 1"), ("ALL", "NeedsValidator")],
    );
    check(&view, RootsForm::Spiffe, &[("ROOTCA", "cluster.local"), ("ALL", "cluster.local")]);
}

#[test]
fn before_there_is_an_identity_only_what_can_never_come_is_refused() {
    check(
        &view(Snapshot::default(), &["b.test"], &["b.test"]),
        RootsForm::Any,
        &[
            ("default", "absent"),
            (OWN, "absent"),
            ("spiffe://cluster.local/ns/shop/sa/other", "absent"),
            ("spiffe://b.test/x", "NotYours"),
            ("ROOTCA", "absent"),
            ("ALL", "absent"),
            ("spiffe://cluster.local", "absent"),
            ("spiffe://b.test", "b.test"),
        ],
    );
}

#[test]
fn several_trust_domains_stay_apart_and_one_that_is_missing_blocks_no_other() {
    let view = view(Sample::new().snapshot(), &["b.test", "a.test"], &["b.test"]);
    let rows = [("ROOTCA", "b.test+cluster.local"), ("ALL", "b.test+cluster.local"), ("spiffe://b.test", "b.test")];
    check(&view, RootsForm::Any, &rows);
    check(&view, RootsForm::Any, &[("spiffe://a.test", "absent")]);
    let plain = [("ROOTCA", "plain 1"), ("spiffe://b.test", "plain 1"), ("ALL", "NeedsValidator")];
    check(&view, RootsForm::Plain, &plain);
}

#[test]
fn each_form_has_a_version_of_its_own() {
    let view = view(Sample::new().snapshot(), &["b.test"], &["b.test"]);
    let version = |name: &str, form| match view.find(&name.parse().unwrap(), form) {
        Found::Ready(secret) => secret.version().clone(),
        other => panic!("{other:?}"),
    };
    let plain = version("ROOTCA", RootsForm::Plain);
    assert_ne!(version("ROOTCA", RootsForm::Any), plain);
    assert_ne!(version("spiffe://cluster.local", RootsForm::Any), plain);
    assert_eq!(version("ALL", RootsForm::Any), version("ROOTCA", RootsForm::Any));
    assert_eq!(version("default", RootsForm::Any), version(OWN, RootsForm::Any));
}
