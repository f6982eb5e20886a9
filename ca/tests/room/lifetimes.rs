//! How long certificates are valid, whatever is asked.

use std::time::Duration;

use signet_identity::Timestamp;
use signet_runtime::Clock;
use tonic::Code;

use crate::lab::{HOUR, Lab, Setup, any_csr, certificates, eventually, now};

/// A server whose clock stands still, so that times can be compared to the second.
async fn still(setup: Setup) -> Lab {
    setup.with_clock(Clock::manual(now().unix_millis())).start().await
}

/// Settings under which a root ends after an hour, and nothing replaces it.
fn by_hand() -> Setup {
    let setup = Setup::new().with("authority.rotation.automatic", "false").with("authority.root_ttl", "'1h'");
    setup.with("leaf.max_ttl", "'1h'").with("serving.ttl", "'1h'")
}

/// Seconds from now to the end of a certificate for which `asked` was asked.
async fn granted(lab: &Lab, asked: i64) -> i64 {
    let chain = lab.ask(&lab.token(), &any_csr(), asked).await.unwrap();
    certificates(&chain[0])[0].lifetime().not_after().unix_secs() - lab.now().unix_secs()
}

#[tokio::test]
async fn a_wish_is_granted_up_to_the_maximum() {
    let lab = still(Setup::new()).await;
    let (day, max) = (86_400, 2160 * 3600);
    assert_eq!(granted(&lab, 0).await, day);
    assert_eq!(granted(&lab, -1).await, day);
    assert_eq!(granted(&lab, i64::MIN).await, day);
    assert_eq!(granted(&lab, 1).await, 1);
    assert_eq!(granted(&lab, 6).await, 6);
    assert_eq!(granted(&lab, max).await, max);
    assert_eq!(granted(&lab, max + 1).await, max);
    assert_eq!(granted(&lab, 1 << 33).await, max);
    assert_eq!(granted(&lab, i64::MAX).await, max);
}

#[tokio::test]
async fn a_wish_above_the_maximum_is_refused_where_the_operator_wants_that() {
    let setup = Setup::new().with("leaf.over_max", "'refuse'").with("leaf.max_ttl", "'1h'");
    let lab = still(setup).await;
    assert_eq!(granted(&lab, 3600).await, 3600);
    assert_eq!(granted(&lab, 0).await, 3600);
    for asked in [3601, 1 << 33, i64::MAX] {
        let status = lab.ask(&lab.token(), &any_csr(), asked).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let wanted = format!("CSR signing error (requested lifetime of {asked}s is above the maximum of 3600s)");
        assert_eq!(status.message(), wanted);
    }
    assert_eq!(lab.metric("citadel_server_csr_sign_err_count{error=\"TTL_ERROR\"}").await, 3);
}

#[tokio::test]
async fn a_certificate_begins_two_minutes_before_its_issue() {
    let lab = still(Setup::new()).await;
    let chain = lab.ask(&lab.token(), &any_csr(), 60).await.unwrap();
    let lifetime = certificates(&chain[0])[0].lifetime();
    assert_eq!(lab.now().unix_secs() - lifetime.not_before().unix_secs(), 120);
    assert_eq!(lifetime.not_after().since(lifetime.not_before()), Duration::from_secs(180));
}

#[tokio::test]
async fn no_certificate_outlives_its_issuer() {
    let lab = still(by_hand()).await;
    assert_eq!(granted(&lab, 86_400).await, 3600);
    lab.setup.clock.advance(Duration::from_secs(3000));
    assert_eq!(granted(&lab, 86_400).await, 600);
    assert_eq!(granted(&lab, 30).await, 30);
}

#[tokio::test]
async fn an_issuer_that_has_expired_signs_nothing_and_is_not_ready() {
    let lab = still(by_hand()).await;
    lab.wait_ready().await;
    lab.setup.clock.advance(HOUR + Duration::from_secs(1));
    let status = lab.ask(&lab.token(), &any_csr(), 60).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), "CSR signing error (signing certificate is not valid now)");
    assert_eq!(lab.metric("citadel_server_csr_sign_err_count{error=\"CERT_GEN_ERROR\"}").await, 1);
    eventually("the server is not ready", async || lab.get("/healthz/ready").await.0 == 503).await;
    assert!(lab.get("/healthz/ready").await.1.contains("signer: signing certificate is not valid now"));
    assert_eq!(lab.get("/healthz/live").await.0, 200);
    assert!(lab.metric("citadel_server_root_cert_expiry_seconds").await < 0);
}

#[tokio::test]
async fn a_root_made_for_longer_than_a_certificate_can_say_ends_with_the_calendar() {
    let lab = still(Setup::new().with("authority.root_ttl", "'200000000h'")).await;
    let root = certificates(&lab.roots_pem).remove(0);
    assert_eq!(root.lifetime().not_after(), Timestamp::from_unix_secs(253_402_300_799));
    assert_eq!(granted(&lab, 60).await, 60);
}
