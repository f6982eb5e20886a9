//! The program itself: its exit codes, its signals, what it logs, and what being killed costs.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use signet_ca::authority::Authority;
use signet_identity::{PrivateKey, csr};
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use signet_testkit::{TempDir, TokenIssuer, temp_dir};
use tonic::transport::{Certificate as TlsRoot, Channel, ClientTlsConfig, Endpoint};

use crate::lab::{HOUR, Setup, WAIT_MAX, WEB, now, request};

/// A running program, which writes its log into a file, as no pipe can make it wait; killed when dropped.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
    /// Lines of the log that were looked at.
    seen: usize,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path, issuer: &TokenIssuer) -> Command {
    command_of(dir, issuer, "run")
}

fn command_of(dir: &Path, issuer: &TokenIssuer, verb: &str) -> Command {
    command_under(&[], dir, issuer, verb)
}

/// As [`command_of`], begun by the words of `wrapper`.
fn command_under(wrapper: &[&str], dir: &Path, issuer: &TokenIssuer, verb: &str) -> Command {
    let jwks = dir.join("jwks.json");
    fs::write(&jwks, issuer.jwks_json()).unwrap();
    let words = [wrapper, &[env!("CARGO_BIN_EXE_signet-ca")]].concat();
    let mut command = Command::new(words[0]);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(&words[1..])
        .arg(verb)
        .args(["--admin.listen", "127.0.0.1:0"]);
    command.args(["--tokens.issuer", issuer.issuer()]).arg("--tokens.jwks_file").arg(jwks);
    command.arg("--authority.state_dir").arg(dir.join("state")).args(["--log.format", "json"]);
    // One pod stands for many here.
    command.args(["--admission.holder_burst", "0"]);
    command
}

impl Program {
    pub(crate) fn command_under(wrapper: &[&str], dir: &Path, issuer: &TokenIssuer) -> Command {
        command_under(wrapper, dir, issuer, "run")
    }

    fn start(dir: &Path, issuer: &TokenIssuer, flags: &[&str]) -> Self {
        Self::start_under(&[], dir, issuer, flags)
    }

    pub(crate) fn start_under(wrapper: &[&str], dir: &Path, issuer: &TokenIssuer, flags: &[&str]) -> Self {
        let mut command = command_under(wrapper, dir, issuer, "run");
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        Self::spawn(command, dir)
    }

    /// With the settings of `setup`, and flags.
    pub(crate) fn of(setup: &Setup, flags: &[&str]) -> Self {
        Self::of_in(setup, flags, &[])
    }

    /// As [`Program::of`], in an environment.
    pub(crate) fn of_in(setup: &Setup, flags: &[&str], environment: &[(&str, &Path)]) -> Self {
        setup.config().expect("the settings should be good");
        let mut command = Command::new(env!("CARGO_BIN_EXE_signet-ca"));
        command.env_clear().envs(environment.iter().copied());
        command.args(["run", "--log.format", "json", "--config"]).arg(setup.path("ca.toml")).args(flags);
        Self::spawn(command, setup.dir.path())
    }

