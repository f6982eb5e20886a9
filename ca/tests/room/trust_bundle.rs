//! `signet.ca.v1.TrustBundle.Watch` over real sockets.

use tonic::Code;

use crate::lab::{HOUR, Lab, certificates, eventually};
use crate::watcher::Watcher;

#[tokio::test]
async fn a_watcher_gets_the_bundle_that_answers_hold() {
    let lab = Lab::start().await;
    let mut watcher = Watcher::start(&lab, 0).await;
    let bundle = watcher.next().await;
    assert_eq!(bundle.trust_domain, "cluster.local");
    assert_eq!(bundle.generation, 1);
    assert_eq!(Some(&bundle.roots_pem), lab.issue().await.chain.last());
    assert_eq!(certificates(&bundle.roots_pem).len(), 1);
}

#[tokio::test]
async fn only_who_can_be_identified_may_watch() {
    let lab = Lab::start().await;
    let expired = lab.setup.issuer.token("shop", "web", lab.now().minus(2 * HOUR), HOUR);
    for token in [None, Some("nonsense"), Some(expired.as_str())] {
        let status = Watcher::with_token(&lab, token, 0).await.err().expect("the watch should be refused");
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "request authenticate failure"));
        assert!(status.metadata().contains_key("x-request-id"));
    }
    assert_eq!(lab.metric("signet_ca_trust_bundle_watchers").await, 0);
}

#[tokio::test]
async fn acknowledgements_are_counted_for_as_long_as_their_watcher_is_there() {
    let lab = Lab::start().await;
    let shows = async |watchers: i64, acknowledged: i64| {
        eventually(&format!("{acknowledged} of {watchers} have it"), async || {
            lab.metric("signet_ca_trust_bundle_watchers").await == watchers
                && lab.metric("signet_ca_trust_bundle_acknowledged").await == acknowledged
        })
        .await;
    };
    let mut one = Watcher::start(&lab, 0).await;
    let mut other = Watcher::start(&lab, 1).await;
    let (generation, _) = (one.next().await.generation, other.next().await);
    shows(2, 1).await;
    one.acknowledge(generation).await;
    shows(2, 2).await;
    drop(one);
    shows(1, 1).await;
    drop(other);
    shows(0, 0).await;
}

#[tokio::test]
async fn a_caller_has_a_few_watches_at_once() {
    let lab = Lab::start().await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(Watcher::start(&lab, 0).await);
    }
    let status = Watcher::with_token(&lab, Some(&lab.token()), 0).await.err().expect("the fifth should be refused");
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "too many watchers of this caller"));
    held.pop();
    eventually("a place is free again", async || Watcher::with_token(&lab, Some(&lab.token()), 0).await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_stops_ends_its_watches_in_peace() {
    let lab = Lab::start().await;
    let mut watcher = Watcher::start(&lab, 0).await;
    watcher.next().await;
    lab.stop().await;
    assert_eq!(watcher.try_next().await.expect("the end should be no error"), None);
}
