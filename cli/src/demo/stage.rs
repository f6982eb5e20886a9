//! Everything the demo needs, on disk and running: an issuer, a CA, three workloads each with an agent and an Envoy.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use signet_identity::Timestamp;
use signet_runtime::{Clock, files};
use tempfile::TempDir;

use super::admin::Admin;
use super::bootstrap::{self, ADMIN_SOCKET, Identity, Protocol};
use super::error::DemoError;
use super::issuer::{AUDIENCE, ISSUER, Issuer};
use super::process::{Process, Program};
use super::programs::Programs;

/// The demo's trust domain.
pub(crate) const TRUST_DOMAIN: &str = "cluster.local";

/// The name by which agents know the CA's server.
pub(crate) const CA_NAME: &str = "istiod.istio-system.svc";

/// How long an identity lives: short, so that minutes of an ordinary mesh fit into seconds.
pub(crate) const IDENTITY_TTL: Duration = Duration::from_secs(10);

/// How long a projected token lives.
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// How long programs may take to stop by themselves.
const STOP_MAX: Duration = Duration::from_secs(3);

/// One workload: a service account with its agent and its Envoy.
pub(crate) struct Workload {
    pub(crate) namespace: &'static str,
    pub(crate) account: &'static str,
    pub(crate) dir: PathBuf,
    /// Where its Envoy listens.
    pub(crate) port: u16,
    pub(crate) admin: Admin,
    agent_program: Program,
    envoy_program: Program,
    pub(crate) agent: Option<Process>,
    pub(crate) envoy: Option<Process>,
}

/// The whole scene.
pub(crate) struct Stage {
    dir: TempDir,
    pub(crate) issuer: Issuer,
    pub(crate) clock: Clock,
    pub(crate) ca_address: SocketAddr,
    pub(crate) ca_admin: SocketAddr,
    ca_program: Program,
    pub(crate) ca: Option<Process>,
    pub(crate) web: Workload,
    pub(crate) orders: Workload,
    pub(crate) intruder: Workload,
    pub(crate) signet: PathBuf,
}

impl Stage {
    /// Writes every file; starts nothing.
    pub(crate) fn build(programs: Programs) -> Result<Self, DemoError> {
        let dir =
            tempfile::Builder::new().prefix("signet-demo-").tempdir().map_err(DemoError::io("make a directory"))?;
        let (issuer, clock) = (Issuer::new()?, Clock::system());
        let (ca_address, ca_admin) = (free_address()?, free_address()?);
        let ca_program = write_ca(dir.path(), &programs.ca, &issuer, ca_address, ca_admin)?;
        let orders_port = free_address()?.port();
        let workload = |namespace, account, protocol, peer: &Peer| {
            let maker =
                Maker { root: dir.path(), programs: &programs, issuer: &issuer, now: clock.now().into(), ca_address };
            maker.workload(namespace, account, protocol, peer)
        };
        let caller = Peer::Of { server_port: orders_port };
        let web = workload("shop", "web", Protocol::Delta, &caller)?;
        let intruder = workload("sandbox", "intruder", Protocol::Sotw, &caller)?;
        let orders = workload("shop", "orders", Protocol::Sotw, &Peer::Serves { port: orders_port })?;
        let signet = programs.signet;
        Ok(Self { dir, issuer, clock, ca_address, ca_admin, ca_program, ca: None, web, orders, intruder, signet })
    }

    /// Where all files are.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves the files behind when the demo ends.
    pub(crate) fn keep_files(&mut self) {
        self.dir.disable_cleanup(true);
    }

    /// The CA's own directory, which holds its roots.
    pub(crate) fn ca_dir(&self) -> &Path {
        self.ca_program.dir()
    }

    /// All workloads.
    pub(crate) fn workloads(&self) -> [&Workload; 3] {
        [&self.web, &self.orders, &self.intruder]
    }

    /// Starts the CA, for the first time or again.
    pub(crate) fn start_ca(&mut self) -> Result<(), DemoError> {
        self.ca = Some(self.ca_program.start()?);
        Ok(())
    }

    /// Gives every workload the CA's roots, as the cluster's ConfigMap would.
    pub(crate) fn publish_roots(&self, roots: &[u8]) -> Result<(), DemoError> {
        self.workloads()
            .iter()
            .try_for_each(|workload| write(&workload.dir.join("var/run/secrets/istio/root-cert.pem"), roots))
    }

