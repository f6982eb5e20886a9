//! Names on the metrics page, to the letter.

use super::*;
use signet_identity::Lifetime;
use signet_testkit::TestCa;

fn scrape(metrics: &Metrics, clock: &Clock) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &metrics.registry(clock)).unwrap();
    text
}

#[test]
fn istios_names_are_exposed_to_the_letter() {
    let metrics = Metrics::new();
    let clock = Clock::manual(1_700_000_000_000);
    metrics.outgoing_request(Duration::from_millis(30), false);
    metrics.outgoing_retry();
    metrics.rejected(["default"]);
    metrics.stale_nonce();
    metrics.stream_failed();
    metrics.started_up(Duration::from_millis(40));
    let ca = TestCa::root("cluster.local");
    let (begin, end) = (Timestamp::from_unix_secs(1_699_999_000), Timestamp::from_unix_secs(1_700_000_060));
    let svid = ca.leaf("spiffe://cluster.local/ns/a/sa/b", Lifetime::new(begin, end).unwrap()).issue().svid();
    metrics.published(&svid, &ca.bundle());

    let text = scrape(&metrics, &clock);
    for line in [
        "istio_agent_outgoing_latency{request_type=\"csr\"} 30",
        "istio_agent_num_outgoing_requests{request_type=\"csr\"} 1",
        "istio_agent_num_failed_outgoing_requests{request_type=\"csr\"} 1",
        "istio_agent_num_outgoing_retries{request_type=\"csr\"} 1",
        "istio_agent_cert_expiry_seconds{resource_name=\"default\"} 60",
        "istio_agent_startup_duration_seconds 0.04",
        "istio_agent_pilot_total_xds_rejects 1",
        "istio_agent_pilot_total_xds_internal_errors 1",
        "istio_agent_pilot_xds_expired_nonce{type=\"SDS\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "`{line}` is missing from\n{text}");
    }
    clock.advance(Duration::from_secs(90));
    assert!(scrape(&metrics, &clock).contains("istio_agent_cert_expiry_seconds{resource_name=\"default\"} -30"));
}

#[test]
fn signets_own_counters_keep_the_standard_suffix() {
    let metrics = Metrics::new();
    metrics.renewal_failed("token_expired");
    metrics.pushed("default", "rotation");
    metrics.standing(Standing::Overdue);
    let guard = metrics.stream("sotw");
    let clock = Clock::manual(0);
    let text = scrape(&metrics, &clock);
    for line in [
        "signet_agent_renewal_attempts_total{result=\"failure\",code=\"token_expired\"} 1",
        "signet_agent_sds_pushes_total{resource=\"default\",reason=\"rotation\"} 1",
        "signet_agent_renewal_state{state=\"overdue\"} 1",
        "signet_agent_renewal_state{state=\"current\"} 0",
        "signet_agent_sds_streams{kind=\"sotw\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "`{line}` is missing from\n{text}");
    }
    drop(guard);
    assert!(scrape(&metrics, &clock).contains("signet_agent_sds_streams{kind=\"sotw\"} 0"));
}

#[test]
fn every_name_is_there_before_anything_happened() {
    let text = scrape(&Metrics::new(), &Clock::manual(0));
    for name in [
        "istio_agent_outgoing_latency",
        "istio_agent_num_outgoing_requests",
        "istio_agent_num_failed_outgoing_requests",
        "istio_agent_num_outgoing_retries",
        "istio_agent_startup_duration_seconds",
        "istio_agent_pilot_total_xds_rejects",
        "istio_agent_pilot_xds_expired_nonce",
        "signet_agent_renewal_attempts_total",
        "signet_agent_sds_nacks_total{resource=\"ROOTCA\"}",
        "signet_agent_sds_pushes_total{resource=\"default\",reason=\"restored\"}",
        "signet_agent_peer_denied_total{reason=\"uid\"}",
        "signet_agent_file_writes_total{result=\"failure\"}",
        "signet_agent_sds_streams{kind=\"delta\"}",
    ] {
        let line = text.lines().find(|line| line.starts_with(name));
        assert!(line.is_some_and(|line| line.ends_with(" 0") || line.ends_with(" 0.0")), "{name}: {line:?}");
    }
}
