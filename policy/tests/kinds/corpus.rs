//! Realistic policies: each is read as what it says it is, and requests are decided where the folder has rows for them.
//!
//! The tokens of the rows are signed here with a key made for the run, so that verification is real as well.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use signet_identity::{JwkSet, PrivateKey, Timestamp, jwk, jws};
use signet_policy::model::{Labels, World};
use signet_policy::request::{Headers, Http, Request, Token};
use signet_policy::select::{Destination, Point, Selection, Switches};
use signet_policy::token::Providers;
use signet_policy::{Compiled, ReadOptions, Sources, Verdict, read};

use super::{Outcome, case, load, outcome};

/// After every token of the rows was issued, and before any of them expires.
const NOW: Timestamp = Timestamp::from_unix_secs(1_760_000_000);
/// Where every row is asked: the folder names no other ports for HTTP.
const PORT: u16 = 18080;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "id")]
    _id: String,
    input: String,
    kinds: Vec<String>,
    apply_namespace: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    policies: String,
    to: To,
    #[serde(rename = "note")]
    _note: Option<String>,
    #[serde(default)]
    token_claims: BTreeMap<String, Value>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    namespace: String,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    request: Asked,
    allow: bool,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Asked {
    method: String,
    path: String,
    jwt: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Without scheme; absent for plaintext.
    principal: Option<String>,
    source_ip: Option<IpAddr>,
}

pub(super) fn run(folder: &Path, value: &Value) -> Outcome {
    let case: Case = case(value);
    let text = std::fs::read_to_string(folder.join(&case.input)).unwrap();
    let mut sources = Sources::new();
    sources.add(&case.input, &text);
    let reading = read(&sources, &ReadOptions { default_namespace: case.apply_namespace.clone() });
    let told: Vec<String> = reading.problems.iter().map(|problem| problem.render(&sources)).collect();
    let Ok(world) = reading.into_world() else { return Outcome::Failed(told) };
    let mut complaints: Vec<String> = kinds(&world, &case.kinds).into_iter().collect();
    let mut checks = 1;
    for rows in decisions(folder, &case.input) {
        checks += rows.rows.len();
        complaints.extend(decide(&world, &rows));
    }
    outcome(checks, complaints)
}

/// What was read is what the case says that it holds; kinds that say nothing about policy are not read.
fn kinds(world: &World, wanted: &[String]) -> Option<String> {
    let found = [
        ("AuthorizationPolicy", world.authorization.len()),
        ("PeerAuthentication", world.peer.len()),
        ("RequestAuthentication", world.request.len()),
        ("Gateway", world.gateways.len()),
    ];
    let differs = |(kind, count): &(&str, usize)| wanted.iter().any(|wanted| wanted == kind) != (*count > 0);
    found
        .iter()
        .find(|found| differs(found))
        .map(|(kind, count)| format!("{count} of {kind}, and {wanted:?} are there"))
}

/// Every `decisions-*.yaml` for this input.
fn decisions(folder: &Path, input: &str) -> Vec<Rows> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let tables = names.filter(|name| name.starts_with("decisions-"));
    tables.map(|name| load::<Rows>(folder, &name)).filter(|rows| rows.policies == input).collect()
}

fn decide(world: &World, rows: &Rows) -> Vec<String> {
    let labels: Labels = rows.to.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let destination = Destination { namespace: rows.to.namespace.as_str().into(), labels, ..Destination::default() };
    let selection = Selection {
        root_namespace: &world.mesh.root_namespace,
        switches: Switches::default(),
        destination: &destination,
        point: Point::SidecarHttp,
    };
    let key = PrivateKey::generate_p256().unwrap();
    let set = json!({"keys": [jwk::to_json(key.public(), "k").unwrap()]});
    let set = JwkSet::from_json(set.to_string().as_bytes()).unwrap();
    let compiled = Compiled::new(world, &selection);
    let providers = Providers::new(world, &selection, &|_| Some(set.clone()));
    let row = |row: &Row| {
        let bearer = row.request.jwt.as_ref().map(|name| {
            let claims = rows.token_claims.get(name).unwrap_or_else(|| panic!("no token `{name}`"));
            format!("Bearer {}", jws::sign(&key.signer().unwrap(), "k", claims).unwrap())
        });
        let own = row.request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Headers<'_> = bearer.iter().map(|value| ("authorization", value.as_str())).chain(own).collect();
        let host = row.request.host.as_deref().unwrap_or("b");
        let http = Http::new(&row.request.method, host, &row.request.path, world.mesh.normalization, headers).unwrap();
        let authentication = providers.authenticate(&http, NOW);
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let from = row.request.source_ip.unwrap_or(here);
        let mut request = Request::new(from, here, row.request.port.unwrap_or(PORT));
        let identity = row.request.principal.as_ref().map(|name| format!("spiffe://{name}"));
        if let Some(identity) = &identity {
            request = request.with_identity(identity).unwrap();
        }
        request.token = Token::from(&authentication);
        request.http = Some(http);
        let found = compiled.decide(&request);
        let wanted = if row.allow { Verdict::Allow } else { Verdict::Deny };
        (found.verdict != wanted).then(|| format!("{:?}: {found:?}, not {wanted:?} ({authentication:?})", row.request))
    };
    rows.rows.iter().filter_map(row).collect()
}
