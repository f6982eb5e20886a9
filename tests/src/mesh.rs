//! A small mesh of real processes: a CA with a cluster-like token issuer, and workloads that each have an agent.
//!
//! Knows how the daemons are configured and started. What they should do is for the tests to say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use signet_identity::{Timestamp, TrustBundle, TrustDomain};
use signet_testkit::TokenIssuer;

use crate::envoy_config::{Client, SdsProtocol, Server};
use crate::{Process, Workdir, bin, eventually, free_port, http};

/// The trust domain of every test mesh.
pub const TRUST_DOMAIN: &str = "cluster.local";

/// The name on the CA's serving certificate.
pub const CA_NAME: &str = "istiod.istio-system.svc";

/// How long a daemon may take until it is ready.
pub const READY_MAX: Duration = Duration::from_secs(20);

/// How long a token is valid.
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// A CA in a folder of its own, running or not.
pub struct Ca {
    dir: PathBuf,
    port: u16,
    admin_port: u16,
    /// The process, while it runs.
    pub process: Option<Process>,
    /// Who signs the tokens that it accepts.
    pub issuer: TokenIssuer,
}

impl Ca {
    /// A CA that will make its own root; nothing runs yet.
    pub fn self_signed(workdir: &Workdir) -> Self {
        Self::with_authority(workdir, "state_dir = \"state\"")
    }

    /// A CA that will make its own root with this kind of key; nothing runs yet.
    pub fn with_key_type(workdir: &Workdir, key_type: &str) -> Self {
        Self::with_authority(workdir, &format!("state_dir = \"state\"\nkey_type = {key_type:?}"))
    }

    /// A CA over the plugged-in files in `dir`; nothing runs yet.
    pub fn plugged_in(workdir: &Workdir, dir: &Path) -> Self {
        Self::with_authority(
            workdir,
            &format!("plugged_in_dir = {:?}\nstate_dir = \"state\"", dir.display().to_string()),
        )
    }

    fn with_authority(workdir: &Workdir, authority: &str) -> Self {
        let issuer = TokenIssuer::es256();
        let (port, admin_port) = (free_port(), free_port());
        workdir.write("ca/jwks.json", issuer.jwks_json());
        workdir.write(
            "ca/signet-ca.toml",
            format!(
                "trust_domain = {TRUST_DOMAIN:?}\nlisten = \"127.0.0.1:{port}\"\n\
                 [admin]\nlisten = \"127.0.0.1:{admin_port}\"\n\
                 [tokens]\nissuer = {issuer:?}\njwks_file = \"jwks.json\"\n\
                 [authority]\n{authority}\n\
                 [serving]\nnames = [{CA_NAME:?}]\n",
                issuer = issuer.issuer(),
            ),
        );
        Self { dir: workdir.join("ca"), port, admin_port, process: None, issuer }
    }

    /// Adds settings for its next start: lines that stand in no table, and tables.
    ///
    /// # Panics
    /// When they cannot be written.
    #[track_caller]
    pub fn configure(&self, lines: &str, tables: &str) {
        let file = self.dir.join("signet-ca.toml");
        let settings = fs::read_to_string(&file).expect("the CA's settings can be read");
        fs::write(&file, format!("{lines}{settings}{tables}")).expect("the CA's settings can be written");
    }

    /// Its control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.dir.join("state/control.sock")
    }

    /// Starts it, for the first time or again.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(&mut self) {
        let mut command = Command::new(bin("signet-ca"));
        command.current_dir(&self.dir).args(["run", "--config", "signet-ca.toml"]);
        self.process = Some(Process::start("signet-ca", &mut command));
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready in time.
    #[track_caller]
    pub fn start_ready(&mut self) {
        self.start();
        eventually(READY_MAX, "signet-ca is ready", || ready(self.admin_port));
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.take().expect("the CA runs").kill();
    }

    /// Where it serves certificates.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its metrics.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn metrics(&self) -> String {
        http::get(self.admin_port, "/metrics").expect("the CA answers").body
    }

    /// The file with its public roots.
    pub fn roots_file(&self) -> PathBuf {
        self.dir.join("state/root-cert.pem")
    }

    /// Its self-signed roots.
    ///
    /// # Panics
    /// When they cannot be read.
    #[track_caller]
    pub fn roots(&self) -> TrustBundle {
        let text = fs::read(self.roots_file()).expect("the CA has published its roots");
        TrustBundle::from_pem(trust_domain(), &text).expect("the CA's roots are a bundle")
    }
}

/// A workload with its agent, running or not.
#[derive(Debug)]
pub struct Workload {
    namespace: String,
    account: String,
    dir: PathBuf,
    admin_port: u16,
    /// The agent's process, while it runs.
    pub agent: Option<Process>,
}

