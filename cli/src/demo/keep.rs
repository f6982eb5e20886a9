//! Leaving the scene up for a look around.

use super::error::DemoError;
use super::stage::Stage;
use crate::output;

/// Prints commands that can be pasted into another terminal.
pub(crate) fn show(stage: &Stage) {
    let web = &stage.web;
    let certs = web.dir.join("certs");
    let (certs, port) = (certs.display(), stage.orders.port);
    let signet = stage.signet.display();
    output::data("");
    output::data("Everything is still running. Look around from another terminal:");
    output::data(&format!(
        "  # what the agent of shop/web serves\n  {signet} secrets --socket {}",
        web.socket().display()
    ));
    output::data(&format!(
        "  # its certificate, and whether OpenSSL trusts it\n  openssl x509 -in {certs}/cert-chain.pem -noout -text\n  openssl verify -CAfile {certs}/root-cert.pem {certs}/cert-chain.pem"
    ));
    output::data(&format!(
        "  # talk to shop/orders as shop/web, without Envoy\n  openssl s_client -connect 127.0.0.1:{port} -CAfile {certs}/root-cert.pem -cert {certs}/cert-chain.pem -key {certs}/key.pem -brief </dev/null"
    ));
    output::data(&format!("  # through both Envoys\n  curl -i http://{}/orders/7", web.address()));
    output::data(&format!(
        "  # what Envoy holds\n  curl -s --unix-socket {} http://envoy/certs",
        web.admin.socket().display()
    ));
    output::data(&format!(
        "  # metrics and readiness of the CA\n  curl -s http://{0}/metrics; curl -s http://{0}/healthz/ready",
        stage.ca_admin
    ));
    output::data(&format!("  # logs and configuration\n  ls {}", stage.root().display()));
    output::data("Ctrl-C ends it.");
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn wait() -> Result<(), DemoError> {
    signet_runtime::shutdown::stop_signal().map_err(DemoError::io("wait for a signal"))?.await;
    Ok(())
}
