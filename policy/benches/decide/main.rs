//! How long a decision takes, by how many policies there are and by what their rules can be told apart.
//!
//! One policy is one rule. `one caller` is a set that an index by principal can split; the others cannot be split so.
//! Beside each stands what looking at every rule takes in the same run, and how long compiling took. Every shape is
//! asked something that it matches and something that it does not.

mod shape;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use serde_json::json;
use shape::{Ask, SHAPES, Shape};
use signet_policy::model::{Normalization, World};
use signet_policy::request::{Headers, Http, Request};
use signet_policy::select::{Destination, Point, Selection, Switches};
use signet_policy::{Compiled, ReadOptions, Sources, Verdict, read};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
/// Samples of each figure, each of `BATCH` decisions.
const SAMPLES: usize = 200;
const BATCH: usize = 100;
/// Sets beyond this are not walked: it would take minutes and show nothing new.
const WALK_SAMPLES: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wants_json = std::env::args().any(|argument| argument == "--json");
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<22} {:>8}  {:<6} {:>10} {:>10} {:>12} {:>12}",
        "rules by", "policies", "asked", "median", "p99", "every rule", "compile"
    )?;
    let mut rows = Vec::new();
    for shape in SHAPES {
        for size in SIZES {
            let world = world(&shape, size)?;
            let destination = Destination { namespace: "foo".into(), ..Destination::default() };
            let selection = Selection {
                root_namespace: "root",
                switches: Switches::default(),
                destination: &destination,
                point: Point::SidecarHttp,
            };
            let begun = Instant::now();
            let compiled = Compiled::new(&world, &selection);
            let compile = begun.elapsed();
            for (asked, ask) in [("match", (shape.hit)(size / 2)), ("none", (shape.miss)())] {
                let row = measure(&world, &compiled, &ask)?;
                let [median, p99, walk] = [row.median, row.p99, row.walk].map(|span| format!("{span:.0?}"));
                writeln!(
                    out,
                    "{:<22} {size:>8}  {asked:<6} {median:>10} {p99:>10} {walk:>12} {compile:>12.1?}",
                    shape.name
                )?;
                rows.push(json!({"shape": shape.name, "policies": size, "asked": asked,
                    "median_ns": nanoseconds(row.median), "p99_ns": nanoseconds(row.p99),
                    "every_rule_ns": nanoseconds(row.walk), "compile_ms": compile.as_secs_f64() * 1e3}));
            }
        }
    }
    if wants_json {
        writeln!(out, "{}", json!({"bench": "policy", "rows": rows}))?;
    }
    Ok(())
}

fn nanoseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e9
}

struct Row {
    median: Duration,
    p99: Duration,
    walk: Duration,
}

fn world(shape: &Shape, size: usize) -> Result<World, Box<dyn std::error::Error>> {
    let policy = |index: usize| {
        let metadata = json!({"name": format!("p{index}"), "namespace": "foo"});
        json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata,
            "spec": {"action": shape.action, "rules": [(shape.rule)(index)]}})
    };
    let items: Vec<_> = (0..size).map(policy).collect();
    let mut sources = Sources::new();
    sources.add("policies.json", &json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
    read(&sources, &ReadOptions::default()).into_world().map_err(|problems| format!("{problems:?}").into())
}

fn measure(world: &World, compiled: &Compiled, ask: &Ask) -> Result<Row, Box<dyn std::error::Error>> {
    let here = IpAddr::V4(Ipv4Addr::new(172, 16, 0, 1));
    let headers: Headers<'_> = [("accept", "*/*"), ("user-agent", "bench")].into_iter().collect();
    let mut request = Request::new(ask.address, here, 8080).with_identity(&ask.identity)?;
    request.http = Some(Http::new("GET", "shop.example.com", &ask.path, Normalization::Base, headers)?);
    let verdict = compiled.decide(&request).verdict;
    if (verdict == Verdict::Allow) != ask.allowed {
        return Err(format!("{verdict:?} for {}", ask.path).into());
    }
    let mut samples: Vec<Duration> = (0..SAMPLES).map(|_| sample(BATCH, || compiled.decide(&request))).collect();
    samples.sort_unstable();
    let at = |share: usize| samples.get(SAMPLES * share / 100).copied().unwrap_or_default();
    let mut walks: Vec<Duration> = (0..WALK_SAMPLES).map(|_| sample(1, || compiled.walk(world, &request))).collect();
    walks.sort_unstable();
    Ok(Row { median: at(50), p99: at(99), walk: walks.get(WALK_SAMPLES / 2).copied().unwrap_or_default() })
}

/// How long one takes, of `count`.
fn sample<T>(count: usize, run: impl Fn() -> T) -> Duration {
    let begun = Instant::now();
    for _ in 0..count {
        std::hint::black_box(run());
    }
    begun.elapsed() / u32::try_from(count).unwrap_or(1)
}