    /// Waits until `check` holds, asking often.
    pub(crate) async fn until<F, T>(&self, what: &str, seconds: u64, mut check: F) -> Result<T, DemoError>
    where
        F: AsyncFnMut() -> Result<T, String>,
    {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            match check().await {
                Ok(value) => return Ok(value),
                Err(last) if Instant::now() >= deadline => {
                    return Err(DemoError::Waited {
                        what: what.to_owned(),
                        seconds,
                        last,
                        logs: self.root().to_owned(),
                    });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Stops everything: politely, then for good.
    pub(crate) async fn stop(&mut self) {
        let mut processes: Vec<Process> = [&mut self.web, &mut self.orders, &mut self.intruder]
            .into_iter()
            .flat_map(|workload| [workload.envoy.take(), workload.agent.take()])
            .chain([self.ca.take()])
            .flatten()
            .collect();
        processes.iter().for_each(Process::terminate);
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline && processes.iter_mut().any(|process| process.ended().is_none()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Workload {
    /// The id that its token entitles it to.
    pub(crate) fn id(&self) -> String {
        format!("spiffe://{TRUST_DOMAIN}/ns/{}/sa/{}", self.namespace, self.account)
    }

    /// `namespace/account`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.account)
    }

    /// Its agent's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("var/run/secrets/workload-spiffe-uds/socket")
    }

    /// Where its Envoy listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Starts the agent, for the first time or again.
    pub(crate) fn start_agent(&mut self) -> Result<(), DemoError> {
        self.agent = Some(self.agent_program.start()?);
        Ok(())
    }

    /// Starts Envoy.
    pub(crate) fn start_envoy(&mut self) -> Result<(), DemoError> {
        self.envoy = Some(self.envoy_program.start()?);
        Ok(())
    }
}

enum Peer {
    /// Listens here for callers with mutual TLS.
    Serves { port: u16 },
    /// Calls the server at this port.
    Of { server_port: u16 },
}

struct Maker<'a> {
    root: &'a Path,
    programs: &'a Programs,
    issuer: &'a Issuer,
    now: Timestamp,
    ca_address: SocketAddr,
}

impl Maker<'_> {
    fn workload(
        &self,
        namespace: &'static str,
        account: &'static str,
        protocol: Protocol,
        peer: &Peer,
    ) -> Result<Workload, DemoError> {
        let dir = self.root.join(account);
        let token = self.issuer.token(namespace, account, self.now, TOKEN_TTL)?;
        write(&dir.join("var/run/secrets/tokens/istio-token"), token.as_bytes())?;
        write(&dir.join("agent.toml"), self.agent_config(&dir).as_bytes())?;
        let (port, config) = envoy_config(account, protocol, peer)?;
        write(&dir.join("envoy.json"), config.to_string().as_bytes())?;
        let program = |name: &str, path: &Path, args: &[&str]| Program {
            name: name.to_owned(),
            path: path.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            dir: dir.clone(),
        };
        let envoy_args = ["-c", "envoy.json", "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"];
        Ok(Workload {
            namespace,
            account,
            port,
            admin: Admin::new(dir.join(ADMIN_SOCKET)),
            agent_program: program("sds-agent", &self.programs.agent, &["run", "--config", "agent.toml"]),
            envoy_program: program("envoy", &self.programs.envoy, &envoy_args),
            agent: None,
            envoy: None,
            dir,
        })
    }

    fn agent_config(&self, dir: &Path) -> String {
        format!(
            "root_dir = {root:?}\ntrust_domain = {TRUST_DOMAIN:?}\n\n\
             [ca]\naddress = \"{address}\"\nserver_name = {CA_NAME:?}\n\n\
             [identity]\nttl = \"{ttl}s\"\n\n\
             [files]\noutput_dir = {out:?}\n\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n",
            root = dir.display().to_string(),
            address = self.ca_address,
            ttl = IDENTITY_TTL.as_secs(),
            out = dir.join("certs").display().to_string(),
        )
    }
}

fn envoy_config(account: &str, protocol: Protocol, peer: &Peer) -> Result<(u16, serde_json::Value), DemoError> {
    let of_shop = |account: &str| format!("spiffe://{TRUST_DOMAIN}/ns/shop/sa/{account}");
    Ok(match *peer {
        Peer::Serves { port } => {
            (port, bootstrap::server(&Identity { name: account, protocol, peer: &of_shop("web") }, port))
        }
        Peer::Of { server_port } => {
            let port = free_address()?.port();
            let identity = Identity { name: account, protocol, peer: &of_shop("orders") };
            (port, bootstrap::client(&identity, port, server_port))
        }
    })
}

fn write_ca(
    root: &Path,
    path: &Path,
    issuer: &Issuer,
    listen: SocketAddr,
    admin: SocketAddr,
) -> Result<Program, DemoError> {
    let dir = root.join("ca");
    write(&dir.join("jwks.json"), issuer.jwks().as_bytes())?;
    let config = format!(
        "trust_domain = {TRUST_DOMAIN:?}\nlisten = \"{listen}\"\n\n\
         [admin]\nlisten = \"{admin}\"\n\n\
         [tokens]\nissuer = {ISSUER:?}\naudiences = [{AUDIENCE:?}]\njwks_file = \"jwks.json\"\n\n\
         [authority]\nstate_dir = \"state\"\n\n\
         [serving]\nnames = [{CA_NAME:?}]\n"
    );
    write(&dir.join("signet-ca.toml"), config.as_bytes())?;
    let args = ["run", "--config", "signet-ca.toml"].map(str::to_owned).to_vec();
    Ok(Program { name: "signet-ca".to_owned(), path: path.to_owned(), args, dir })
}

fn write(path: &Path, content: &[u8]) -> Result<(), DemoError> {
    let failed = |error| DemoError::Io { what: format!("write `{}`", path.display()), source: error };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    files::replace(path, content, files::SECRET_MODE).map_err(|error| failed(std::io::Error::other(error)))
}

fn free_address() -> Result<SocketAddr, DemoError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(DemoError::io("find a free port"))
}
