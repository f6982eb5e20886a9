//! Random policies and requests: the index finds what looking at every rule finds, and the algebra of actions holds.

use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::model::{Normalization, World};
use crate::request::{Claims, Headers, Http, Request, Token};
use crate::select::{Destination, Point, Selection, Switches};
use crate::{Compiled, ReadOptions, Sources, Verdict, read};

fn world(policies: &[Value]) -> World {
    let mut sources = Sources::new();
    for (index, spec) in policies.iter().enumerate() {
        let metadata = json!({"name": format!("p{index}"), "namespace": "foo"});
        let object = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": metadata, "spec": spec});
        sources.add("p.json", &object.to_string());
    }
    read(&sources, &ReadOptions::default()).into_world().unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn compile(world: &World, point: Point) -> Compiled {
    let destination = Destination { namespace: "foo".into(), ..Destination::default() };
    let selection =
        Selection { root_namespace: "root", switches: Switches::default(), destination: &destination, point };
    Compiled::new(world, &selection)
}

/// Few words, so that requests meet patterns often.
fn word() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "ab", "abc", "*", "a*", "*b", "*c", "a*c"])
}

fn values(of: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(of, 1..3)
}

fn text(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    values(select(of).prop_map(str::to_owned))
}

const PRINCIPALS: &[&str] =
    &["*", "td/ns/a/sa/b", "cluster.local/ns/a/sa/a", "td/*", "*/sa/a", "*b", "other/ns/ab/sa/abc", "td/ns/a/x/sa/b/y"];
const BLOCKS: &[&str] = &["10.0.0.1", "10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32", "bad", "::1"];
const PATHS: &[&str] = &["/a", "/a/*", "*/b", "*", "/a/{*}", "/{**}/b", "/a/{**}", "/a/b/{*}/c", "/{*}/b/{**}"];

fn field(key: &'static str, list: impl Strategy<Value = Vec<String>> + 'static) -> BoxedStrategy<(String, Value)> {
    (any::<bool>(), list)
        .prop_map(move |(negated, list)| {
            let name = if negated { negation(key) } else { key.to_owned() };
            (name, json!(list))
        })
        .boxed()
}

fn negation(key: &str) -> String {
    let mut letters = key.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    "not".chars().chain(first).chain(letters).collect()
}

fn source() -> impl Strategy<Value = Value> {
    let fields = prop_oneof![
        field("principals", text(PRINCIPALS)),
        field("namespaces", values(word().prop_map(str::to_owned))),
        field("serviceAccounts", text(&["a/b", "a", "ab/abc", "bad/x/y"])),
        field("trustDomains", text(&["td", "t*", "*", "cluster.local", "a*b"])),
        field("requestPrincipals", text(&["a/b", "a/*", "*", "*b", "*/b", "a*", "a"])),
        field("ipBlocks", text(BLOCKS)),
        field("remoteIpBlocks", text(BLOCKS)),
    ];
    proptest::collection::vec(fields, 0..3).prop_map(|fields| json!({"source": Value::from_iter(fields)}))
}

fn operation() -> impl Strategy<Value = Value> {
    let fields = prop_oneof![
        field("hosts", text(&["A.com", "a.*", "*.com", "*"])),
        field("methods", text(&["GET", "P*", "*T", "*"])),
        field("paths", text(PATHS)),
        field("ports", text(&["80", "8080", "99999"])),
    ];
    proptest::collection::vec(fields, 0..3).prop_map(|fields| json!({"operation": Value::from_iter(fields)}))
}

fn when() -> impl Strategy<Value = Value> {
    let keys = select(vec![
        "request.headers[X-A]",
        "request.headers[:method]",
        "request.auth.claims[scope]",
        "request.auth.claims[n][m]",
        "request.auth.audiences",
        "source.principal",
        "connection.sni",
        "destination.port",
        "no.such.key",
    ]);
    (keys, any::<bool>(), values(word().prop_map(str::to_owned)))
        .prop_map(|(key, negated, values)| json!({"key": key, (if negated { "notValues" } else { "values" }): values}))
}