impl Workload {
    /// A workload of `ca` whose identities live for `ttl`; nothing runs yet. It knows the CA's roots only after
    /// [`Workload::trust`].
    ///
    /// # Panics
    /// When its files cannot be written.
    #[track_caller]
    pub fn new(workdir: &Workdir, ca: &Ca, namespace: &str, account: &str, ttl: Duration) -> Self {
        let admin_port = free_port();
        let dir = workdir.join(account);
        workdir.write(
            &format!("{account}/agent.toml"),
            format!(
                "root_dir = {root:?}\ntrust_domain = {TRUST_DOMAIN:?}\n\
                 [ca]\naddress = \"{ca}\"\nserver_name = {CA_NAME:?}\n\
                 [identity]\nttl = \"{ttl}s\"\n\
                 [files]\noutput_dir = {out:?}\n\
                 [admin]\nlisten = \"127.0.0.1:{admin_port}\"\n",
                root = dir.display().to_string(),
                ca = ca.address(),
                ttl = ttl.as_secs(),
                out = dir.join("certs").display().to_string(),
            ),
        );
        let workload =
            Self { namespace: namespace.to_owned(), account: account.to_owned(), dir, admin_port, agent: None };
        workload.give_token(&ca.issuer.token(namespace, account, now(), TOKEN_TTL));
        workload
    }

    /// Puts a token where the agent reads it.
    ///
    /// # Panics
    /// When it cannot be written.
    #[track_caller]
    pub fn give_token(&self, token: &str) {
        self.write("var/run/secrets/tokens/istio-token", token.as_bytes());
    }

    /// Gives it the CA's roots, as the cluster's ConfigMap would.
    ///
    /// # Panics
    /// When they cannot be written.
    #[track_caller]
    pub fn trust(&self, roots: &TrustBundle) {
        self.write("var/run/secrets/istio/root-cert.pem", roots.to_pem().as_bytes());
    }

    /// Takes its token away.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn lose_token(&self) {
        fs::remove_file(self.dir.join("var/run/secrets/tokens/istio-token")).expect("there is a token");
    }

    #[track_caller]
    fn write(&self, name: &str, content: &[u8]) {
        let path = self.dir.join(name);
        let parent = path.parent().expect("the name has a folder");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, content))
            .expect("the workload's file can be written");
    }

    /// Starts the agent, for the first time or again.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(&mut self) {
        let mut command = Command::new(bin("sds-agent"));
        command.current_dir(&self.dir).args(["run", "--config", "agent.toml"]);
        self.agent = Some(Process::start(&format!("sds-agent {}", self.account), &mut command));
    }

    /// Starts the agent and waits until it serves an identity.
    ///
    /// # Panics
    /// When it is not ready in time.
    #[track_caller]
    pub fn start_ready(&mut self) {
        self.start();
        self.wait_ready();
    }

    /// Waits until the agent says that it is ready.
    ///
    /// # Panics
    /// When it is not ready in time.
    #[track_caller]
    pub fn wait_ready(&self) {
        eventually(READY_MAX, "the agent is ready", || ready(self.admin_port));
    }

    /// Kills the agent with SIGKILL.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn kill(&mut self) {
        self.agent.take().expect("the agent runs").kill();
    }

    /// Its SPIFFE id.
    pub fn id(&self) -> String {
        format!("spiffe://{TRUST_DOMAIN}/ns/{}/sa/{}", self.namespace, self.account)
    }

    /// The folder in which its agent works.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("var/run/secrets/workload-spiffe-uds/socket")
    }

    /// The folder in which the agent keeps files for programs.
    pub fn certs(&self) -> PathBuf {
        self.dir.join("certs")
    }

    /// The agent's readiness page, ready or not.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn readiness(&self) -> io::Result<http::Response> {
        http::get(self.admin_port, "/healthz/ready")
    }

    /// The agent's metrics.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn metrics(&self) -> String {
        http::get(self.admin_port, "/metrics").expect("the agent answers").body
    }

    /// How an Envoy beside it receives calls.
    pub fn envoy_server(&self, port: u16, sds_protocol: SdsProtocol, accepts: &[&Self]) -> Server {
        Server {
            name: self.account.clone(),
            port,
            sds_socket: self.socket(),
            sds_protocol,
            accepts: accepts.iter().map(|peer| peer.id()).collect(),
        }
    }

    /// How an Envoy beside it calls `server`, each request on a connection of its own.
    pub fn envoy_client(&self, port: u16, sds_protocol: SdsProtocol, server: &Self, server_port: u16) -> Client {
        Client {
            name: self.account.clone(),
            port,
            server_port,
            server_id: server.id(),
            sds_socket: self.socket(),
            sds_protocol,
            requests_per_connection: Some(1),
        }
    }
}

/// The trust domain of every test mesh.
///
/// # Panics
/// Never: the name is valid.
pub fn trust_domain() -> TrustDomain {
    TRUST_DOMAIN.parse().expect("the name is a trust domain")
}

/// What time it is.
#[expect(clippy::disallowed_methods, reason = "tests of real processes live in real time")]
pub fn now() -> Timestamp {
    SystemTime::now().into()
}

fn ready(port: u16) -> Result<(), String> {
    match http::get(port, "/healthz/ready") {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(answer.body),
        Err(error) => Err(error.to_string()),
    }
}