    fn spawn(mut command: Command, dir: &Path) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let log = dir.join(format!("log-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        command.stderr(File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log, seen: 0 }
    }

    /// Waits for the next line of the log with `message`.
    pub(crate) fn wait_for(&mut self, message: &str) -> Value {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let said = self.said();
            for line in said.lines().skip(self.seen) {
                let Ok(line) = serde_json::from_str::<Value>(line) else { break };
                self.seen += 1;
                if line["message"] == message {
                    return line;
                }
            }
            assert!(Instant::now() < deadline, "waited in vain for `{message}`: {said}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Sends SIGTERM.
    pub(crate) fn tell_to_end(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits for its end and gives exit code and everything said.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.said())
    }

    /// Sends SIGTERM and gives exit code and everything said.
    pub(crate) fn terminate(self) -> (Option<i32>, String) {
        self.tell_to_end();
        self.ended()
    }
}

pub(crate) fn address(line: &Value, key: &str) -> SocketAddr {
    line[key].as_str().unwrap().parse().unwrap()
}

fn lab() -> (TempDir, TokenIssuer) {
    (temp_dir(), TokenIssuer::es256())
}

#[tokio::test]
async fn it_says_where_it_listens_and_stops_in_peace_when_told_to() {
    let (dir, issuer) = lab();
    let mut program = Program::start(dir.path(), &issuer, &[]);
    let line = program.wait_for("serving");
    let admin = address(&line, "admin");
    assert_eq!(crate::lab::http_get(admin, "/healthz/live").await.0, 200);
    let (code, said) = program.terminate();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("SIGTERM"), "{said}");
    let own = said.lines().find(|line| line.contains("issued to ourselves"));
    assert!(own.is_some_and(|line| line.contains("\"serial\"")), "what stands in no record is in the log: {said}");
}

/// Whether settings are good, asked with `words`: status, stdout, stderr.
fn asked(dir: &Path, issuer: &TokenIssuer, verb: &str, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command_of(dir, issuer, verb);
    let output = command.args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn good_settings_are_shown_and_bad_ones_explained() {
    for (verb, flag, wrong) in [("run", &["--check-config"][..], 2), ("check-config", &[], 1)] {
        let (dir, issuer) = lab();
        let (code, shown, _) = asked(dir.path(), &issuer, verb, flag);
        assert_eq!(code, Some(0), "{verb}");
        assert!(shown.contains("trust_domain = \"cluster.local\"  # default\n"), "{shown}");
        assert!(shown.contains("admin.listen = \"127.0.0.1:0\"  # flag --admin-listen\n"), "{shown}");
        assert!(!dir.path().join("state").exists(), "checking settings makes no root");

        let (code, shown, told) = asked(dir.path(), &issuer, verb, &[flag, &["--leaf-max-ttl", "x"]].concat());
        assert_eq!((code, shown.as_str()), (Some(wrong), ""), "{verb}");
        assert!(told.contains("`leaf.max_ttl` (flag --leaf-max-ttl)"), "{told}");

        let (code, shown, told) = asked(dir.path(), &issuer, verb, &[flag, &["--config", "/nonexistent"]].concat());
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{verb}: what cannot be read is neither good nor bad");
        assert!(told.contains("cannot open `/nonexistent`"), "{told}");
    }
}

#[tokio::test]
async fn a_reader_of_the_log_that_stops_reading_stops_nothing() {
    let (dir, issuer) = lab();
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = command(dir.path(), &issuer);
    // Everything is logged into a pipe of 64 KiB that nobody reads.
    command.args(["--listen", &listen, "--log.level", "trace"]).stderr(Stdio::piped());
    let mut program = Program { child: command.spawn().unwrap(), log: dir.path().join("none"), seen: 0 };
    let root = dir.path().join("state/root-cert.pem");
    let listen: SocketAddr = listen.parse().unwrap();
    crate::lab::eventually("it listens", async || root.exists() && TcpStream::connect(listen).is_ok()).await;
    let (root, csr) = (fs::read_to_string(root).unwrap(), crate::lab::any_csr());
    for _ in 0..100 {
        ask(listen, &root, &issuer.token("shop", "web", now(), HOUR), &csr).await.unwrap();
    }
    let id = program.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_start_that_fails_says_why_and_ends_with_one() {
    let (dir, issuer) = lab();
    fs::create_dir(dir.path().join("state")).unwrap();
    fs::write(dir.path().join("state/authority.pem"), "half").unwrap();
    let output = command(dir.path(), &issuer).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("state/authority.pem` cannot be read as PEM: no PEM block found"), "{said}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (dir, issuer) = lab();
    let output = command(dir.path(), &issuer).args(["--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("cannot listen on {address}: Address already in use")), "{said}");
}

/// What a client of a program trusts.
pub(crate) fn tls(root: &str) -> ClientTlsConfig {
    ClientTlsConfig::new().ca_certificate(TlsRoot::from_pem(root)).domain_name("localhost")
}

/// A connection to a program.
pub(crate) async fn connect(listen: SocketAddr, tls: ClientTlsConfig) -> Channel {
    let endpoint = Endpoint::from_shared(format!("https://{listen}")).unwrap().tls_config(tls).unwrap();
    endpoint.connect().await.unwrap()
}

/// Asks a program for a certificate.
pub(crate) async fn ask(listen: SocketAddr, root: &str, token: &str, csr: &str) -> Result<Vec<String>, tonic::Status> {
    let mut client = IstioCertificateServiceClient::new(connect(listen, tls(root)).await);
    Ok(client.create_certificate(request(token, csr, 60)).await?.into_inner().cert_chain)
}

#[tokio::test]
async fn an_issue_is_logged_with_everything_that_identifies_it() {
    let (dir, issuer) = lab();
    let mut program = Program::start(dir.path(), &issuer, &[]);
    let listen = address(&program.wait_for("serving"), "listen");
    let root = fs::read_to_string(dir.path().join("state/root-cert.pem")).unwrap();
    let key = PrivateKey::generate_p256().unwrap();
    let csr = csr::create(&key, &WEB.parse().unwrap()).unwrap();
    let chain = ask(listen, &root, &issuer.token("shop", "web", now(), HOUR), &csr).await.unwrap();
    let leaf = crate::lab::certificates(&chain[0]).remove(0);
    let line = program.wait_for("certificate issued");
    for (field, wanted) in [
        ("level", "INFO"),
        ("identity", WEB),
        ("serial", &leaf.serial().to_string()),
        ("namespace", "shop"),
        ("service_account", "web"),
        ("pod", "web-1"),
        ("node", "node-1"),
        ("key", "P-256"),
        ("key_fingerprint", &key.public().fingerprint()),
        ("not_after", &leaf.lifetime().not_after().to_string()),
    ] {
        assert_eq!(line[field], wanted, "{field}: {line}");
    }
    assert_eq!(
        (line["asked_secs"].as_i64(), line["peer"].as_str().map(|p| p.starts_with("127.0.0.1:"))),
        (Some(60), Some(true))
    );
    for field in ["pod_uid", "token_id", "request_id"] {
        assert!(line[field].as_str().is_some_and(|value| value.len() > 8), "{field}: {line}");
    }
    assert!(line["latency_us"].as_u64().unwrap() > 0 && line["granted_secs"].as_u64().unwrap() <= 60);
}

#[test]
fn killed_at_any_moment_of_its_first_start_it_comes_back_with_one_root() {
    for delay in 0..30 {
        let (dir, issuer) = lab();
        let mut child =
            command(dir.path(), &issuer).args(["--listen", "127.0.0.1:0"]).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        let state = dir.path().join("state");
        let before = fs::read(state.join("authority.pem")).ok();
        let open = || Authority::self_signed(&state, &"cluster.local".parse().unwrap(), HOUR, now()).unwrap();
        let root = open().certificate().der().to_vec();
        assert_eq!(open().certificate().der(), root);
        let after = fs::read(state.join("authority.pem")).unwrap();
        assert!(before.is_none_or(|before| before == after), "after {delay} ms the root was replaced");
    }
}

#[test]
fn two_that_start_at_once_serve_under_one_root() {
    let (dir, issuer) = lab();
    let mut programs = [(); 2].map(|()| Program::start(dir.path(), &issuer, &[]));
    let serials = programs.each_mut().map(|program| program.wait_for("authority loaded")["serial"].clone());
    programs.each_mut().iter_mut().for_each(|program| {
        program.wait_for("serving");
    });
    assert_eq!(serials[0], serials[1]);
}
