//! Watches beyond the recordings, as the API's documentation has them.

use std::time::Duration;

use serde_json::{Value, json};
use signet_kube_standin::{ApiServer, Options, namespace, pod, service_account};

use crate::client::{Client, plain};

async fn server() -> ApiServer {
    let server = ApiServer::start(Options { bookmark_every: Duration::from_millis(200), ..plain() }).await;
    server.objects().create(&namespace("shop"));
    server.objects().create(&service_account("shop", "web"));
    server
}

async fn watch(server: &ApiServer, query: &str) -> Vec<(String, String)> {
    let path = format!("/api/v1/pods?watch=true&timeoutSeconds=1&{query}");
    let answer = Client::new(server).get(&path, server.administrator()).await;
    let lines = answer.lines().into_iter().map(|line| {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (word(&line["type"]), word(&line["object"]["metadata"]["name"]))
    });
    lines.collect()
}

fn words(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(what, name)| ((*what).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let server = server().await;
    server.objects().create(&pod("shop", "a", "web", "node-1"));
    assert_eq!(watch(&server, "").await, words(&[("ADDED", "a")]));
    assert_eq!(watch(&server, "resourceVersion=0").await, words(&[("ADDED", "a")]));
}

#[tokio::test]
async fn a_watch_through_a_selector_sees_objects_come_and_go() {
    let server = server().await;
    let objects = server.objects();
    let from = objects.create(&pod("shop", "a", "web", "node-1"))["metadata"]["resourceVersion"].clone();
    objects.edit("pods", "shop", "a", |pod| pod["metadata"]["labels"]["in"] = json!("yes"));
    objects.edit("pods", "shop", "a", |pod| pod["metadata"]["labels"]["more"] = json!("yes"));
    objects.edit("pods", "shop", "a", |pod| pod["metadata"]["labels"]["in"] = json!("no"));
    let from = from.as_str().unwrap();
    let seen = watch(&server, &format!("resourceVersion={from}&labelSelector=in%3Dyes")).await;
    assert_eq!(seen, words(&[("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]));
}

#[tokio::test]
async fn a_watch_ends_when_its_past_is_compacted_away() {
    let server = server().await;
    let from = server.objects().create(&pod("shop", "a", "web", "node-1"))["metadata"]["resourceVersion"].clone();
    let from = format!("resourceVersion={}", from.as_str().unwrap());
    server.compact();
    assert_eq!(watch(&server, &from).await, words(&[("ERROR", "")]));
    server.say_gone_by_status(true);
    let path = format!("/api/v1/pods?watch=true&timeoutSeconds=1&{from}");
    assert_eq!(Client::new(&server).get(&path, server.administrator()).await.status, 410);
}

#[tokio::test]
async fn bookmarks_come_only_to_those_who_ask() {
    let server = server().await;
    assert_eq!(watch(&server, "").await, []);
    let seen = watch(&server, "allowWatchBookmarks=true").await;
    assert!(seen.len() >= 3 && seen.iter().all(|(what, _)| what == "BOOKMARK"), "{seen:?}");
}

#[tokio::test]
async fn pages_of_a_list_show_one_state() {
    let server = server().await;
    let objects = server.objects();
    for name in ["a", "b", "c"] {
        objects.create(&pod("shop", name, "web", "node-1"));
    }
    let page = |query: String| objects.send("GET", &format!("/api/v1/pods?{query}"), &Value::Null).body;
    let first = page("limit=2".to_owned());
    objects.kill_pod("shop", "c");
    objects.create(&pod("shop", "d", "web", "node-1"));
    let second = page(format!("limit=2&continue={}", first["metadata"]["continue"].as_str().unwrap()));
    let names: Vec<&Value> = [&first, &second]
        .into_iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .map(|item| &item["metadata"]["name"])
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    assert!(second["metadata"]["continue"].is_null());
}
