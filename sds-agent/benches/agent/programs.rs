//! The programs that are measured, as processes: a CA, agents, bare servers.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use signet_runtime::Clock;
use signet_testkit::{TempDir, TokenIssuer};
use tokio::time::sleep;

use crate::{Fallible, bare, streams};

/// Longest wait for a program to serve.
const START_MAX: Duration = Duration::from_secs(10);

/// Time between two looks at whether a program serves.
const POLL: Duration = Duration::from_micros(200);

/// A warm CA and a pod's directories.
pub(crate) struct Bench {
    dir: TempDir,
    ca_port: u16,
    _ca: Running,
}

/// A process that is killed when dropped.
pub(crate) struct Running {
    child: Child,
    socket: PathBuf,
}

impl Bench {
    /// Starts the CA and waits until it has given one identity.
    pub(crate) async fn prepare() -> Fallible<Self> {
        let dir = signet_testkit::temp_dir();
        let inside = |path: &str| dir.path().join(path);
        let issuer = TokenIssuer::rs256();
        fs::write(inside("jwks.json"), issuer.jwks_json())?;
        fs::create_dir_all(inside("pod/var/run/secrets/tokens"))?;
        fs::create_dir_all(inside("pod/var/run/secrets/istio"))?;
        let token = issuer.token("shop", "web", Clock::system().now().into(), Duration::from_secs(3600));
        fs::write(inside("pod/var/run/secrets/tokens/istio-token"), token)?;

        let ca_port = free_port()?;
        let mut ca = Command::new(ca_program()?);
        ca.args(["run", "--admin.listen", "127.0.0.1:0", "--log.level", "error", "--tokens.issuer", issuer.issuer()]);
        ca.arg("--listen").arg(format!("127.0.0.1:{ca_port}"));
        ca.arg("--tokens.jwks_file").arg(inside("jwks.json")).arg("--authority.state_dir").arg(inside("ca"));
        // All agents that are started here show one token, and so are one holder.
        ca.args(["--admission.holder_burst", "0"]);
        let ca = Running::spawn(&mut ca, PathBuf::new())?;
        let root = inside("ca/root-cert.pem");
        let begun = Instant::now();
        while !root.exists() {
            check_time(begun, "the CA made no root")?;
            sleep(POLL).await;
        }
        fs::copy(root, inside("pod/var/run/secrets/istio/root-cert.pem"))?;
        let bench = Self { dir, ca_port, _ca: ca };
        bench.start_agent().await?.0.stop()?;
        Ok(bench)
    }

    /// Starts an agent: how long from before exec until a stream had its first secret.
    pub(crate) async fn start_agent(&self) -> Fallible<(Running, Duration)> {
        let root = self.dir.path().join("pod");
        let socket = root.join("var/run/secrets/workload-spiffe-uds/socket");
        let mut agent = Command::new(env!("CARGO_BIN_EXE_sds-agent"));
        agent.args(["run", "--admin.listen", "127.0.0.1:0", "--log.level", "error"]);
        agent.arg("--ca.address").arg(format!("localhost:{}", self.ca_port)).arg("--root_dir").arg(root);
        let begun = Instant::now();
        let running = Running::spawn(&mut agent, socket)?;
        let channel = running.serves(begun).await?;
        streams::open_one(channel, 0).await?;
        Ok((running, begun.elapsed()))
    }

    /// Starts a bare server.
    pub(crate) async fn start_bare(&self) -> Fallible<Running> {
        let socket = self.dir.path().join("bare.sock");
        let _ = fs::remove_file(&socket);
        let mut server = Command::new(std::env::current_exe()?);
        server.arg(bare::MODE).arg(&socket);
        let running = Running::spawn(&mut server, socket)?;
        streams::open_one(running.serves(Instant::now()).await?, 0).await?;
        Ok(running)
    }
}

impl Running {
    fn spawn(command: &mut Command, socket: PathBuf) -> Fallible<Self> {
        Ok(Self { child: command.env_clear().stdin(Stdio::null()).spawn()?, socket })
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    async fn serves(&self, begun: Instant) -> Fallible<tonic::transport::Channel> {
        loop {
            if let Ok(channel) = streams::connect(&self.socket).await {
                return Ok(channel);
            }
            check_time(begun, "the program does not serve")?;
            sleep(POLL).await;
        }
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> Fallible<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }

    /// Ends it and waits until it is gone.
    pub(crate) fn stop(mut self) -> Fallible<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended when it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ca_program() -> Fallible<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_sds-agent")).with_file_name("signet-ca");
    if program.exists() {
        return Ok(program);
    }
    Err("no release build of signet-ca, make one with `cargo build --release -p signet-ca`".into())
}

fn check_time(begun: Instant, told: &str) -> Fallible<()> {
    if begun.elapsed() > START_MAX { Err(told.into()) } else { Ok(()) }
}

fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
