//! Every recording: the same request gets the same answer.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signet_kube_standin::{ApiServer, Options};

use crate::client::{Client, plain};
use crate::normal::normal;
use crate::scene::Scene;

/// What the stand-in does not do: the first tells of a kind that it does not serve.
const NOT_CLAIMED: [&str; 1] = ["podcertificaterequest-schema"];

pub(crate) struct Recording {
    pub(crate) request: Value,
    pub(crate) response: Value,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

pub(crate) fn recording(name: &str) -> Recording {
    let text = fs::read_to_string(fixtures().join(format!("{name}.json"))).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    Recording { request: json["request"].clone(), response: json["response"].clone() }
}

fn recordings() -> Vec<String> {
    let names = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
    names.sort();
    names
}

async fn scene() -> Scene {
    let options = Options {
        bookmark_every: Duration::from_millis(300),
        bundle_versions: vec!["v1beta1".to_owned(), "v1alpha1".to_owned()],
        ..plain()
    };
    Scene { server: ApiServer::start(options).await }
}

#[tokio::test]
async fn every_recorded_request_gets_the_recorded_answer() {
    let (mut replayed, mut complaints) = (0, Vec::new());
    for name in recordings() {
        let Recording { mut request, response } = recording(&name);
        if NOT_CLAIMED.contains(&name.as_str()) || request.is_null() || !response["lines"].is_null() {
            continue;
        }
        let scene = scene().await;
        let bearer = scene.set(&name, &mut request);
        let path = request["path"].as_str().unwrap();
        let content_type = request["content_type"].as_str().unwrap_or("application/json");
        let method = request["method"].as_str().unwrap();
        let client = Client::new(&scene.server);
        let answer = client.send(method, path, bearer.as_deref(), content_type, &request["body"]).await.unwrap();

        if json!(answer.status) != response["status"] || normal(&answer.json()) != normal(&response["body"]) {
            let (found, wanted) = (normal(&answer.json()), normal(&response["body"]));
            complaints.push(format!("{name}: {}\n  found  {found}\n  wanted {wanted}", answer.status));
        }
        for (header, value) in response["headers"].as_object().unwrap() {
            if answer.header(header) != value.as_str() {
                complaints.push(format!("{name}: {header} is {:?}, not {value}", answer.header(header)));
            }
        }
        replayed += 1;
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(replayed, 44, "recordings with a body");
}

/// Sends the recorded watch, with its time cut to `seconds`.
async fn watch(scene: &Scene, request: &Value, seconds: u32, from: Option<&str>) -> Vec<Value> {
    let path = request["path"].as_str().unwrap();
    let (head, _) = path.split_once("timeoutSeconds=").unwrap();
    let mut path = format!("{head}timeoutSeconds={seconds}");
    if let Some(from) = from {
        path = path.replace("<from list>", from);
    }
    let answer = Client::new(&scene.server).get(&path, scene.server.administrator()).await;
    assert_eq!(answer.status, 200);
    answer.lines()
}

/// Lines without what differs, and bookmarks in a row as one.
fn story(lines: &[Value]) -> Vec<Value> {
    let mut lines: Vec<Value> = lines.iter().map(normal).collect();
    lines.dedup_by(|one, other| one["type"] == "BOOKMARK" && one == other);
    lines
}

#[tokio::test]
async fn every_recorded_watch_tells_the_recorded_story() {
    for name in ["watch-compacted", "pods-watch-future", "pods-watchlist"] {
        let Recording { mut request, response } = recording(name);
        let scene = scene().await;
        scene.set(name, &mut request);
        let lines = watch(&scene, &request, 1, None).await;
        let mut wanted = story(response["lines"].as_array().unwrap());
        if name == "pods-watchlist" {
            // Ours sends bookmarks more often than once a minute.
            wanted.push(lines.last().map(normal).unwrap());
        }
        assert_eq!(story(&lines), wanted, "{name}");
    }
}

#[tokio::test]
async fn a_pods_life_is_watched_as_it_was_recorded() {
    let Recording { mut request, response } = recording("pods-watch");
    let scene = scene().await;
    scene.set("pods-watch", &mut request);
    let list = scene.server.objects().send("GET", "/api/v1/pods", &Value::Null);
    let from = list.body["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let watching = watch(&scene, &request, 2, Some(&from));
    let living = async {
        let objects = scene.objects();
        scene.pod("web-3", "node-1");
        objects.edit("pods", "shop", "web-3", |pod| pod["metadata"]["labels"]["x"] = json!("y"));
        objects.kill_pod("shop", "web-3");
    };
    let (lines, ()) = tokio::join!(watching, living);
    assert_eq!(story(&lines), story(response["lines"].as_array().unwrap()));
}

/// The value with every scalar replaced by its kind.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        other => other.clone(),
    }
}

#[tokio::test]
async fn tokens_are_made_as_the_recorded_ones() {
    let text = fs::read_to_string(fixtures().join("token-claims.json")).unwrap();
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let scene = scene().await;
    scene.populate();
    scene.pod("web-1", "node-1");
    for (name, pod) in [("bound_to_pod", Some("web-1")), ("unbound", None)] {
        let token = scene.server.token("shop", "web", pod, "istio-ca", 3600);
        let parts = token
            .split('.')
            .take(2)
            .map(|part| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap());
        let parts: Value = parts.collect();
        assert_eq!(shape(&parts), shape(&recorded[name]), "{name}");
        assert_eq!(parts[1]["sub"], recorded[name][1]["sub"]);
    }
}
