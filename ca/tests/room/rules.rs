//! The operator's rules: whom each is about, what it takes away, and that none gives more.

use signet_identity::PrivateKey;
use tonic::Code;

use crate::lab::{HOUR, Lab, Setup, certificates, csr_of, now};

const MINUTE_SECS: i64 = 60;

async fn start(rules: &str) -> Lab {
    let setup = Setup::new().with("rules", rules);
    setup.start().await
}

/// What an ask for a day is granted, in whole minutes from now.
async fn minutes(lab: &Lab, namespace: &str, account: &str) -> Result<i64, Code> {
    minutes_with(lab, namespace, account, &PrivateKey::generate_p256().unwrap()).await
}

async fn minutes_with(lab: &Lab, namespace: &str, account: &str, key: &PrivateKey) -> Result<i64, Code> {
    let token = lab.setup.issuer.token(namespace, account, now(), HOUR);
    let chain = lab.ask(&token, &csr_of(key), 86_400).await.map_err(|status| status.code())?;
    let end = certificates(&chain[0]).remove(0).lifetime().not_after();
    // A certificate counts whole seconds.
    Ok((end.unix_secs() - lab.now().unix_secs() + 30) / MINUTE_SECS)
}

#[tokio::test]
async fn every_rule_that_is_about_a_request_holds_whatever_their_order() {
    let (long, short) =
        ("{ namespaces = ['team-*'], max_ttl = '1h' }", "{ service_accounts = ['web'], max_ttl = '10m' }");
    for rules in [format!("[{long}, {short}]"), format!("[{short}, {long}]")] {
        let lab = start(&rules).await;
        assert_eq!(minutes(&lab, "team-a", "web").await, Ok(10));
        assert_eq!(minutes(&lab, "team-a", "orders").await, Ok(60));
        assert_eq!(minutes(&lab, "shop", "orders").await, Ok(1440));
    }
}

#[tokio::test]
async fn a_rule_gives_no_more_than_the_maximum() {
    let setup = Setup::new().with("leaf.max_ttl", "'30m'").with("rules", "[{ max_ttl = '10h' }]");
    assert_eq!(minutes(&setup.start().await, "shop", "web").await, Ok(30));
}

#[tokio::test]
async fn what_is_denied_is_told_as_such_and_counted() {
    let lab = start("[{ except_namespaces = ['shop'], deny = true }]").await;
    assert_eq!(minutes(&lab, "shop", "web").await, Ok(1440));
    assert_eq!(minutes(&lab, "bank", "web").await, Err(Code::PermissionDenied));
    assert_eq!(lab.metric("signet_ca_refusals_total{reason=\"rule\"}").await, 1);
}

#[tokio::test]
async fn clusters_nodes_and_kinds_of_keys_are_conditions_too() {
    let lab =
        start("[{ nodes = ['node-1'], clusters = ['Kube*'], max_ttl = '10m' }, { keys = ['P-384'], deny = true }]")
            .await;
    assert_eq!(minutes(&lab, "shop", "web").await, Ok(10));
    let lab = start("[{ nodes = ['node-2'], deny = true }, { clusters = ['west'], deny = true }]").await;
    assert_eq!(minutes(&lab, "shop", "web").await, Ok(1440));
    let lab = start("[{ keys = ['RSA'], deny = true }]").await;
    assert_eq!(minutes(&lab, "shop", "web").await, Ok(1440));
    let rsa = signet_testkit::keys::rsa_2048();
    assert_eq!(minutes_with(&lab, "shop", "web", &rsa).await, Err(Code::PermissionDenied));
}

#[test]
fn a_rule_that_takes_nothing_away_or_is_misspelt_is_told_with_its_line() {
    let setup = Setup::new()
        .with("rules", "[{ namespaces = ['shop'] }, { deny = true, max_ttl = '1h' }, { dney = true, max_ttl = '1h' }]");
    let told: Vec<_> = setup.config().unwrap_err().problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("`rules[0]` (") && told[0].ends_with("must say either `deny = true` or a `max_ttl`"));
    assert!(told[1].starts_with("`rules[1]` (") && told[1].ends_with("must say either `deny = true` or a `max_ttl`"));
    assert!(told[2].starts_with("`rules[2].dney` (") && told[2].contains("unknown key, did you mean"), "{told:#?}");
}
