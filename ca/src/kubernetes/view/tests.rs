//! What a view knows, how long it is worth something, and who is woken when an object arrives.

use tokio::time::Instant;

use super::super::objects::TEXT_MAX_BYTES;
use super::*;
use signet_kubernetes::WAITERS_MAX;

const SECOND: Duration = Duration::from_secs(1);
const THEN: Timestamp = Timestamp::from_unix_secs(1_795_403_000);

fn pod(name: &str, uid: &str, node: &str) -> PodObject {
    let node = Some(node.into()).filter(|_| !node.is_empty());
    PodObject {
        namespace: "shop".into(),
        name: name.into(),
        uid: uid.into(),
        service_account: "web".into(),
        node,
        ..PodObject::default()
    }
}

fn account(name: &str) -> AccountObject {
    AccountObject { namespace: "shop".into(), name: name.into(), uid: "u-1".into(), ..AccountObject::default() }
}

fn synced() -> (ClusterViewWriter, ClusterView) {
    let (writer, view) = ClusterViewWriter::new();
    writer.replace_pods([pod("web-1", "p-1", "node-1")], THEN);
    writer.replace_accounts([account("web")], THEN);
    (writer, view)
}

fn uid(view: &ClusterView, name: &str) -> Option<String> {
    view.pod("shop", name).map(|pod| pod.uid.to_string())
}

fn is_at(view: &ClusterView, node: &str) -> bool {
    view.pod_at(node, "shop", "web", |_| true).is_some()
}

#[test]
fn objects_are_found_by_name_and_pods_by_their_place() {
    let (writer, view) = synced();
    assert_eq!(uid(&view, "web-1").as_deref(), Some("p-1"));
    assert_eq!((uid(&view, "web-2"), view.pod("bank", "web-1")), (None, None));
    assert_eq!((is_at(&view, "node-1"), is_at(&view, "node-2")), (true, false));
    assert!(view.pod_at("node-1", "shop", "admin", |_| true).is_none());
    assert!(view.pod_at("node-1", "shop", "web", |pod| pod.phase.is_over()).is_none());
    assert_eq!(view.account("shop", "web").unwrap().uid.as_ref(), "u-1");

    writer.apply_pod(pod("web-1", "p-2", "node-2"));
    assert_eq!(uid(&view, "web-1").as_deref(), Some("p-2"));
    assert_eq!((is_at(&view, "node-1"), is_at(&view, "node-2")), (false, true));

    writer.delete_pod("shop", "web-1");
    writer.delete_pod("shop", "web-1");
    writer.delete_account("shop", "web");
    assert_eq!((uid(&view, "web-1"), is_at(&view, "node-2")), (None, false));
    assert_eq!(view.counts(), Counts { pods: 0, accounts: 0 });
}

#[test]
fn pods_of_a_service_account_are_found_among_themselves() {
    let (writer, view) = synced();
    let looked = std::cell::Cell::new(0);
    let has = |account: &str, uid: &str| {
        looked.set(0);
        view.has_pod_of("shop", account, |pod| {
            looked.set(looked.get() + 1);
            *pod.uid == *uid
        })
    };
    for number in 0..1000 {
        writer.apply_pod(PodObject { service_account: "batch".into(), ..pod(&format!("job-{number}"), "j", "node-1") });
    }
    assert!(has("web", "p-1") && !has("web", "p-2"));
    assert_eq!(looked.get(), 1, "others' pods are not looked at");
    assert!(has("batch", "j") && !has("batch", "p-1") && !has("none", "j"));
    assert_eq!(view.pod("bank", "web-1"), None);

    writer.apply_pod(PodObject { service_account: "other".into(), ..pod("web-1", "p-2", "node-1") });
    assert!(!has("web", "p-1") && has("other", "p-2"), "a pod that was made anew is its new account's");
    (0..1000).for_each(|number| writer.delete_pod("shop", &format!("job-{number}")));
    writer.delete_pod("shop", "web-1");
    assert!(!has("batch", "j") && !has("other", "p-2"));
}

#[test]
fn a_new_list_forgets_what_it_does_not_name() {
    let (writer, view) = synced();
    writer.replace_pods([pod("web-2", "p-2", ""), pod("web-3", "p-3", "node-1")], THEN);
    assert_eq!((uid(&view, "web-1"), uid(&view, "web-2").as_deref()), (None, Some("p-2")));
    assert!(is_at(&view, "node-1"));
    assert_eq!(view.counts(), Counts { pods: 2, accounts: 1 });
}

#[test]
fn knowledge_is_worth_something_from_the_first_lists_until_it_is_too_old() {
    let (writer, view) = ClusterViewWriter::new();
    let hour = SECOND * 3600;
    let freshness = |at: Timestamp| view.freshness(at, hour);
    writer.heard_pods(THEN);
    writer.heard_accounts(THEN);
    assert_eq!(freshness(THEN), Freshness::Unsynced, "a bookmark is no list");
    writer.replace_pods([], THEN);
    assert_eq!((freshness(THEN), view.heard_at()), (Freshness::Unsynced, None));
    writer.replace_accounts([], THEN.minus(SECOND));
    assert_eq!((freshness(THEN), view.heard_at()), (Freshness::Fresh, Some(THEN.minus(SECOND))));

    writer.heard_accounts(THEN.plus(hour));
    assert_eq!(freshness(THEN.plus(hour)), Freshness::Fresh);
    assert_eq!(freshness(THEN.plus(hour + SECOND)), Freshness::Stale { age: hour + SECOND });
    writer.heard_pods(THEN.plus(hour));
    assert_eq!(freshness(THEN.plus(hour + SECOND)), Freshness::Fresh);
}

