//! Metrics, under the names that dashboards know.

use crate::lab::{Lab, Setup, any_csr};

#[tokio::test]
async fn istios_names_are_exposed_as_istio_writes_them() {
    let lab = Lab::start().await;
    lab.issue().await;
    lab.ask("bad", &any_csr(), 60).await.unwrap_err();
    lab.ask(&lab.token(), "bad", 60).await.unwrap_err();
    assert_eq!(lab.metric("citadel_server_csr_count").await, 3);
    assert_eq!(lab.metric("citadel_server_authentication_failure_count").await, 1);
    assert_eq!(lab.metric("citadel_server_success_cert_issuance_count").await, 1);
    assert_eq!(lab.metric("citadel_server_csr_sign_err_count{error=\"CSR_ERROR\"}").await, 1);
    let left = lab.metric("citadel_server_root_cert_expiry_seconds").await;
    let end = lab.metric("citadel_server_root_cert_expiry_timestamp").await;
    assert!((end - lab.now().unix_secs() - left).abs() <= 2, "{end} {left}");

    let text = lab.get("/metrics").await.1;
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE citadel_")).collect();
    assert_eq!(
        names,
        [
            "server_csr_count unknown",
            "server_authentication_failure_count unknown",
            "server_success_cert_issuance_count unknown",
            "server_csr_sign_err_count unknown",
            "server_csr_parsing_err_count unknown",
            "server_id_extraction_err_count unknown",
            "server_root_cert_expiry_timestamp gauge",
            "server_root_cert_expiry_seconds gauge",
        ]
    );
    assert!(!text.contains("_count_total"), "{text}");
}

#[tokio::test]
async fn calls_are_counted_as_grpc_servers_count_them() {
    let lab = Lab::start().await;
    lab.issue().await;
    lab.ask("bad", &any_csr(), 60).await.unwrap_err();
    let method = "grpc_type=\"unary\",grpc_service=\"istio.v1.auth.IstioCertificateService\",\
                  grpc_method=\"CreateCertificate\"";
    assert_eq!(lab.metric(&format!("grpc_server_started_total{{{method}}}")).await, 2);
    assert_eq!(lab.metric(&format!("grpc_server_handled_total{{{method},grpc_code=\"OK\"}}")).await, 1);
    assert_eq!(lab.metric(&format!("grpc_server_handled_total{{{method},grpc_code=\"Unauthenticated\"}}")).await, 1);
    assert_eq!(lab.metric(&format!("grpc_server_handling_seconds_count{{{method}}}")).await, 2);
}

#[tokio::test]
async fn stages_of_issuing_are_measured() {
    let lab = Lab::start().await;
    lab.issue().await;
    for stage in ["authenticate", "csr", "sign"] {
        assert_eq!(lab.metric(&format!("signet_ca_stage_seconds_count{{stage=\"{stage}\"}}")).await, 1);
    }
}

#[tokio::test]
async fn lost_log_lines_are_counted_from_the_start() {
    let text = Lab::start().await.get("/metrics").await.1;
    assert!(text.contains("# TYPE signet_ca_log_lines_lost counter\n"), "{text}");
    assert!(text.contains("signet_ca_log_lines_lost_total 0\n"), "{text}");
}

#[tokio::test]
async fn a_lifetime_that_is_cut_is_counted() {
    let lab = Setup::new().with("leaf.max_ttl", "'1h'").start().await;
    for (asked, count) in [(0, 0), (60, 0), (3_600, 0), (3_700, 1), (i64::MAX, 2)] {
        lab.ask(&lab.token(), &any_csr(), asked).await.unwrap();
        assert_eq!(lab.metric("signet_ca_lifetimes_cut_total").await, count, "{asked}");
    }
}
