//! Renewal without a token, between a real CA and a real agent.

#![cfg(test)]

use std::time::Duration;

use signet_identity::Certificate;
use signet_tests::mesh::{Ca, Workload};
use signet_tests::{Workdir, eventually};

const SOON: Duration = Duration::from_secs(30);

fn serial(workload: &Workload) -> String {
    let text = std::fs::read(workload.certs().join("cert-chain.pem")).unwrap();
    Certificate::list_from_pem(&text, 1 << 20).unwrap()[0].serial().to_string()
}

/// A workload with an identity of seconds, whose token is then lost.
fn without_a_token(lines: &str) -> (Ca, Workload, Workdir) {
    let workdir = Workdir::new();
    let mut ca = Ca::self_signed(&workdir);
    ca.configure(lines, "");
    ca.start_ready();
    let mut web = Workload::new(&workdir, &ca, "shop", "web", Duration::from_secs(8));
    web.trust(&ca.roots());
    web.start_ready();
    web.lose_token();
    (ca, web, workdir)
}

#[test]
fn a_workload_that_lost_its_token_lives_on_by_its_certificate_where_the_ca_allows_it() {
    let (mut ca, web, _workdir) = without_a_token("authenticators = ['kubernetes', 'client-certificate']\n");
    let mut serials = vec![serial(&web)];
    while serials.len() < 4 {
        let last = serials.last().cloned();
        serials.push(eventually(SOON, "the next identity", || {
            Some(serial(&web)).filter(|serial| Some(serial) != last.as_ref()).ok_or_else(|| "the same".to_owned())
        }));
    }
    let page = web.readiness().unwrap();
    assert_eq!(page.status, 200);
    assert!(page.body.contains("renewed with the certificate held"), "{}", page.body);
    // The watch on roots is opened anew without a token, too.
    ca.kill();
    ca.start_ready();
    eventually(SOON, "the new process is watched", || {
        let metrics = ca.metrics();
        if metrics.contains("signet_ca_trust_bundle_watchers 1") { Ok(()) } else { Err(metrics) }
    });
}

#[test]
fn where_the_ca_does_not_allow_it_the_missing_token_is_told_and_the_identity_served_to_its_end() {
    let (_ca, web, _workdir) = without_a_token("");
    let before = serial(&web);
    eventually(SOON, "the identity ends", || {
        let page = web.readiness().map_err(|error| error.to_string())?;
        if page.status == 503 && page.body.contains("does not exist") { Ok(()) } else { Err(page.body) }
    });
    assert_eq!(serial(&web), before);
}
