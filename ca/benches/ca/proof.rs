//! Local proof of tokens against TokenReview by a stand-in that takes five milliseconds, on the same load.

use std::error::Error;
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use signet_kube_standin::{ApiServer, Effect, Options, namespace, node, pod, service_account};
use signet_proto::istio_ca::IstioCertificateRequest;
use tokio::sync::oneshot;

use crate::grpc::{self, Load, Measured};
use crate::material::Material;

/// How long a review takes.
pub(crate) const REVIEW: Duration = Duration::from_millis(5);

pub(crate) const LOAD: Load = Load { in_flight: 64, connections: 8 };

/// Callers: each a pod that the cluster knows.
const PODS: usize = 64;

const MODES: [&str; 2] = ["local", "review"];

/// Local proof first.
pub(crate) fn measure(material: &Material) -> Result<[Measured; 2], Box<dyn Error>> {
    let cluster = Cluster::start()?;
    let mut measured = Vec::new();
    for mode in MODES {
        let dir = material.dir(&format!("proof-{mode}"))?;
        let (ca, token) = (dir.join("api-ca.crt"), dir.join("api-token"));
        fs::write(&ca, &cluster.ca_pem)?;
        fs::write(&token, &cluster.api_token)?;
        let settings = [
            ("kubernetes.server", cluster.url.clone()),
            ("kubernetes.ca_file", ca.to_string_lossy().into_owned()),
            ("kubernetes.token_file", token.to_string_lossy().into_owned()),
            ("tokens.mode", mode.to_owned()),
            // Nobody waits for reviews that a bound of the bench's own holds back.
            ("tokens.reviews_per_second", "100000".to_owned()),
        ];
        let server = grpc::serve(material, &format!("proof-{mode}"), &settings)?;
        thread::sleep(Duration::from_secs(2));
        let requests: Vec<(String, IstioCertificateRequest)> = cluster
            .tokens
            .iter()
            .zip(&material.callers)
            .map(|(token, caller)| {
                let csr = caller.csr_pem.clone();
                let message = IstioCertificateRequest { csr, validity_duration: 86_400, metadata: None };
                (format!("Bearer {token}"), message)
            })
            .collect();
        measured.push(grpc::measure(material, &server, &requests, LOAD)?);
    }
    measured.try_into().map_err(|_| "there should be two measurements".into())
}

/// A stand-in for an API server on a thread of its own, until it is dropped.
struct Cluster {
    url: String,
    ca_pem: String,
    api_token: String,
    tokens: Vec<String>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Cluster {
    fn start() -> Result<Self, Box<dyn Error>> {
        let (told, tell) = mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("api".to_owned()).spawn(move || {
            runtime.block_on(async {
                let server = ApiServer::start(Options::default()).await;
                let _ = told.send(furnish(&server));
                // Whichever way its owner goes.
                let _ = ended.await;
            });
        })?;
        let (url, ca_pem, api_token, tokens) = tell.recv()?;
        Ok(Self { url, ca_pem, api_token, tokens, end: Some(end), thread: Some(thread) })
    }
}

fn furnish(server: &ApiServer) -> (String, String, String, Vec<String>) {
    let objects = server.objects();
    for name in ["istio-system", "shop"] {
        objects.create(&namespace(name));
    }
    objects.create(&node("node-1"));
    objects.apply_yaml(include_str!("../../../deploy/kubernetes/rbac.yaml"));
    let tokens = (0..PODS).map(|number| {
        let (account, name) = (format!("web-{number}"), format!("web-{number}-1"));
        objects.create(&service_account("shop", &account));
        objects.create(&pod("shop", &name, &account, "node-1"));
        server.token("shop", &account, Some(&name), "istio-ca", 12 * 3600)
    });
    let tokens = tokens.collect();
    server.faults().always(Effect::Slow(REVIEW), |seen| seen.path.ends_with("/tokenreviews"));
    let api_token = server.api_token("istio-system", "signet-ca");
    (server.url(), server.ca_pem().to_owned(), api_token, tokens)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
