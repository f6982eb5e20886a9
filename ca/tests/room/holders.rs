//! Tokens whose holder is gone, and holders that are not known yet or not known any more.

use std::time::{Duration, Instant};

use serde_json::Value;
use signet_ca::kubernetes::{AccountObject, PodObject, PodPhase};
use signet_identity::Timestamp;
use signet_runtime::Clock;
use tonic::Code;

use crate::lab::{HOUR, Lab, Setup, any_csr, now};
use crate::objects::{Objects, account_of, pod_of};

const SECOND: Duration = Duration::from_secs(1);

/// A server that knows its cluster's objects, and a token of one that is there.
struct Known {
    lab: Lab,
    clock: Clock,
    objects: Objects,
    claims: Value,
    token: String,
}

impl Known {
    async fn start() -> Self {
        Self::start_with(|setup| setup).await
    }

    async fn start_with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let clock = Clock::manual(now().unix_millis());
        let setup = change(Setup::new().with_clock(clock.clone()));
        let claims = setup.issuer.claims("shop", "web", now(), 10 * HOUR);
        let (objects, token) = (Objects::of(&[&claims], now()), setup.issuer.sign(&claims));
        let lab = setup.with_link("Kubernetes", objects.link.clone()).start().await;
        Self { lab, clock, objects, claims, token }
    }

    fn pod(&self) -> PodObject {
        pod_of(&self.claims)
    }

    fn account(&self) -> AccountObject {
        account_of(&self.claims)
    }

    fn now(&self) -> Timestamp {
        self.lab.now()
    }

    async fn code(&self) -> Code {
        self.lab.ask(&self.token, &any_csr(), 60).await.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    async fn check(&self, code: Code, reason: &str) {
        let series = format!("signet_ca_refusals_total{{reason=\"{reason}\"}}");
        let before = self.lab.metric(&series).await;
        assert_eq!((self.code().await, self.lab.metric(&series).await), (code, before + 1), "{reason}");
    }
}

#[tokio::test]
async fn a_deleted_pods_token_stops_working() {
    let known = Known::start().await;
    assert_eq!(known.code().await, Code::Ok);
    known.objects.writer.delete_pod("shop", "web-1");
    known.check(Code::Unauthenticated, "pod_gone").await;
    let began = Instant::now();
    known.check(Code::Unauthenticated, "pod_gone").await;
    assert!(began.elapsed() < SECOND, "a token that was refused a moment ago is not waited for again");
}

#[tokio::test]
async fn a_pod_of_the_same_name_is_not_the_same_pod() {
    let known = Known::start().await;
    known.objects.writer.apply_pod(PodObject { uid: "another".into(), ..known.pod() });
    known.check(Code::Unauthenticated, "pod_replaced").await;
}

#[tokio::test]
async fn a_pod_elsewhere_or_of_another_service_account_does_not_vouch() {
    let known = Known::start().await;
    known.objects.writer.apply_pod(PodObject { node: Some("node-2".into()), ..known.pod() });
    known.check(Code::Unauthenticated, "pod_node").await;
    let known = Known::start().await;
    known.objects.writer.apply_pod(PodObject { service_account: "admin".into(), ..known.pod() });
    known.check(Code::Unauthenticated, "pod_service_account").await;
}

#[tokio::test]
async fn a_pod_that_is_being_deleted_vouches_for_a_minute_beyond_its_grace_period() {
    let known = Known::start().await;
    let end = known.now().plus(30 * SECOND);
    known.objects.writer.apply_pod(PodObject { deleted_at: Some(end), ..known.pod() });
    assert_eq!(known.code().await, Code::Ok);
    known.clock.set(end.plus(60 * SECOND).unix_millis());
    assert_eq!(known.code().await, Code::Ok);
    known.clock.advance(Duration::from_millis(1));
    known.check(Code::Unauthenticated, "pod_deleted").await;
}

#[tokio::test]
async fn a_service_account_that_is_gone_or_another_vouches_for_nobody() {
    let known = Known::start().await;
    known.objects.writer.delete_account("shop", "web");
    known.check(Code::Unauthenticated, "service_account_gone").await;
    let known = Known::start().await;
    known.objects.writer.apply_account(AccountObject { uid: "another".into(), ..known.account() });
    known.check(Code::Unauthenticated, "service_account_replaced").await;
    let known = Known::start().await;
    let deleted_at = Some(known.now().minus(61 * SECOND));
    known.objects.writer.apply_account(AccountObject { deleted_at, ..known.account() });
    known.check(Code::Unauthenticated, "service_account_deleted").await;
}

#[tokio::test]
async fn a_pod_that_the_watch_brings_a_moment_later_is_served() {
    let known = Known::start().await;
    known.objects.list(&[], known.now());
    let arriving = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        known.objects.writer.apply_account(known.account());
        tokio::time::sleep(Duration::from_millis(100)).await;
        known.objects.writer.apply_pod(PodObject { node: None, phase: PodPhase::Pending, ..known.pod() });
        tokio::time::sleep(Duration::from_millis(100)).await;
        known.objects.writer.apply_pod(known.pod());
    };
    let (code, ()) = tokio::join!(known.code(), arriving);
    assert_eq!(code, Code::Ok);
}

#[tokio::test]
async fn objects_that_were_never_listed_decide_nothing() {
    let setup = Setup::new();
    let lab = setup.with_link("Kubernetes", Objects::unsynced().link).start().await;
    let status = lab.ask(&lab.token(), &any_csr(), 60).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"objects_unsynced\"}").await, 1);
}

#[tokio::test]
async fn issuing_goes_on_without_the_api_server_for_as_long_as_the_operator_accepts() {
    let known = Known::start_with(|setup| setup.with("leaf.max_ttl", "'10m'").with("tokens.stale_after", "'2h'")).await;
    known.clock.advance(2 * HOUR);
    assert_eq!(known.code().await, Code::Ok, "twelve certificates' lives without a word");
    known.clock.advance(SECOND);
    known.check(Code::Unavailable, "objects_stale").await;
    known.objects.heard(known.now());
    assert_eq!(known.code().await, Code::Ok);
}

#[tokio::test]
async fn a_clock_that_jumps_an_hour_and_back_leaves_nothing_behind() {
    let known = Known::start_with(|setup| setup.with("tokens.stale_after", "'10m'")).await;
    let short = known.lab.setup.issuer.claims("shop", "web", known.now(), HOUR / 2);
    let ask = async |claims: &Value| {
        let token = known.lab.setup.issuer.sign(claims);
        known.lab.ask(&token, &any_csr(), 60).await.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    let start = known.now();
    assert_eq!((ask(&short).await, known.code().await), (Code::Ok, Code::Ok));

    known.clock.set(start.plus(HOUR).unix_millis());
    assert_eq!(ask(&short).await, Code::Unauthenticated, "it has ended by this clock");
    known.check(Code::Unavailable, "objects_stale").await;
    known.objects.heard(known.now());
    assert_eq!(known.code().await, Code::Ok);

    known.clock.set(start.unix_millis());
    assert_eq!((ask(&short).await, known.code().await), (Code::Ok, Code::Ok));

    known.clock.set(start.minus(HOUR).unix_millis());
    known.check(Code::Unauthenticated, "token_not_yet_valid").await;
    known.clock.set(start.unix_millis());
    assert_eq!((ask(&short).await, known.code().await), (Code::Ok, Code::Ok));
}
