//! Whose questions wait for whose.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;

/// An API server that never answers about nodes and at once about everything else.
#[derive(Debug, Default)]
struct Stuck {
    under_way: AtomicUsize,
}

impl LiveObjects for Stuck {
    fn pod<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Option<PodObject>> {
        Box::pin(async { Ok(None) })
    }

    fn account<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Option<AccountObject>> {
        Box::pin(async { Ok(None) })
    }

    fn pods_at<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> Answer<'a, Vec<PodObject>> {
        Box::pin(async {
            self.under_way.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn node_proxies_that_ask_without_end_keep_nobody_else_from_asking() {
    let stuck = Arc::new(Stuck::default());
    let reads = BoundedReads::new(stuck.clone());
    let mut asking = JoinSet::new();
    let ask = |asking: &mut JoinSet<_>, node: &str, times: usize| {
        for _ in 0..times {
            let (reads, node) = (reads.clone(), node.to_owned());
            asking.spawn(async move { reads.read_for(&node, |objects| objects.pods_at("n", "shop", "web")).await });
        }
    };
    ask(&mut asking, "node-1", 100);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(stuck.under_way.load(Ordering::SeqCst), NODE_READS_MAX, "one node has its share and no more");
    for node in 2..20 {
        ask(&mut asking, &format!("node-{node}"), 10);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(stuck.under_way.load(Ordering::SeqCst), PROXY_READS_MAX);
    for _ in 0..20 {
        assert_eq!(reads.read(|objects| objects.pod("shop", "web-1")).await, Ok(None));
    }
    while let Some(asked) = asking.join_next().await {
        assert_eq!(asked.unwrap(), Err(LiveError::Deadline));
    }
    assert!(reads.nodes().is_empty(), "nodes are remembered for as long as they ask");
}
