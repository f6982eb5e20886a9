//! Random requests, and what the engine says of them.

use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use serde_json::{Value, json};
use signet_identity::Timestamp;
use signet_policy::decide::{Cause, Verdict, effective_name};
use signet_policy::request::{Headers, Http, Request, Token};
use signet_policy::token::{Authentication, Providers};
use signet_testkit::TokenIssuer;

use crate::names::{FORWARDED, HEADERS, HOSTS, METHODS, SEGMENTS, chance, one};
use crate::sets::{MODES, Set};

/// Any instant between the tokens that have expired and those that will.
const NOW: Timestamp = Timestamp::from_unix_secs(1_790_000_000);
const EXPIRED: u64 = 1_577_836_800;
const EXPIRES: u64 = 4_000_000_000;

/// Where a request comes in, and from whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    pub(crate) port: u16,
    pub(crate) identity: Option<&'static str>,
    pub(crate) server_name: Option<&'static str>,
    pub(crate) source: [u8; 4],
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) host: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Who refused it, in Envoy's words; where nobody did, the path as it was passed on. Empty where we cannot know.
    pub(crate) details: String,
}

impl Ask {
    pub(crate) fn random(rng: &mut Rng, tokens: &[String]) -> Self {
        let mut path: String = (0..rng.usize(1..4)).map(|_| format!("/{}", one(rng, &SEGMENTS))).collect();
        if chance(rng, 3) {
            path.push_str("%00");
        }
        if chance(rng, 15) {
            path.push_str("?q=/a/../b");
        }
        let mut headers: Vec<(&'static str, String)> = Vec::new();
        for _ in 0..rng.usize(..3) {
            let (name, value) = *one(rng, &HEADERS);
            headers.push((name, value.to_owned()));
        }
        if chance(rng, 60) {
            let forwarded = one(rng, &FORWARDED);
            let value = if chance(rng, 20) { format!("10.9.9.9, {forwarded}") } else { (*forwarded).to_owned() };
            headers.push(("x-forwarded-for", value));
        }
        if chance(rng, 50) {
            headers.push(("authorization", format!("Bearer {}", one(rng, tokens))));
        }
        Self { method: *one(rng, &METHODS), host: *one(rng, &HOSTS), path, headers }
    }

    /// What the engine says.
    pub(crate) fn judge(&self, line: &Line, set: &Set, tokens: &[Providers]) -> Answer {
        let headers: Headers<'_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mode = MODES[set.mode].0;
        let Ok(http) = Http::new(self.method, self.host, &self.path, mode, headers) else {
            return Answer { status: 400, details: String::new() };
        };
        let found = set.tokens.map_or(Authentication::Absent, |index| tokens[index].authenticate(&http, NOW));
        let passed_on = http.header(":path").unwrap_or_default().to_owned();
        let source = IpAddr::from(line.source);
        let request = Request::new(source, Ipv4Addr::LOCALHOST.into(), line.port);
        let mut request = request.with_identity(line.identity.unwrap_or_default()).unwrap();
        request.remote_ip = self.forwarded().unwrap_or(source);
        request.sni = line.server_name.unwrap_or_default();
        request.http = Some(http);
        request.token = Token::from(&found);
        let verdict = set.compiled.decide(&request).verdict;
        let reasons = set.compiled.reasons(&set.world, &request);
        assert_eq!(verdict, reasons.decision.verdict, "the engine agrees with itself: {self:?} of {line:?}");
        let details = match (verdict, reasons.decision.cause) {
            (Verdict::Allow, _) => return Answer { status: 200, details: passed_on },
            (_, Cause::TokenRefused) => return Answer { status: 401, details: String::new() },
            (_, Cause::Rule(rule)) => effective_name(&set.world, rule),
            (_, _) => "none".to_owned(),
        };
        Answer { status: 403, details: format!("rbac_access_denied_matched_policy[{details}]") }
    }

    /// The last address that `x-forwarded-for` names.
    fn forwarded(&self) -> Option<IpAddr> {
        let (_, value) = self.headers.iter().find(|(name, _)| *name == "x-forwarded-for")?;
        value.rsplit(", ").next()?.parse().ok()
    }
}

/// Tokens of two issuers, with whatever may be wrong with one.
pub(crate) fn tokens(one: &TokenIssuer, two: &TokenIssuer) -> Vec<String> {
    let base = |claims: Value| {
        let mut claims = claims;
        claims["exp"] = json!(EXPIRES);
        claims["iat"] = json!(EXPIRED);
        claims
    };
    let alice = base(json!({
        "iss": "one", "sub": "alice", "aud": ["web", "api"], "groups": ["dev", "ops"], "scope": "read write",
        "nested": {"k": "v"},
    }));
    let plain = base(
        json!({"iss": "one", "sub": "bob", "aud": "web", "groups": "dev", "scope": "read", "nested": {"k": ["w", "v"]}}),
    );
    let odd = base(json!({"iss": "one", "sub": "", "groups": [1, true, "ops"], "nested": "v", "scope": 7}));
    let none = base(json!({"iss": "one"}));
    let bob = base(json!({"iss": "two", "sub": "bob", "groups": ["ops"], "scope": ""}));
    let slash = base(json!({"iss": "two", "sub": "a/b"}));
    let mut expired = alice.clone();
    expired["exp"] = json!(EXPIRED + 1);
    let foreign = base(json!({"iss": "three", "sub": "alice"}));
    let good = [&alice, &plain, &odd, &none].map(|claims| one.sign(claims));
    let other = [&bob, &slash].map(|claims| two.sign(claims));
    let bad = [one.sign(&expired), one.sign(&foreign), one.bad_signature(&alice), two.sign(&alice)];
    [good.as_slice(), &good, &good, &other, &other, &other, &bad].concat()
}
