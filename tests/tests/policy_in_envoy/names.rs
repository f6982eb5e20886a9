//! The small worlds that policies and requests are drawn from: small, so that they meet often.

use fastrand::Rng;

/// Names in certificates. Not all are SPIFFE ids of five parts, since Envoy does not ask for that.
pub(crate) const IDENTITIES: [&str; 14] = [
    "spiffe://td1/ns/a/sa/x",
    "spiffe://td1/ns/a/sa/y",
    "spiffe://td1/ns/b/sa/x",
    "spiffe://td2/ns/a/sa/x",
    "spiffe://td2/ns/foo/sa/x",
    "spiffe://cluster.local/ns/foo/sa/y",
    "spiffe://cluster.local/ns/a.b/sa/x.y",
    "spiffe://td1/ns/axb/sa/xxy",
    "spiffe://td1/ns/a/b/sa/x",
    "spiffe://td1/ns/a/sa/x/more",
    "spiffe://td10/ns/a/sa/x",
    "spiffe://td1/other",
    "spiffe://td1",
    "https://td1/ns/a/sa/x",
];

/// Server names that clients ask for; none is one of them.
pub(crate) const SERVER_NAMES: [Option<&str>; 4] = [None, Some("a.test"), Some("b.test"), Some("x.a.test")];

/// Where connections come from.
pub(crate) const SOURCES: [[u8; 4]; 3] = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 1, 9]];

/// Values of each field of `source`.
pub(crate) const SOURCE: [(&str, &[&str]); 7] = [
    (
        "principals",
        &[
            "td1/ns/a/sa/x",
            "td2/ns/a/sa/x",
            "cluster.local/ns/a/sa/x",
            "cluster.local/ns/foo/sa/y",
            "*",
            "*/sa/x",
            "*x",
            "*.y",
            "td1/*",
            "td1/ns/a/*",
            "td*",
            "td*/ns/a/sa/x",
            "*1/ns/a/sa/x",
            "td1",
            "cluster.local/*",
            "td1/ns/a/sa/x/more",
            "*/ns/a/sa/x",
            "a*b",
            "td1/other",
        ],
    ),
    ("namespaces", &["a", "b", "foo", "*", "a*", "*b", "a.b", "a*b", "*a*", "**", "sa"]),
    ("serviceAccounts", &["x", "y", "a/x", "a/y", "b/x", "a.b/x.y", "foo/x", "axb/xxy"]),
    ("trustDomains", &["td1", "td2", "td*", "*1", "*", "cluster.local", "*.local"]),
    (
        "requestPrincipals",
        &["one/alice", "one/*", "*", "*/alice", "two/bob", "o*", "one", "*e/alice", "two/a/b", "*bob"],
    ),
    ("ipBlocks", &["127.0.0.1", "127.0.0.0/24", "127.0.0.0/8", "127.0.0.3/31", "10.0.0.0/8", "::/0", "0.0.0.0/0"]),
    ("remoteIpBlocks", &["10.1.0.0/16", "10.1.2.3", "192.168.0.0/16", "127.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"]),
];

/// Values of each field of `operation`; ports are those of the listeners.
pub(crate) const OPERATION: [(&str, &[&str]); 3] = [
    ("hosts", &["a.test", "A.Test", "b.test", "*.test", "*.TEST", "a.*", "*", "a.test:80", "a.test:*", "x.*"]),
    ("methods", &["GET", "POST", "*", "P*", "*T", "get", "DELETE"]),
    (
        "paths",
        &[
            "/a",
            "/a/*",
            "/a*",
            "*/b",
            "*",
            "/b",
            "/",
            "//*",
            "/a/{*}",
            "/a/{**}",
            "/{*}/b",
            "/{**}/b",
            "/a/{*}/b/{**}",
            "/a%2fb",
            "/A",
            "/a/b/",
            "/a;x=1*",
            "/{*}",
        ],
    ),
];

/// Keys of `when` with their values.
pub(crate) const WHEN: [(&str, &[&str]); 14] = [
    ("request.headers[x-a]", &["1", "1*", "*2", "*", "1,2", "12", "A"]),
    ("request.headers[X-B]", &["1", "*", "b*"]),
    ("source.ip", &["127.0.0.1", "127.0.0.0/24", "10.0.0.0/8"]),
    ("remote.ip", &["10.0.0.0/8", "127.0.0.0/8", "2001:db8::1"]),
    ("source.namespace", &["a", "*", "a*", "foo"]),
    ("source.principal", &["td1/ns/a/sa/x", "cluster.local/ns/a/sa/x", "*", "td2/*"]),
    ("source.serviceAccount", &["a/x", "x"]),
    ("source.trustDomain", &["td1", "td*"]),
    ("request.auth.principal", &["one/alice", "*", "two/*"]),
    ("request.auth.audiences", &["web", "api", "w*", "*"]),
    ("request.auth.claims[groups]", &["dev", "d*", "*s", "*"]),
    ("request.auth.claims[scope]", &["read", "write", "read write", "*"]),
    ("request.auth.claims[nested][k]", &["v", "*", "w"]),
    ("connection.sni", &["a.test", "*.test", "a*", "*", "b.test"]),
];

/// Segments of paths.
pub(crate) const SEGMENTS: [&str; 14] =
    ["a", "b", "a", "b", "A", "", ".", "..", "%61", "%2e%2E", "a%2fb", "a%5Cb", "a;x=1", "c\"d"];

pub(crate) const METHODS: [&str; 5] = ["GET", "GET", "POST", "PUT", "DELETE"];
pub(crate) const HOSTS: [&str; 6] = ["a.test", "a.test", "A.TEST", "b.test", "a.test:80", "x.a.test"];
pub(crate) const HEADERS: [(&str, &str); 6] =
    [("x-a", "1"), ("x-a", "2"), ("x-a", ""), ("X-A", "12"), ("x-b", "1"), ("x-b", "b")];
pub(crate) const FORWARDED: [&str; 4] = ["10.1.2.3", "10.2.0.1", "192.168.4.4", "2001:db8::1"];

/// One of a list.
pub(crate) fn one<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

/// Whether something happens that does in `percent` of a hundred cases.
pub(crate) fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(..100) < percent
}
