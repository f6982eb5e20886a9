//! Files for programs that do not speak SDS: complete, private, never torn.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signet_identity::{Certificate, PrivateKey, Svid, TrustBundle};

use crate::support::{FakeCa, Pod, RunningAgent, eventually, identity};

/// Reads the set behind the link as a careful program does: resolves the link once.
fn read(dir: &Path) -> Option<(Svid, TrustBundle)> {
    let set = fs::canonicalize(dir.join("..data")).ok()?;
    let read = |name: &str| fs::read(set.join(name)).unwrap();
    let key = PrivateKey::from_pem(&read("key.pem")).unwrap();
    let chain = Certificate::list_from_pem(&read("cert-chain.pem"), 1 << 20).unwrap();
    let roots = TrustBundle::from_pem("cluster.local".parse().unwrap(), &read("root-cert.pem")).unwrap();
    Some((Svid::new(chain, key).unwrap(), roots))
}

#[tokio::test]
async fn files_hold_what_the_socket_serves() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let out = pod.output_dir();
    let agent = RunningAgent::start(&pod, &ca, &[("files.output_dir", out.to_str().unwrap())]).await;
    eventually("files are written", || async { out.join("root-cert.pem").exists() && agent.ready().await }).await;
    let (svid, bundle) = read(&out).unwrap();
    let served = agent.sds().await.fetch(&["default"]).await.unwrap();
    assert_eq!(identity(&served.resources).leaf(), svid.leaf());
    assert!(bundle.verify(svid.chain(), svid.lifetime().not_before()).is_ok());
    for name in ["key.pem", "cert-chain.pem", "root-cert.pem"] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    agent.stop().await;
    assert!(read(&out).is_some(), "files outlive the agent");
}

#[tokio::test]
async fn a_reader_in_a_tight_loop_never_sees_a_key_beside_another_ones_certificate() {
    let ca = FakeCa::start().await;
    ca.grants(Duration::from_secs(2));
    let pod = Pod::new(&ca);
    let out = pod.output_dir();
    let agent = RunningAgent::start(&pod, &ca, &[("files.output_dir", out.to_str().unwrap())]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (out, stop) = (out.clone(), stop.clone());
        move || {
            let mut serials = std::collections::BTreeSet::new();
            while !stop.load(Ordering::SeqCst) {
                if let Some((svid, _)) = read(&out) {
                    serials.insert(svid.leaf().serial().to_string());
                }
            }
            serials.len()
        }
    });
    agent.reaches("signet_agent_file_writes_total{result=\"success\"}", 4.0).await;
    stop.store(true, Ordering::SeqCst);
    assert!(reader.join().unwrap() >= 3, "the reader saw several sets, all whole");
    agent.stop().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_told_and_tried_again_while_the_socket_serves_on() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let out = pod.output_dir();
    fs::write(&out, "in the way").unwrap();
    let agent = RunningAgent::start(&pod, &ca, &[("files.output_dir", out.to_str().unwrap())]).await;
    agent.reaches("signet_agent_file_writes_total{result=\"failure\"}", 1.0).await;
    let told = agent.get("/healthz/ready").await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("files: "), "{told}");
    agent.sds().await.fetch(&["default"]).await.unwrap();
    fs::remove_file(&out).unwrap();
    eventually("files are written", || async { agent.ready().await }).await;
    assert!(read(&out).is_some());
    agent.stop().await;
}
