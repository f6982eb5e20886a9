//! Random pairs of policy set and request: Envoy with the rendered RBAC answers as the engine says.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};
use signet_identity::JwkSet;
use signet_policy::envoy::{Filter, JwtOptions, jwt_per_route};
use signet_policy::model::{RequestAuthentication, World};
use signet_policy::path::normalize;
use signet_policy::select::{Destination, Point, Selection, Switches};
use signet_policy::token::Providers;
use signet_policy::{ReadOptions, Sources, read};
use signet_testkit::TokenIssuer;
use signet_tests::{Workdir, free_port};

use crate::ask::{Answer, Ask, Line, tokens};
use crate::mesh::{Batch, Door, Names, ask_all, start};
use crate::names::{IDENTITIES, SERVER_NAMES, SOURCES, one};
use crate::sets::{MODES, Set};

const PAIRS: usize = 20_000;
/// Requests that each set is asked.
const ASKS: usize = 60;
/// Sets that one Envoy has at once.
const SETS_AT_ONCE: usize = 400;
/// Connections of each door.
const LINES: usize = 24;
/// Of a hundred pairs, how many at least are let through, refused by a rule, and refused for want of one.
const SHARE_MIN: usize = 20;
/// Disagreements that are told in full.
const TOLD_MAX: usize = 5;

pub(crate) fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("`{name}` is no number")))
}

/// The settings for tokens that routes choose from.
pub(crate) struct Tokens {
    texts: Vec<String>,
    providers: Vec<Providers>,
    pub(crate) rendered: (Filter, Vec<Value>),
}

impl Tokens {
    pub(crate) fn new() -> Self {
        let issuers = ["one", "two"].map(|name| TokenIssuer::es256().named(name));
        let rule = |issuer: &TokenIssuer| json!({"issuer": issuer.issuer(), "jwks": issuer.jwks_json()});
        let settings = [json!([rule(&issuers[0])]), json!([rule(&issuers[1]), rule(&issuers[0])])];
        let worlds = settings.map(|rules| world(&rules));
        let none = |_: signet_policy::token::KeySource<'_>| -> Option<JwkSet> { None };
        let destination = Destination { namespace: "foo".into(), ..Destination::default() };
        let selection = Selection {
            root_namespace: "istio-system",
            switches: Switches::default(),
            destination: &destination,
            point: Point::SidecarHttp,
        };
        let providers = worlds.iter().map(|world| Providers::new(world, &selection, &none)).collect();
        let policies = |world: &'_ World| -> Vec<RequestAuthentication> { world.request.clone() };
        let owned = worlds.each_ref().map(policies);
        let sets: Vec<(&str, Vec<&RequestAuthentication>)> =
            ["one", "both"].into_iter().zip(&owned).map(|(name, list)| (name, list.iter().collect())).collect();
        let options = JwtOptions { clears_route_cache: false, keys: &|_| None };
        let (filter, routes) = jwt_per_route(&sets, &options);
        let rendered = (filter, routes.into_iter().map(Option::unwrap).collect());
        Self { texts: tokens(&issuers[0], &issuers[1]), providers, rendered }
    }
}

fn world(rules: &Value) -> World {
    let policy = json!({
        "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
        "metadata": {"name": "jwt", "namespace": "foo"}, "spec": {"jwtRules": rules},
    });
    let mut sources = Sources::new();
    sources.add("tokens", &policy.to_string());
    read(&sources, &ReadOptions::default()).into_world().unwrap()
}

/// How many pairs ended how.
type Tally = BTreeMap<&'static str, usize>;

fn kind(answer: &Answer) -> &'static str {
    match (answer.status, answer.details.as_str()) {
        (200, _) => "allowed",
        (403, "rbac_access_denied_matched_policy[none]") => "refused for want of a rule",
        (403, _) => "refused by a rule",
        (401, _) => "token refused",
        (400, _) => "path refused",
        _ => "something else",
    }
}

#[test]
fn envoy_decides_as_the_engine_says() {
    let pairs = setting("SIGNET_DIFFERENTIAL_PAIRS", PAIRS);
    let seed = setting("SIGNET_DIFFERENTIAL_SEED", 1);
    let mut rng = Rng::with_seed(seed.try_into().unwrap());
    let (names, tokens) = (Names::new(), Tokens::new());
    let (mut tally, mut disagreements) = (Tally::new(), Vec::new());
    let mut done = 0;
    while done < pairs {
        let count = (pairs - done).div_ceil(ASKS).min(SETS_AT_ONCE);
        done += count * ASKS;
        round(&mut rng, count, &names, &tokens, &mut tally, &mut disagreements);
    }
    println!("differential: {done} pairs with seed {seed}: {tally:?}");
    let told = disagreements.len().min(TOLD_MAX);
    assert!(
        disagreements.is_empty(),
        "{} of {done} differ:\n{}",
        disagreements.len(),
        disagreements[..told].join("\n")
    );
    for kind in ["allowed", "refused for want of a rule", "refused by a rule"] {
        let share = tally.get(kind).copied().unwrap_or_default() * 100 / done;
        assert!(share >= SHARE_MIN, "{kind}: {share} % of the pairs, which is no test of them: {tally:?}");
    }
}

