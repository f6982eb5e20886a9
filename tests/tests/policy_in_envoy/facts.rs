//! What Envoy does in corners that nobody would guess, each once found by the differential test: a table that both
//! Envoy and the engine are held to.

use serde_json::{Value, json};
use signet_tests::{Workdir, free_port};

use crate::ask::{Ask, Line};
use crate::differential::Tokens;
use crate::mesh::{Batch, Door, Names, ask_all, start};
use crate::sets::Set;

/// A condition of an ALLOW rule, and a request.
struct Fact {
    mode: usize,
    rule: Value,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    matches: bool,
    /// Whether the engine is known to say otherwise, see `dotted`.
    differs: bool,
}

fn header(name: &str, values: &str, of: [(&'static str, &'static str); 2], matches: bool) -> Fact {
    let rule = json!({"when": [{"key": format!("request.headers[{name}]"), "values": [values]}]});
    Fact { mode: 1, rule, path: "/", headers: of.to_vec(), matches, differs: false }
}

fn path(mode: usize, paths: &str, of: &'static str, matches: bool) -> Fact {
    Fact {
        mode,
        rule: json!({"to": [{"operation": {"paths": [paths]}}]}),
        path: of,
        headers: vec![],
        matches,
        differs: false,
    }
}

/// Envoy 1.40 reads `..;x` as `..`. Istio's own table of paths, which the engine keeps to, was made with an Envoy that did
/// not. When this fails for the engine, it has learnt it: then the paths of the differential test may hold such segments.
fn dotted(paths: &str, of: &'static str) -> Fact {
    Fact { differs: true, ..path(1, paths, of, true) }
}

fn facts() -> Vec<Fact> {
    let mut facts = vec![
        // Characters that may not stand in a path are escaped, and what is escaped is part of a segment.
        path(1, "/{*}", "/a\"b", true),
        path(0, "/{*}", "/a\"b", false),
        path(1, "/a%22b", "/a\"b", true),
        // A path of slashes alone keeps two of them.
        path(2, "/", "//.", false),
        path(2, "//", "///", true),
        path(1, "/", "/a/..", true),
        dotted("/b", "/a/..;x=1/b"),
        dotted("/a/b", "/a/.;/b"),
        // Only where the dots came as dots.
        path(1, "/a/..;/b", "/a/%2e%2e;/b", true),
    ];
    for (name, is_joined) in JOINED.map(|name| (name, true)).into_iter().chain(SEPARATE.map(|name| (name, false))) {
        let both = || [(name, "1"), (name, "2")];
        let is_cookie = name == "cookie";
        facts.extend([
            header(name, "1", both(), !is_joined),
            header(name, "2", both(), !is_joined),
            header(name, "1,2", both(), is_joined && !is_cookie),
            header(name, "1; 2", both(), is_cookie),
        ]);
    }
    facts
}

/// Headers that Envoy knows itself: of several of one name it makes one.
const JOINED: [&str; 34] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "access-control-request-private-network",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "cookie",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// Headers of which several stay several, and each is matched by itself.
const SEPARATE: [&str; 12] = [
    "x-a",
    "accept-language",
    "forwarded",
    "x-real-ip",
    "x-forwarded-user",
    "x-api-key",
    "proxy-authorization",
    "traceparent",
    "x-b3-traceid",
    "from",
    "range",
    "x-original-url",
];

#[test]
fn corners_are_what_they_are() {
    let facts = facts();
    let (names, tokens, workdir) = (Names::new(), Tokens::new(), Workdir::new());
    let doors: Vec<Door> = (0..4).map(|mode| Door { port: free_port(), tls: false, mode }).collect();
    let policy = |fact: &Fact| {
        json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"name": "p", "namespace": "foo"}, "spec": {"rules": [fact.rule]},
        })
    };
    let modes = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];
    let mesh = |fact: &Fact| json!({"pathNormalization": {"normalization": modes[fact.mode]}});
    let sets: Vec<Set> = facts.iter().map(|fact| Set::of(fact.mode, &[policy(fact)], &mesh(fact), None)).collect();
    let _envoy = start(&workdir, &names, &doors, &sets, &tokens.rendered);
    let line = |door: &Door| Line { port: door.port, identity: None, server_name: None, source: [127, 0, 0, 1] };
    let mut lines: Vec<(Line, Batch)> = doors.iter().map(|door| (line(door), Batch::new())).collect();
    let mut complaints = Vec::new();
    for (number, (fact, set)) in facts.iter().zip(&sets).enumerate() {
        let headers = fact.headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let ask = Ask { method: "GET", host: "a.test", path: fact.path.to_owned(), headers };
        let engine = ask.judge(&lines[fact.mode].0, set, &[]).status == 200;
        if engine != (fact.matches ^ fact.differs) {
            complaints.push(format!("the engine says {engine}: {} of {:?} {:?}", fact.rule, fact.path, fact.headers));
        }
        lines[fact.mode].1.push((number, number, ask));
    }
    for (number, found) in ask_all(&names, lines) {
        let fact = &facts[number];
        if (found.status == 200) != fact.matches {
            complaints.push(format!("Envoy says {found:?}: {} of {:?} {:?}", fact.rule, fact.path, fact.headers));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