fn policy() -> impl Strategy<Value = Value> {
    let list = |of: BoxedStrategy<Value>| proptest::collection::vec(of, 0..3);
    let rule = (list(source().boxed()), list(operation().boxed()), proptest::collection::vec(when(), 0..2));
    let rule = rule.prop_map(|(from, to, when)| json!({"from": from, "to": to, "when": when}));
    let action = select(vec!["ALLOW", "ALLOW", "DENY", "AUDIT", "CUSTOM"]);
    (action, proptest::collection::vec(rule, 0..3))
        .prop_map(|(action, rules)| json!({"action": action, "rules": rules}))
}

#[derive(Debug, Clone)]
struct Asked {
    identity: Option<String>,
    address: IpAddr,
    port: u16,
    sni: &'static str,
    http: Option<(&'static str, &'static str, &'static str, &'static str)>,
    claims: Claims,
    refused: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let ids =
        vec!["td/ns/a/sa/b", "cluster.local/ns/a/sa/a", "td/ns/ab/sa/abc", "td/ns/a/x/sa/b/y", "td", "td/ns//sa/a"];
    let identity = prop_oneof![
        select(ids).prop_map(|id| Some(format!("spiffe://{id}"))),
        Just(None),
        Just(Some("dns.name".to_owned())),
    ];
    let address =
        select(vec!["10.0.0.1", "10.1.2.3", "9.9.9.9", "2001:db8::1", "::1"]).prop_map(|a| a.parse().unwrap());
    let http = (
        select(vec!["GET", "PUT", "POST"]),
        select(vec!["a.com", "A.com:80", "b.com"]),
        select(vec!["/", "/a", "/a/b?x", "/a/b/b", "/a/b/x/c", "//b"]),
        select(vec!["a", "b", "ab", "abc", ""]),
    );
    let claims = select(vec![
        json!({}),
        json!({"iss": "a", "sub": "b", "scope": "a b", "aud": ["ab", "x"]}),
        json!({"iss": "a", "sub": "a", "n": {"m": ["abc", 1]}, "aud": "abc", "scope": 1}),
    ]);
    let claims = claims.prop_map(|payload| Claims::new(payload.as_object().unwrap().clone(), &[]));
    (
        identity,
        address,
        select(vec![80, 8080, 1]),
        select(vec!["", "a", "abc"]),
        proptest::option::of(http),
        claims,
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(identity, address, port, sni, http, claims, refused)| Asked {
            identity,
            address,
            port,
            sni,
            http,
            claims,
            refused,
        })
}

impl Asked {
    fn request(&self) -> Request<'_> {
        let mut request = Request::new(self.address, self.address, self.port);
        if let Some(identity) = &self.identity {
            request = request.with_identity(identity).unwrap();
        }
        request.sni = self.sni;
        if self.http.is_some() {
            request.token = if self.refused { Token::Refused } else { Token::Verified(&self.claims) };
        }
        request.http = self.http.map(|(method, host, path, header)| {
            let headers: Headers<'_> = [("X-a", header)].into_iter().collect();
            Http::new(method, host, path, Normalization::Base, headers).unwrap()
        });
        request
    }
}

fn point() -> impl Strategy<Value = Point> {
    select(vec![Point::SidecarHttp, Point::SidecarTcp, Point::GatewayHttp, Point::GatewayTcp])
}