/// One Envoy with `count` sets.
fn round(
    rng: &mut Rng,
    count: usize,
    names: &Names,
    tokens: &Tokens,
    tally: &mut Tally,
    disagreements: &mut Vec<String>,
) {
    let doors: Vec<Door> =
        (0..MODES.len()).flat_map(|mode| [true, false].map(|tls| Door { port: free_port(), tls, mode })).collect();
    let ports: Vec<u16> = doors.iter().map(|door| door.port).collect();
    let sets: Vec<Set> =
        (0..count).map(|index| Set::random(rng, index % MODES.len(), &ports, tokens.providers.len())).collect();
    let mut lines: Vec<(usize, Line, Batch)> = Vec::new();
    for door in &doors {
        for _ in 0..LINES {
            let identity = door.tls.then(|| *one(rng, &IDENTITIES));
            let server_name = if door.tls { *one(rng, &SERVER_NAMES) } else { None };
            let line = Line { port: door.port, identity, server_name, source: *one(rng, &SOURCES) };
            lines.push((door.mode, line, Batch::new()));
        }
    }
    let mut wanted: Vec<(Line, usize, Ask, Answer)> = Vec::new();
    for (index, set) in sets.iter().enumerate() {
        for _ in 0..ASKS {
            // Doors of a mode stand side by side; three quarters of the requests have a name.
            let plain = rng.u32(..4) == 0;
            let at = (set.mode * 2 + usize::from(plain)) * LINES + rng.usize(..LINES);
            let ask = Ask::random(rng, &tokens.texts);
            let (mode, line, batch) = &mut lines[at];
            assert_eq!(*mode, set.mode);
            let answer = ask.judge(line, set, &tokens.providers);
            *tally.entry(kind(&answer)).or_default() += 1;
            batch.push((wanted.len(), index, ask.clone()));
            wanted.push((line.clone(), index, ask, answer));
        }
    }
    let workdir = Workdir::new();
    let _envoy = start(&workdir, names, &doors, &sets, &tokens.rendered);
    let lines = lines.into_iter().map(|(_, line, batch)| (line, batch)).collect();
    let answers = ask_all(names, lines);
    assert_eq!(answers.len(), wanted.len());
    for (number, found) in answers {
        let (line, set, ask, wanted) = &wanted[number];
        let same = found.status == wanted.status && (wanted.details.is_empty() || found.details == wanted.details);
        if !same {
            let text = &sets[*set].text;
            disagreements.push(format!(
                "Envoy {found:?}, engine {wanted:?}\n{line:?}\n{ask:?}\ntokens {:?}\n{text}",
                sets[*set].tokens
            ));
        }
    }
}

/// Paths of whatever may stand in one, at a door of each mode.
#[test]
fn envoy_rewrites_paths_as_the_engine_says() {
    let mut rng = Rng::with_seed(setting("SIGNET_DIFFERENTIAL_SEED", 1).try_into().unwrap());
    let names = Names::new();
    let rendered = Tokens::new().rendered;
    let workdir = Workdir::new();
    let doors: Vec<Door> = (0..MODES.len()).map(|mode| Door { port: free_port(), tls: false, mode }).collect();
    let _envoy = start(&workdir, &names, &doors, &[], &rendered);
    let (mut lines, mut wanted) = (Vec::new(), Vec::new());
    for door in &doors {
        let line = Line { port: door.port, identity: None, server_name: None, source: [127, 0, 0, 1] };
        let mut batch = Batch::new();
        for _ in 0..setting("SIGNET_DIFFERENTIAL_PAIRS", PAIRS) / 10 {
            // What the client can send at all. A dot segment with parameters is a fact of its own: see `facts`.
            let usable = |path: &str| path.parse::<http::uri::PathAndQuery>().is_ok() && !path.contains(".;");
            let mut some = std::iter::repeat_with(|| odd_path(&mut rng));
            let path = some.find(|path| usable(path)).unwrap();
            let answer = match normalize(&path, MODES[door.mode].0) {
                Ok(path) => Answer { status: 200, details: path.into_owned() },
                Err(_) => Answer { status: 400, details: String::new() },
            };
            batch.push((
                wanted.len(),
                usize::MAX,
                Ask { method: "GET", host: "a.test", path: path.clone(), headers: vec![] },
            ));
            wanted.push((door.mode, path, answer));
        }
        lines.push((line, batch));
    }
    let mut told = Vec::new();
    for (number, found) in ask_all(&names, lines) {
        let (mode, path, wanted) = &wanted[number];
        let same = found.status == wanted.status && (wanted.details.is_empty() || found.details == wanted.details);
        if !same {
            told.push(format!("{:?} of {path:?}: Envoy {found:?}, engine {wanted:?}", MODES[*mode].1));
        }
    }
    assert!(told.is_empty(), "{} of {} differ:\n{}", told.len(), wanted.len(), told[..told.len().min(40)].join("\n"));
}

fn odd_path(rng: &mut Rng) -> String {
    const PIECES: [&str; 22] = [
        "/", "/", "/", ".", "..", "/./", "/../", "//", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "%00", "%25", "%41",
        "%7e", "%c3%a9", "%zz", "a", "?/..",
    ];
    let mut path = "/".to_owned();
    for _ in 0..rng.usize(..7) {
        if rng.u32(..3) == 0 {
            path.push(char::from(rng.u8(0x21..0x7f)));
        } else {
            let piece = *one(rng, &PIECES);
            path.push_str(piece);
        }
    }
    path
}