#[test]
fn a_clock_that_jumps_is_forgotten_with_the_next_word() {
    let (writer, view) = synced();
    let (hour, minute) = (SECOND * 3600, SECOND * 60);
    for jumped in [THEN.plus(hour), THEN.minus(hour)] {
        writer.heard_pods(jumped);
        writer.heard_accounts(jumped);
        assert_eq!(view.freshness(jumped, minute), Freshness::Fresh);
        assert_ne!(view.freshness(jumped.plus(minute * 2), minute), Freshness::Fresh);
    }
}

#[test]
fn what_does_not_fit_is_left_out_and_absence_means_nothing_until_the_next_list() {
    let (writer, view) = ClusterViewWriter::bounded(2, 1);
    let fresh = || view.freshness(THEN, SECOND);
    writer.replace_pods([pod("web-1", "p-1", "node-1"), pod("web-2", "p-2", "node-1")], THEN);
    writer.replace_accounts([account("web")], THEN);
    assert_eq!(fresh(), Freshness::Fresh);
    writer.apply_pod(pod("web-3", "p-3", "node-3"));
    assert_eq!((fresh(), uid(&view, "web-3"), is_at(&view, "node-3")), (Freshness::Incomplete, None, false));
    writer.apply_pod(pod("web-1", "p-9", "node-9"));
    assert_eq!(uid(&view, "web-1").as_deref(), Some("p-9"), "what is there may change");

    writer.replace_pods([pod("web-1", "p-1", "node-1")], THEN);
    assert_eq!(fresh(), Freshness::Fresh);
    writer.apply_pod(pod("web-1", &"x".repeat(TEXT_MAX_BYTES + 1), "node-1"));
    assert_eq!((fresh(), uid(&view, "web-1"), is_at(&view, "node-1")), (Freshness::Incomplete, None, false));
    writer.replace_pods([], THEN);
    writer.apply_account(account("other"));
    assert_eq!((fresh(), view.counts().accounts), (Freshness::Incomplete, 1));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_pod_is_woken_by_that_pod() {
    let (writer, view) = synced();
    let start = Instant::now();
    let waiting = view.wait_for_pod("shop", "web-2", SECOND * 2, |pod| *pod.uid == *"p-2");
    let feeding = async {
        tokio::time::sleep(SECOND / 10).await;
        writer.apply_pod(pod("web-2", "p-0", "node-2"));
        tokio::time::sleep(SECOND / 10).await;
        writer.apply_pod(pod("web-2", "p-2", "node-2"));
    };
    let (found, ()) = tokio::join!(waiting, feeding);
    assert_eq!(found.unwrap().uid.as_ref(), "p-2");
    assert_eq!(start.elapsed(), SECOND / 5);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_is_woken_by_a_pod_there_or_by_a_new_list() {
    for by_list in [false, true] {
        let (writer, view) = synced();
        let waiting = view.wait_for_pod_at("node-2", "shop", "web", SECOND * 2, |pod| !pod.phase.is_over());
        let feeding = async {
            tokio::time::sleep(SECOND / 10).await;
            let arrived = pod("web-2", "p-2", "node-2");
            if by_list { writer.replace_pods([arrived], THEN) } else { writer.apply_pod(arrived) }
        };
        let start = Instant::now();
        let (found, ()) = tokio::join!(waiting, feeding);
        assert_eq!((found.unwrap().uid.as_ref(), start.elapsed()), ("p-2", SECOND / 10));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_service_account_is_woken_by_it_or_by_a_new_list() {
    for by_list in [false, true] {
        let (writer, view) = synced();
        let waiting = view.wait_for_account("shop", "new", SECOND * 2, |_| true);
        let feeding = async {
            tokio::time::sleep(SECOND / 10).await;
            if by_list { writer.replace_accounts([account("new")], THEN) } else { writer.apply_account(account("new")) }
        };
        let start = Instant::now();
        let (found, ()) = tokio::join!(waiting, feeding);
        assert_eq!((found.unwrap().name.as_ref(), start.elapsed()), ("new", SECOND / 10));
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_and_leaves_nothing_behind() {
    let (_writer, view) = synced();
    let start = Instant::now();
    assert!(view.wait_for_pod("shop", "web-1", SECOND, |_| true).await.is_some());
    assert_eq!(start.elapsed(), Duration::ZERO, "a pod that is there is not waited for");
    assert!(view.wait_for_pod("shop", "web-2", SECOND, |_| true).await.is_none());
    assert_eq!(start.elapsed(), SECOND);
    let given_up = tokio::time::timeout(SECOND / 2, view.wait_for_pod("shop", "web-2", SECOND, |_| true)).await;
    assert!(given_up.is_err());
    assert!(view.shared.waiting.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_more_than_may_wait_does_not_wait() {
    let (_writer, view) = synced();
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..WAITERS_MAX {
        let view = view.clone();
        waiting.spawn(async move { view.wait_for_pod("shop", &format!("pod-{number}"), SECOND, |_| true).await });
    }
    tokio::time::sleep(SECOND / 10).await;
    let start = Instant::now();
    assert!(view.wait_for_pod("shop", "web-2", SECOND, |_| true).await.is_none());
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(waiting.join_all().await.len(), WAITERS_MAX);
    assert!(view.shared.waiting.is_empty());
}