fn policies() -> impl Strategy<Value = Vec<Value>> {
    proptest::collection::vec(policy(), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_index_finds_what_looking_at_every_rule_finds(policies in policies(), asked in asked(), point in point()) {
        let world = world(&policies);
        let compiled = compile(&world, point);
        let request = asked.request();
        let walked = compiled.walk(&world, &request);
        prop_assert_eq!(&compiled.reasons(&world, &request), &walked);
        let quick = compiled.decide(&request);
        prop_assert_eq!(quick.verdict, walked.decision.verdict);
        prop_assert_eq!(quick.asks.is_some(), walked.decision.asks.is_some());
    }

    /// What a trace tells about rules is what the decision is made of.
    #[test]
    fn a_trace_finds_the_rules_that_decide(policies in policies(), asked in asked(), point in point()) {
        use crate::model::Action;
        let world = world(&policies);
        let destination = Destination { namespace: "foo".into(), ..Destination::default() };
        let selection =
            Selection { root_namespace: "root", switches: Switches::default(), destination: &destination, point };
        let request = asked.request();
        let trace = crate::trace::trace(&world, &selection, &request);
        prop_assume!(trace.reasons.decision.verdict != Verdict::Undecided);
        let of = |action: Action| {
            let policies = trace.policies.iter().filter(move |policy| policy.action == action);
            let rules = policies.flat_map(|policy| policy.rules.iter().flatten());
            rules.filter(|rule| rule.outcome == crate::trace::Outcome::Matches).map(|rule| rule.id).collect::<Vec<_>>()
        };
        prop_assert_eq!(of(Action::Allow), trace.reasons.allow.clone());
        prop_assert_eq!(of(Action::Audit), trace.reasons.audit.clone());
        let mut refused = [of(Action::Deny), of(Action::Custom)].concat();
        refused.sort_unstable();
        let mut told = [trace.reasons.deny.clone(), trace.reasons.custom.clone()].concat();
        told.sort_unstable();
        prop_assert_eq!(refused, told);
    }

    /// One condition at a time, so that no other way to the rule hides that one is missing.
    #[test]
    fn the_index_finds_a_rule_by_each_of_its_conditions(
        from in source(), to in operation(), when in when(), which in 0..3, asked in asked(), point in point(),
    ) {
        let rule = match which {
            0 => json!({"from": [from]}),
            1 => json!({"to": [to]}),
            _ => json!({"when": [when]}),
        };
        let world = world(&[json!({"action": "DENY", "rules": [rule]})]);
        let compiled = compile(&world, point);
        let request = asked.request();
        prop_assert_eq!(compiled.reasons(&world, &request), compiled.walk(&world, &request));
    }

    #[test]
    fn one_more_deny_never_lets_more_through(
        mut policies in policies(), one_more in policy(), asked in asked(), point in point(),
    ) {
        let before = compile(&world(&policies), point).decide(&asked.request()).verdict;
        let mut one_more = one_more;
        one_more["action"] = json!("DENY");
        policies.push(one_more);
        let after = compile(&world(&policies), point).decide(&asked.request()).verdict;
        prop_assert!(after == before || after == Verdict::Deny);
    }

    #[test]
    fn the_order_of_policies_and_rules_changes_no_verdict(policies in policies(), asked in asked(), point in point()) {
        let mut turned = policies.clone();
        turned.reverse();
        for policy in &mut turned {
            policy["rules"].as_array_mut().unwrap().reverse();
        }
        let verdict = |policies: &[Value]| compile(&world(policies), point).decide(&asked.request()).verdict;
        prop_assert_eq!(verdict(&policies), verdict(&turned));
    }
}

/// Properties over requests that no rule ever matches would show nothing.
#[test]
fn random_policies_allow_and_deny_in_earnest() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = [0_u32; 4];
    for _ in 0..400 {
        let (policies, asked, point) = (policies(), asked(), point()).new_tree(&mut runner).unwrap().current();
        let decision = compile(&world(&policies), point).decide(&asked.request());
        let kind = match (decision.verdict, decision.cause) {
            (Verdict::Undecided, _) => continue,
            (Verdict::Deny, crate::Cause::Rule(_)) => 0,
            (Verdict::Deny, _) => 1,
            (_, crate::Cause::Rule(_)) => 2,
            _ => 3,
        };
        counts[kind] += 1;
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}
