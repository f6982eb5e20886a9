//! A pod's directories, and an agent that runs in them, in this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sds_agent::app::Agent;
use sds_agent::config::{self, Config};
use signet_identity::Timestamp;
use signet_runtime::{Clock, Layers, Shutdown, ShutdownTrigger};
use signet_testkit::{TempDir, TokenIssuer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{FakeCa, Sds, eventually};

/// What the kubelet prepares: a token and the CA's root.
pub(crate) struct Pod {
    pub(crate) dir: TempDir,
    pub(crate) issuer: TokenIssuer,
}

impl Pod {
    pub(crate) fn new(ca: &FakeCa) -> Self {
        let pod = Self { dir: signet_testkit::temp_dir(), issuer: TokenIssuer::es256() };
        for path in [pod.token_file(), pod.root_file()] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        pod.write_token(&pod.token(Duration::from_secs(3600)));
        fs::write(pod.root_file(), ca.tls_root_pem()).unwrap();
        pod
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.path("var/run/secrets/tokens/istio-token")
    }

    pub(crate) fn root_file(&self) -> PathBuf {
        self.path("var/run/secrets/istio/root-cert.pem")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("var/run/secrets/workload-spiffe-uds/socket")
    }

    pub(crate) fn output_dir(&self) -> PathBuf {
        self.path("certs")
    }

    /// A token of `shop/web` with `life` before it, or behind it when it is over.
    pub(crate) fn token(&self, life: Duration) -> String {
        self.issuer.token("shop", "web", now(), life)
    }

    pub(crate) fn write_token(&self, token: &str) {
        fs::write(self.token_file(), token).unwrap();
    }

    /// Settings for this pod; `settings` are keys and values.
    pub(crate) fn config(&self, ca: &FakeCa, settings: &[(&str, &str)]) -> Config {
        let mut layers = Layers::new();
        let mut set = |key: &str, value: String| layers.flag(key, key, Some(value));
        set("root_dir", self.dir.path().display().to_string());
        set("ca.address", format!("localhost:{}", ca.address.port()));
        set("admin.listen", "127.0.0.1:0".to_owned());
        settings.iter().for_each(|(key, value)| set(key, (*value).to_owned()));
        config::load(layers, &[]).unwrap().0
    }
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now().into()
}

/// An agent, stopped by [`RunningAgent::stop`].
pub(crate) struct RunningAgent {
    agent: Agent,
    trigger: ShutdownTrigger,
    socket: PathBuf,
}

impl RunningAgent {
    pub(crate) async fn start(pod: &Pod, ca: &FakeCa, settings: &[(&str, &str)]) -> Self {
        let (trigger, shutdown) = Shutdown::new();
        let agent = Agent::start(&pod.config(ca, settings), Clock::system(), shutdown).await.unwrap();
        Self { agent, trigger, socket: pod.socket() }
    }

    /// A client on a connection of its own.
    pub(crate) async fn sds(&self) -> Sds {
        Sds::connect(&self.socket).await
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.agent.admin_address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The value of the first metric line that begins with `start`, 0 when there is none.
    pub(crate) async fn metric(&self, start: &str) -> f64 {
        let metrics = self.get("/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with(start));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// Waits until a metric line that begins with `start` stands at `at_least`.
    pub(crate) async fn reaches(&self, start: &str, at_least: f64) {
        eventually(&format!("{start} reaches {at_least}"), || async { self.metric(start).await >= at_least }).await;
    }

    pub(crate) async fn ready(&self) -> bool {
        self.get("/healthz/ready").await.starts_with("HTTP/1.1 200")
    }

    pub(crate) async fn stop(self) {
        self.trigger.trigger();
        self.agent.stop().await.unwrap();
    }
}

/// Writes `content` as the kubelet would: into a new directory, to which a link is then switched by rename.
pub(crate) fn swap_volume(volume: &Path, file: &str, content: &str, generation: u32) {
    let data = format!("..data-{generation}");
    fs::create_dir_all(volume.join(&data)).unwrap();
    fs::write(volume.join(&data).join(file), content).unwrap();
    std::os::unix::fs::symlink(&data, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if !volume.join(file).is_symlink() {
        let _ = fs::remove_file(volume.join(file));
        std::os::unix::fs::symlink(Path::new("..data").join(file), volume.join(file)).unwrap();
    }
}
