//! Renewal by the certificate that a caller holds: what it takes, and every reason why it is not enough.

use std::time::Duration;

use rustls::HandshakeKind;
use serde_json::Value;
use signet_ca::kubernetes::{AccountObject, PodObject, PodPhase};
use signet_identity::{Lifetime, PrivateKey, pem};
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use signet_runtime::Clock;
use signet_testkit::{TestCa, knobs};
use tonic::transport::{Certificate as TlsRoot, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use crate::headers::impersonating;
use crate::https::second_handshake;
use crate::lab::{HOUR, Issued, Lab, Setup, WEB, bare_request, csr_of, eventually, now, request};
use crate::ledger::issued;
use crate::objects::{Objects, account_of, pod_of};
use crate::rotation::operator;

const MINUTE: Duration = Duration::from_secs(60);

/// A cluster with `shop/web`, and a server that renews by certificate for four hours.
pub(crate) struct Home {
    pub(crate) lab: Lab,
    pub(crate) clock: Clock,
    pub(crate) objects: Objects,
    pub(crate) claims: Value,
}

impl Home {
    pub(crate) async fn start() -> Self {
        Self::start_with(|setup| setup).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let clock = Clock::manual(now().unix_millis());
        let setup = Setup::new()
            .with_clock(clock.clone())
            .with("authenticators", "['kubernetes', 'client-certificate']")
            .with("leaf.default_ttl", "'1h'")
            .with("renewal.max_age", "'4h'");
        let setup = change(setup);
        let claims = setup.issuer.claims("shop", "web", now(), 10 * HOUR);
        let objects = Objects::of(&[&claims], now());
        let lab = setup.with_link("Kubernetes", objects.link.clone()).start().await;
        Self { lab, clock, objects, claims }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.objects.heard(self.lab.now());
    }

    /// The first certificate, by token.
    pub(crate) async fn first(&self) -> Issued {
        let key = PrivateKey::generate_p256().unwrap();
        let token = self.lab.setup.issuer.sign(&self.claims);
        let chain = self.lab.ask(&token, &csr_of(&key), 7200).await.expect("a token should do");
        Issued { chain, key }
    }

    pub(crate) async fn renew(&self, held: &Issued) -> Result<Issued, Status> {
        renew_over(&self.channel(held).await, 7200).await
    }

    pub(crate) async fn channel(&self, held: &Issued) -> Channel {
        let (_, own) = held.chain.split_last().unwrap();
        self.connect(&own.concat(), &held.key).await
    }

    pub(crate) async fn connect(&self, chain_pem: &str, key: &PrivateKey) -> Channel {
        self.try_connect(chain_pem, key).await.expect("whoever holds its key is served")
    }

    async fn try_connect(&self, chain_pem: &str, key: &PrivateKey) -> Result<Channel, tonic::transport::Error> {
        let key = pem::encode("PRIVATE KEY", &key.to_pkcs8());
        let tls = ClientTlsConfig::new()
            .ca_certificate(TlsRoot::from_pem(self.lab.published()))
            .identity(Identity::from_pem(chain_pem, key))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{}", self.lab.listen)).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await
    }

    pub(crate) async fn check(&self, held: &Issued, reason: &str) {
        let channel = self.channel(held).await;
        self.check_over(&channel, Code::Unauthenticated, reason).await;
    }

    pub(crate) async fn check_over(&self, channel: &Channel, code: Code, reason: &str) {
        let series = format!("signet_ca_refusals_total{{reason=\"{reason}\"}}");
        let before = self.lab.metric(&series).await;
        let status = renew_over(channel, 7200).await.map(|_| ()).expect_err(reason);
        assert_eq!((status.code(), self.lab.metric(&series).await), (code, before + 1), "{reason}");
    }
}

pub(crate) async fn renew_over(channel: &Channel, secs: i64) -> Result<Issued, Status> {
    let key = PrivateKey::generate_p256().unwrap();
    let mut client = IstioCertificateServiceClient::new(channel.clone());
    let answer = client.create_certificate(bare_request(&csr_of(&key), secs)).await?;
    Ok(Issued { chain: answer.into_inner().cert_chain, key })
}

#[tokio::test]
async fn a_certificate_renews_itself_and_says_since_when_its_holder_is_known() {
    let home = Home::start().await;
    let first = home.first().await;
    let began = home.lab.now().whole_secs();
    assert_eq!(first.leaf().key_used_from(), Some(began));
    home.advance(HOUR);
    let second = home.renew(&first).await.unwrap();
    assert_eq!(second.leaf().workload_id().unwrap().to_string(), WEB);
    assert_eq!(second.leaf().key_used_from(), Some(began), "renewal is no proof by token");
    home.advance(HOUR);
    let third = home.renew(&second).await.unwrap();
    assert_eq!(third.leaf().key_used_from(), Some(began));
    assert_eq!(third.leaf().lifetime().not_after(), began.plus(4 * HOUR), "two hours are left");
    let record = issued(&home.lab.setup.path("ledger")).pop().unwrap();
    assert_eq!(record["authenticator"], "client-certificate", "{record}");
    assert_eq!(record["token_id"], second.leaf().serial().to_string(), "the certificate that was shown: {record}");
    assert_eq!(record["cluster"], "Kubernetes", "{record}");
    home.lab.bundle().verify([&third.leaf()], home.lab.now()).unwrap();
}

#[tokio::test]
async fn however_often_it_is_renewed_a_token_is_needed_in_the_end() {
    let home = Home::start().await;
    let mut held = home.first().await;
    for _ in 0..7 {
        home.advance(HOUR / 2);
        held = home.renew(&held).await.unwrap();
    }
    home.advance(HOUR / 2 - 13 * MINUTE);
    held = home.renew(&held).await.unwrap();
    assert!(held.leaf().lifetime().remaining(home.lab.now()) <= 13 * MINUTE, "no certificate outlives the bound");
    home.advance(MINUTE);
    home.check(&held, "certificate_too_old").await;
    assert!(held.leaf().lifetime().contains(home.lab.now()), "a twentieth of the bound is left, and worth no renewal");
    home.advance(12 * MINUTE + Duration::from_secs(1));
    home.check(&held, "certificate_not_valid_now").await;
    let by_token = home.first().await;
    home.renew(&by_token).await.expect("a token begins a new life");
}

#[tokio::test]
async fn a_longer_certificate_by_token_does_not_stretch_the_bound() {
    let home = Home::start_with(|setup| setup.with("renewal.max_age", "'1h'").with("leaf.default_ttl", "'30m'")).await;
    let held = home.first().await;
    home.advance(HOUR + MINUTE);
    home.check(&held, "certificate_too_old").await;
}

#[tokio::test]
async fn its_end_cuts_a_renewal_also_where_longer_wishes_are_refused() {
    let home = Home::start_with(|setup| setup.with("leaf.over_max", "'refuse'").with("leaf.max_ttl", "'24h'")).await;
    let (held, began) = (home.first().await, home.lab.now());
    home.advance(HOUR);
    let renewed = renew_over(&home.channel(&held).await, 86_400).await.unwrap();
    assert_eq!(renewed.leaf().lifetime().not_after(), began.plus(4 * HOUR).whole_secs());
}

#[tokio::test]
async fn it_is_off_unless_it_is_listed() {
    let home = Home::start_with(|setup| setup.without("authenticators")).await;
    let held = home.first().await;
    assert_eq!(held.leaf().key_used_from(), None, "the leaf is exactly Istio's");
    home.check(&held, "token_missing").await;
}

#[tokio::test]
async fn a_token_is_looked_at_first_and_what_cannot_be_decided_is_not_left_to_a_certificate() {
    let home = Home::start().await;
    let held = home.first().await;
    let mut client = IstioCertificateServiceClient::new(home.channel(&held).await);
    let good = request(&home.lab.setup.issuer.sign(&home.claims), &csr_of(&held.key), 60);
    let answer = client.create_certificate(good).await.unwrap().into_inner();
    let leaf = crate::lab::certificates(&answer.cert_chain[0]).remove(0);
    assert!(leaf.lifetime().remaining(home.lab.now()) <= MINUTE);
    assert_eq!(issued(&home.lab.setup.path("ledger")).pop().unwrap()["authenticator"], "kubernetes-token");

    // A bad token is no reason to refuse a good certificate.
    let bad = request("x.y.z", &csr_of(&held.key), 60);
    client.create_certificate(bad).await.expect("the certificate stands for itself");

    // The key set is gone and the token names another key: nobody knows what it is worth.
    std::fs::remove_file(home.lab.setup.path("jwks.json")).unwrap();
    let unknown = request(&home.lab.setup.issuer.unknown_kid(&home.claims), &csr_of(&held.key), 60);
    assert_eq!(client.create_certificate(unknown).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn with_another_order_the_certificate_is_looked_at_first() {
    let home = Home::start_with(|setup| setup.with("authenticators", "['client-certificate', 'kubernetes']")).await;
    let held = home.first().await;
    let mut client = IstioCertificateServiceClient::new(home.channel(&held).await);
    let good = request(&home.lab.setup.issuer.sign(&home.claims), &csr_of(&held.key), 60);
    client.create_certificate(good).await.unwrap();
    assert_eq!(issued(&home.lab.setup.path("ledger")).pop().unwrap()["authenticator"], "client-certificate");
}

#[tokio::test]
async fn a_holder_that_is_gone_renews_nothing() {
    let home = Home::start().await;
    let held = home.first().await;
    let (pod, account) = (pod_of(&home.claims), account_of(&home.claims));
    let later = Some(home.lab.now().plus(HOUR));
    home.advance(HOUR);
    for gone in [
        PodObject { phase: PodPhase::Succeeded, ..pod.clone() },
        PodObject { service_account: "other".into(), ..pod.clone() },
        PodObject { created_at: later, ..pod.clone() },
        PodObject { created_at: None, ..pod.clone() },
        PodObject { deleted_at: Some(home.lab.now().minus(2 * MINUTE)), ..pod.clone() },
    ] {
        home.objects.writer.apply_pod(gone);
        home.check(&held, "certificate_holder_gone").await;
    }
    home.objects.writer.delete_pod("shop", "web-1");
    home.check(&held, "certificate_holder_gone").await;
    // A second pod that was there at the time may be the holder too.
    home.objects.writer.apply_pod(PodObject { name: "web-2".into(), ..pod });
    home.renew(&held).await.unwrap();
    for gone in [
        AccountObject { created_at: later, ..account.clone() },
        AccountObject { deleted_at: Some(home.lab.now().minus(2 * MINUTE)), ..account },
    ] {
        home.objects.writer.apply_account(gone);
        home.check(&held, "certificate_holder_gone").await;
    }
    home.objects.writer.delete_account("shop", "web");
    home.check(&held, "certificate_holder_gone").await;
}

#[tokio::test]
async fn what_is_not_known_of_a_holder_is_not_decided() {
    let home = Home::start_with(|setup| setup.with("tokens.stale_after", "'30m'")).await;
    let held = home.first().await;
    let channel = home.channel(&held).await;
    home.clock.advance(HOUR);
    home.check_over(&channel, Code::Unavailable, "objects_stale").await;
    home.objects.heard(home.lab.now());
    renew_over(&channel, 60).await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_judged_at_each_request_and_not_at_the_handshake() {
    let home = Home::start().await;
    let held = home.first().await;
    let channel = home.channel(&held).await;
    renew_over(&channel, 60).await.unwrap();
    home.advance(2 * HOUR + MINUTE);
    home.check_over(&channel, Code::Unauthenticated, "certificate_not_valid_now").await;
}

#[tokio::test]
async fn certificates_of_others_prove_nobody() {
    let home = Home::start().await;
    let hours = Lifetime::new(home.lab.now().minus(HOUR), home.lab.now().plus(HOUR)).unwrap();
    let stranger = TestCa::root("cluster.local");
    for (uri, reason) in [
        (WEB, "certificate_untrusted"),
        ("spiffe://elsewhere/ns/shop/sa/web", "certificate_trust_domain"),
        ("spiffe://cluster.local", "certificate_identity"),
    ] {
        let leaf = stranger.leaf(uri, hours).issue();
        let channel = home.connect(&leaf.certificate().to_pem(), &leaf.key()).await;
        home.check_over(&channel, Code::Unauthenticated, reason).await;
    }
    let two = stranger.leaf(WEB, hours).with(knobs::add_uri("spiffe://cluster.local/ns/shop/sa/orders")).issue();
    let channel = home.connect(&two.certificate().to_pem(), &two.key()).await;
    home.check_over(&channel, Code::Unauthenticated, "certificate_identity").await;
    let dns = stranger.leaf(WEB, hours).with(knobs::no_names).with(knobs::add_dns("web.shop.svc")).issue();
    let channel = home.connect(&dns.certificate().to_pem(), &dns.key()).await;
    home.check_over(&channel, Code::Unauthenticated, "certificate_identity").await;
    // Such a certificate takes nothing from a token either.
    let mut client = IstioCertificateServiceClient::new(channel);
    let token = home.lab.setup.issuer.sign(&home.claims);
    client.create_certificate(request(&token, &csr_of(&dns.key()), 60)).await.unwrap();
}

#[tokio::test]
async fn a_peer_cannot_make_its_connection_hold_more_than_a_few_certificates() {
    let home = Home::start().await;
    let hours = Lifetime::new(home.lab.now().minus(HOUR), home.lab.now().plus(HOUR)).unwrap();
    let stranger = TestCa::root("cluster.local");
    for (names, is_served) in [(40, true), (400, false)] {
        let mut leaf = stranger.leaf(WEB, hours);
        for number in 0..names {
            leaf = leaf.with(knobs::add_uri(&format!("spiffe://cluster.local/ns/shop/sa/{number:030}")));
        }
        let leaf = leaf.issue();
        let channel = home.try_connect(&leaf.certificate().to_pem(), &leaf.key()).await;
        let answer = match channel {
            Ok(channel) => renew_over(&channel, 60).await.map(drop).map_err(|status| status.code()),
            Err(_) => Err(Code::Unavailable),
        };
        assert_eq!(answer == Err(Code::Unauthenticated), is_served, "{names}: {answer:?}");
    }
}

#[tokio::test]
async fn a_certificate_from_before_it_was_switched_on_does_not_renew() {
    let home = Home::start_with(|setup| setup.without("authenticators")).await;
    let held = home.first().await;
    let Home { lab, clock, objects, claims } = home;
    let setup = lab.stop().await.with("authenticators", "['kubernetes', 'client-certificate']");
    let home = Home { lab: setup.start().await, clock, objects, claims };
    home.check(&held, "certificate_not_renewable").await;
}

#[tokio::test]
async fn a_namespace_that_nobody_vouches_for_any_more_is_not_renewed() {
    let home = Home::start().await;
    let held = home.first().await;
    let Home { lab, clock, objects, claims } = home;
    let setup = lab.stop().await.with("tokens.namespaces", "['bank']");
    let home = Home { lab: setup.start().await, clock, objects, claims };
    home.check(&held, "namespace_not_vouched_for").await;
}

#[tokio::test]
async fn a_rule_about_a_place_or_a_way_of_identifying_holds_for_certificates_too() {
    for rule in ["{ authenticators = ['client-certificate'], deny = true }", "{ nodes = ['node-7'], deny = true }"] {
        let home = Home::start_with(|setup| setup.with("rules", &format!("[{rule}]"))).await;
        let held = home.first().await;
        let channel = home.channel(&held).await;
        home.check_over(&channel, Code::PermissionDenied, "rule").await;
    }
    for way in ["kubernetes-token", "oidc"] {
        let rule = format!("[{{ authenticators = ['{way}'], max_ttl = '10m' }}]");
        let home = Home::start_with(|setup| setup.with("rules", &rule)).await;
        let renewed = home.renew(&home.first().await).await.unwrap();
        let left = renewed.leaf().lifetime().remaining(home.lab.now());
        assert!(left <= 10 * MINUTE, "a holder that may have come so gets no more by renewal: {left:?}");
    }
    let home = Home::start_with(|setup| setup.with("rules", "[{ clusters = ['west'], deny = true }]")).await;
    let held = home.first().await;
    home.renew(&held).await.expect("there is one cluster that it can be from, and that is not west");
}

#[tokio::test]
async fn what_a_node_proxy_holds_for_others_is_never_renewed_without_its_token() {
    let home = Home::start_with(|setup| setup.with("node_proxies", "['shop/web']")).await;
    let orders = home.lab.setup.issuer.claims("shop", "orders", now(), HOUR);
    home.objects.list(&[&home.claims, &orders], home.lab.now());
    let wanted = "spiffe://cluster.local/ns/shop/sa/orders";
    let key = PrivateKey::generate_p256().unwrap();
    let asked = impersonating(request(&home.lab.setup.issuer.sign(&home.claims), &csr_of(&key), 600), wanted);
    let chain = home.lab.send(asked).await.unwrap().into_inner().cert_chain;
    let held = Issued { chain, key };
    assert_eq!(held.leaf().workload_id().unwrap().to_string(), wanted);
    home.check(&held, "certificate_not_renewable").await;
    // Nor does a proxy's own certificate make it a proxy: it is bound to no pod.
    let own = home.first().await;
    let mut client = IstioCertificateServiceClient::new(home.channel(&own).await);
    let asked = impersonating(bare_request(&csr_of(&own.key), 600), wanted);
    let status = client.create_certificate(asked).await.unwrap_err();
    assert_eq!(status.message(), "request impersonation authentication failure");
}

#[tokio::test]
async fn no_session_is_resumed_where_certificates_are_presented() {
    let home = Home::start().await;
    let held = home.first().await;
    for held in [None, Some(&held)] {
        let second = second_handshake(home.lab.listen, &home.lab.published(), held).await;
        assert_eq!(second, HandshakeKind::Full);
    }
    let lab = Lab::start().await;
    let second = second_handshake(lab.listen, &lab.published(), None).await;
    assert_eq!(second, HandshakeKind::Resumed, "where they are not, it would be");
}

#[tokio::test]
async fn roots_that_are_tainted_or_gone_prove_nobody() {
    let home = Home::start_with(|setup| setup.with("authority.rotation.min_wait", "'1s'")).await;
    let held = home.first().await;
    let channel = home.channel(&held).await;
    let run = async |words: &[&str]| {
        let output = operator(&home.lab, words).await;
        assert!(output.status.success(), "{words:?}: {output:?}");
    };
    run(&["prepare"]).await;
    run(&["activate", "2", "--force"]).await;
    let second = renew_over(&channel, 7200).await.expect("an old root that is published still proves");
    run(&["taint", "1"]).await;
    eventually("the taint is in force", async || renew_over(&channel, 60).await.is_err()).await;
    home.check_over(&channel, Code::Unauthenticated, "certificate_distrusted").await;
    home.renew(&second).await.expect("what the new authority signed goes on");
    run(&["revoke", "1"]).await;
    home.check_over(&channel, Code::Unauthenticated, "certificate_distrusted").await;
    home.renew(&second).await.unwrap();
}
