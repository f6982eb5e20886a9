//! What is read from manifests, and what is told about those that are wrong.

use crate::model::*;
use crate::{Code, Problem, ReadOptions, Reading, Sources, read};

fn reading(text: &str) -> Reading {
    let mut sources = Sources::new();
    sources.add("a.yaml", text);
    read(&sources, &ReadOptions::default())
}

fn world(text: &str) -> World {
    reading(text).into_world().unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn policy(spec: &str) -> String {
    let head = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: foo}\n";
    format!("{head}spec:\n{spec}")
}

#[track_caller]
fn check_told(text: &str, told: &[(Code, u32, u32)]) {
    let problems = reading(text).problems;
    let place = |problem: &Problem| (problem.code, problem.at.line, problem.at.column);
    assert_eq!(problems.iter().map(place).collect::<Vec<_>>(), told, "{problems:#?}");
}

#[test]
fn a_rule_is_read_with_every_value_in_its_place() {
    let world = world(&policy(
        "  action: DENY\n  rules:\n  - from:\n    - source: {namespaces: [a, b], notPrincipals: ['*']}\n    to:\n    - operation: {paths: ['/x/{*}']}\n    when: [{key: 'request.auth.claims[a][b]', values: [c]}]\n  -\n",
    ));
    let policy = &world.authorization[0];
    let rule = policy.rules[0].as_ref().unwrap();

    assert_eq!((policy.action, policy.rules.len()), (Action::Deny, 2));
    assert!(policy.rules[1].is_none(), "a null rule keeps its index");
    let fields: Vec<Field> = rule.from[0].conditions.iter().map(|condition| condition.test.field()).collect();
    assert_eq!(fields, [Field::Principal, Field::Namespace]);
    let [any_of, _] = rule.from[0].conditions[1].test.texts();
    assert_eq!((any_of[1].0, any_of[1].1.line, any_of[1].1.column), ("b", 8, 32));
    let When::Known(Condition { test: Test::Claim(names, _), .. }) = &rule.when[0] else { panic!("{:?}", rule.when) };
    assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn lists_of_kubectl_are_taken_apart() {
    let item = "{apiVersion: security.istio.io/v1beta1, kind: PeerAuthentication, metadata: {name: a}, spec: {mtls: {mode: STRICT}}}";
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {app: x}}, spec: {containers: []}}";
    let world = world(&format!("apiVersion: v1\nkind: List\nitems: [{item}, {pod}]\n"));

    assert_eq!(world.peer[0].mode.as_ref().unwrap().value, Mode::Strict);
    assert_eq!(world.workloads[0].labels.get("app"), Some("x"));
}

#[test]
fn a_mesh_configuration_is_found_wherever_it_stands() {
    let alone = "rootNamespace: root\ntrustDomain: a\ntrustDomainAliases: [b]\n";
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio}}\ndata:\n  mesh: |-\n    {}",
        alone.replace('\n', "\n    ")
    );
    for text in [alone, &map] {
        let mesh = world(text).mesh;
        assert_eq!((&*mesh.root_namespace, mesh.trust_domains.len()), ("root", 2), "{text}");
    }
    check_told(&format!("{alone}---\n{alone}"), &[(Code::SecondMeshConfig, 5, 1)]);
}

#[test]
fn what_is_wrong_is_told_where_it_stands() {
    use Code::*;
    check_told("[1]", &[(NotAnObject, 1, 1)]);
    check_told("apiVersion: v1\nkind: Secret\n", &[(OtherKind, 1, 1)]);
    check_told("apiVersion: v1\nkind: Namespace\n", &[(NotAnObject, 1, 1)]);
    check_told(&policy("  action: allow\n"), &[(UnknownValue, 5, 11)]);
    check_told(&policy("  actions: ALLOW\n"), &[(UnknownField, 5, 3)]);
    check_told(&policy("  rules: {}\n"), &[(WrongType, 5, 10)]);
    check_told(&policy("  rules:\n"), &[(NullValue, 5, 8)]);
    check_told(&policy("  rules: [{to: [{operation: {ports: [80]}}]}]\n"), &[(WrongType, 5, 38)]);
    let twice = format!("{}---\n{}", policy("  {}\n"), policy("  {}\n"));
    check_told(&twice, &[(DuplicateObject, 7, 1)]);
}

#[test]
fn what_stands_twice_is_told_with_the_file_of_the_first() {
    let object = policy("  {}\n");
    let mesh = "trustDomain: a\n";
    for (text, code, place) in
        [(&*object, Code::DuplicateObject, "one.yaml:1:1"), (mesh, Code::SecondMeshConfig, "one.yaml:1:1")]
    {
        let mut sources = Sources::new();
        sources.add("one.yaml", text);
        sources.add("two.yaml", text);
        let told = read(&sources, &ReadOptions::default()).problems;
        let told: Vec<_> =
            told.iter().map(|found| (found.code, sources.name(found.at.source), &*found.message)).collect();
        assert!(
            matches!(*told, [(found, "two.yaml", message)] if found == code && message.ends_with(place)),
            "{told:?}"
        );
    }
}

#[test]
fn there_is_no_world_beside_an_error() {
    let broken = reading(&policy("  action: BLAH\n"));
    assert!(broken.has_errors());
    assert!(broken.into_world().is_err());
    assert!(reading(&policy("  rule: []\n")).into_world().is_ok(), "a warning is no error");
}

#[test]
fn patterns_that_are_none_are_kept_with_their_reason() {
    let world = world(&policy("  rules: [{from: [{source: {ipBlocks: [a, 1.2.3.4], notIpBlocks: [1.2.3.4/99]}}]}]\n"));
    let rule = world.authorization[0].rules[0].as_ref().unwrap();
    let broken = rule.from[0].conditions[0].test.broken();
    assert_eq!(broken.len(), 2);
    assert_eq!((broken[0].0, broken[0].1.column), ("a", 40));
}
