//! The program with its ledger: killed, without room, without permission. What a caller holds is always recorded.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use signet_proto::istio_ca::istio_certificate_service_client::IstioCertificateServiceClient;
use signet_testkit::{TempDir, TokenIssuer, temp_dir};
use tokio::task::JoinSet;
use tonic::transport::{Certificate as TlsRoot, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use super::command::{look, serials};
use super::desk::{Desk, whole};
use crate::lab::{HOUR, any_csr, certificates, eventually, http_get, now, request};
use crate::process::{Program, address};

/// A program with what its callers need.
struct Running {
    program: Program,
    admin: SocketAddr,
    client: IstioCertificateServiceClient<Channel>,
    token: String,
}

impl Running {
    /// Starts the program in `dir`, under the words of `wrapper`, with its ledger in `dir/ledger`.
    async fn start(wrapper: &[&str], dir: &Path, issuer: &TokenIssuer, flags: &[&str]) -> Self {
        let ledger = dir.join("ledger");
        let flags = [&["--ledger.dir", ledger.to_str().unwrap()], flags].concat();
        let mut program = Program::start_under(wrapper, dir, issuer, &flags);
        let line = program.wait_for("serving");
        let (listen, admin) = (address(&line, "listen"), address(&line, "admin"));
        let root = fs::read_to_string(dir.join("state/root-cert.pem")).unwrap();
        let tls = ClientTlsConfig::new().ca_certificate(TlsRoot::from_pem(root)).domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{listen}")).unwrap().tls_config(tls).unwrap();
        let client = IstioCertificateServiceClient::new(endpoint.connect().await.unwrap());
        let token = issuer.token("shop", "web", now(), HOUR);
        Self { program, admin, client, token }
    }

    /// Asks for a certificate and gives its serial number.
    async fn ask(&self, csr: &str) -> Result<String, Status> {
        let asked = self.client.clone().create_certificate(request(&self.token, csr, 60)).await?;
        Ok(certificates(&asked.into_inner().cert_chain[0]).remove(0).serial().to_string())
    }

    /// Asks until that is refused, and gives the serial numbers until then and the refusal.
    async fn ask_until_refused(&self) -> (Vec<String>, Status) {
        let (csr, mut serials) = (any_csr(), Vec::new());
        loop {
            match self.ask(&csr).await {
                Ok(serial) => serials.push(serial),
                Err(refusal) => return (serials, refusal),
            }
            assert!(serials.len() < 5000, "it is never refused");
        }
    }

    async fn ready(&self) -> (u16, String) {
        http_get(self.admin, "/healthz/ready").await
    }

    async fn wait_ready(&self) {
        eventually("the program is ready", async || self.ready().await.0 == 200).await;
    }

    /// Waits until the log, which is written behind the requests' backs, has a line with `message`; gives all of them.
    async fn told(&self, message: &str) -> Vec<Value> {
        eventually(message, async || !self.lines(message).is_empty()).await;
        self.lines(message)
    }

    /// Lines of the log with `message` that are out already.
    fn lines(&self, message: &str) -> Vec<Value> {
        let said = self.program.said();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).collect()
    }
}

fn place() -> (TempDir, TokenIssuer) {
    (temp_dir(), TokenIssuer::es256())
}

#[tokio::test]
async fn killed_under_load_it_forgets_no_certificate_that_a_caller_holds() {
    let (dir, issuer) = place();
    let ledger = dir.path().join("ledger");
    let mut held: BTreeSet<String> = BTreeSet::new();
    for (round, least) in [60, 20, 120].into_iter().enumerate() {
        let mut running = Running::start(&[], dir.path(), &issuer, &[]).await;
        let csr = any_csr();
        let mut callers = JoinSet::new();
        let issued = Arc::new(AtomicUsize::new(0));
        for _ in 0..16 {
            let (client, token, csr) = (running.client.clone(), running.token.clone(), csr.clone());
            let issued = issued.clone();
            callers.spawn(async move {
                let mut serials = Vec::new();
                while let Ok(answer) = client.clone().create_certificate(request(&token, &csr, 60)).await {
                    serials.push(certificates(&answer.into_inner().cert_chain[0]).remove(0).serial().to_string());
                    issued.fetch_add(1, Ordering::Relaxed);
                }
                serials
            });
        }
        // However fast the machine is: in the middle of it.
        eventually("enough was issued", async || issued.load(Ordering::Relaxed) >= least).await;
        running.program.kill();
        let before = held.len();
        while let Some(serials) = callers.join_next().await {
            held.extend(serials.unwrap());
        }
        assert!(held.len() >= before + least, "round {round} issued {} certificates", held.len() - before);
    }
    let (code, _, told) = look(&ledger, &["verify"]);
    assert_eq!(code, Some(0), "{told}");
    let recorded = serials(&ledger, &[]);
    let forgotten: Vec<_> = held.difference(&recorded).collect();
    assert!(forgotten.is_empty(), "{} of {} certificates are not recorded: {forgotten:?}", forgotten.len(), held.len());
    for serial in held.iter().take(3) {
        assert_eq!(serials(&ledger, &["--serial", serial]), BTreeSet::from([serial.clone()]));
    }

    let running = Running::start(&[], dir.path(), &issuer, &[]).await;
    let serial = running.ask(&any_csr()).await.unwrap();
    assert!(serials(&ledger, &["--since", "1m"]).contains(&serial));
    assert_eq!(look(&ledger, &["verify"]).0, Some(0));
}

#[tokio::test]
async fn without_room_on_the_disk_nothing_is_issued_and_with_room_it_goes_on_by_itself() {
    let (dir, issuer) = place();
    let ledger = dir.path().join("ledger");
    fs::create_dir(&ledger).unwrap();
    // A file system of its own that only this process sees, so that no other one needs to be filled.
    let mount = "mount -t tmpfs -o size=1m none \"$0\" || { echo 'cannot mount: user namespaces are needed' >&2; exit 9; }; \
                 exec \"$@\"";
    let wrapper = ["unshare", "-Urm", "sh", "-c", mount, ledger.to_str().unwrap()];
    let running = Running::start(&wrapper, dir.path(), &issuer, &[]).await;
    running.wait_ready().await;
    let mut held = vec![running.ask(&any_csr()).await.unwrap()];
    let seen = PathBuf::from(format!("/proc/{}/root{}", running.program.id(), ledger.display()));
    let filler = seen.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    let full = loop {
        if let Err(error) = file.write_all(&[0; 512]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::StorageFull);

    let (more, refusal) = running.ask_until_refused().await;
    held.extend(more);
    let text = "certificate could not be recorded now, try again";
    assert_eq!((refusal.code(), refusal.message()), (Code::Unavailable, text));
    for _ in 0..50 {
        assert_eq!(running.ask(&any_csr()).await.unwrap_err().code(), Code::Unavailable);
    }
    let (status, body) = running.ready().await;
    assert_eq!(status, 503);
    assert!(body.contains("cannot be recorded") && body.contains("No space left on device"), "{body}");
    assert_eq!(http_get(running.admin, "/healthz/live").await.0, 200);
    let told = running.told("ledger cannot be written, so nothing is issued").await;
    assert_eq!(told.len(), 1, "it is told once: {told:?}");
    assert_eq!(look(&seen, &["verify"]).0, Some(0), "what was recorded holds meanwhile");

    drop(file);
    fs::remove_file(&filler).unwrap();
    running.wait_ready().await;
    held.push(running.ask(&any_csr()).await.unwrap());
    assert_eq!(running.told("ledger can be written again").await.len(), 1);
    // Lines keep their order, so whatever was said of the callers is out by now.
    assert!(running.lines("certificate refused").is_empty(), "not once for each caller");
    assert_eq!(running.lines("ledger cannot be written, so nothing is issued").len(), 1);
    let (code, _, told) = look(&seen, &["verify"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(serials(&seen, &[]), held.into_iter().collect());
    let (_, shown, _) = look(&seen, &["show", "-o", "json"]);
    assert!(shown.contains("\"event\":\"resumed\"") && shown.contains("No space left on device"), "{shown}");
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_stops_no_start_but_all_issuing() {
    let (dir, issuer) = place();
    let (ledger, before) = (dir.path().join("ledger"), dir.path().join("before"));
    fs::create_dir(&ledger).unwrap();
    let desk = Desk::open(&before);
    desk.write(0).await;
    desk.close().await;
    let mount = "mount -t tmpfs -o size=1m none \"$0\" && cp -r \"$1\"/. \"$0\" || exit 9; shift; \
                 dd if=/dev/zero of=\"$0/filler\" bs=512 2>/dev/null; exec \"$@\"";
    let wrapper = ["unshare", "-Urm", "sh", "-c", mount, ledger.to_str().unwrap(), before.to_str().unwrap()];
    let running = Running::start(&wrapper, dir.path(), &issuer, &[]).await;
    // The last page may have room for the note of the start, and then for nothing more.
    let (held, refusal) = running.ask_until_refused().await;
    assert_eq!((held.len() < 5, refusal.code()), (true, Code::Unavailable));
    assert_eq!(running.ready().await.0, 503);
    let seen = PathBuf::from(format!("/proc/{}/root{}", running.program.id(), ledger.display()));
    fs::remove_file(seen.join("filler")).unwrap();
    running.wait_ready().await;
    let serial = running.ask(&any_csr()).await.unwrap();
    assert!(serials(&seen, &["--since", "1m"]).contains(&serial));
    assert_eq!(look(&seen, &["verify"]).0, Some(0));
}

#[tokio::test]
async fn two_replicas_share_a_directory_and_each_certificate_is_found() {
    let (dir, issuer) = place();
    let first = Running::start(&[], dir.path(), &issuer, &[]).await;
    let second = Running::start(&[], dir.path(), &issuer, &[]).await;
    let csr = any_csr();
    let mut held = BTreeSet::new();
    for _ in 0..5 {
        held.insert(first.ask(&csr).await.unwrap());
        held.insert(second.ask(&csr).await.unwrap());
    }
    let ledger = dir.path().join("ledger");
    assert_eq!((held.len(), serials(&ledger, &[])), (10, held));
    let (code, table, _) = look(&ledger, &["verify"]);
    assert_eq!((code, table.lines().count()), (Some(0), 3), "{table}");
}

/// Words before a program's that bind it to permissions, which a superuser otherwise is not.
fn bound_to_permissions(dir: &Path) -> &'static [&'static str] {
    let probe = dir.join("probe");
    fs::create_dir(&probe).unwrap();
    fs::set_permissions(&probe, fs::Permissions::from_mode(0o500)).unwrap();
    let is_bound = fs::write(probe.join("file"), "").is_err();
    if is_bound { &[] } else { &["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] }
}

#[tokio::test]
async fn without_permission_to_begin_a_segment_nothing_is_issued_until_it_is_given() {
    let (dir, issuer) = place();
    let wrapper = bound_to_permissions(dir.path());
    let flags = ["--ledger.segment_max", "64KiB", "--ledger.keep_max", "1MiB"];
    let running = Running::start(wrapper, dir.path(), &issuer, &flags).await;
    let chain = dir.path().join("ledger/1");
    let allow = |mode| fs::set_permissions(&chain, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o500);
    let (held, refusal) = running.ask_until_refused().await;
    assert_eq!(refusal.code(), Code::Unavailable);
    let (status, body) = running.ready().await;
    assert!(status == 503 && body.contains("Permission denied"), "{body}");
    allow(0o700);
    running.wait_ready().await;
    running.ask(&any_csr()).await.unwrap();
    let ledger = dir.path().join("ledger");
    assert!(serials(&ledger, &[]).is_superset(&held.into_iter().collect()));
    assert_eq!(whole(&ledger).segments, 2);
}

#[test]
fn a_start_without_permission_or_directory_says_where_and_why() {
    let (dir, issuer) = place();
    let wrapper = bound_to_permissions(dir.path());
    fs::write(dir.path().join("file"), "in the way").unwrap();
    for (place, why) in
        [("probe/ledger", "Permission denied"), ("file", "File exists"), ("file/ledger", "Not a directory")]
    {
        let ledger = dir.path().join(place);
        let flags = ["--listen", "127.0.0.1:0", "--ledger.dir", ledger.to_str().unwrap()];
        let output = Program::command_under(wrapper, dir.path(), &issuer).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{place}");
        let told = String::from_utf8(output.stderr).unwrap();
        let wanted = format!("signet-ca: ledger cannot be used: cannot create directory `{}`: {why}", ledger.display());
        assert!(told.contains(&wanted), "{told}");
    }
}

#[test]
fn checking_settings_says_loudly_that_nothing_would_be_recorded() {
    let (dir, issuer) = place();
    let mut command = Program::command_under(&[], dir.path(), &issuer);
    let output = command.args(["--check-config", "--ledger.dir", "none"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(told, "signet-ca: `ledger.dir` is `none`: certificates will be issued without a record\n");
}

#[tokio::test]
async fn a_changed_ledger_stops_the_start_with_what_to_do() {
    let (dir, issuer) = place();
    let mut running = Running::start(&[], dir.path(), &issuer, &[]).await;
    running.ask(&any_csr()).await.unwrap();
    running.program.kill();
    let segment = dir.path().join("ledger/1/00000000000000000001.jsonl");
    let changed = fs::read_to_string(&segment).unwrap().replace("sa/web", "sa/bob");
    fs::write(&segment, changed).unwrap();
    let ledger = dir.path().join("ledger");
    let flags = ["--listen", "127.0.0.1:0", "--ledger.dir", ledger.to_str().unwrap()];
    let output = Program::command_under(&[], dir.path(), &issuer).args(flags).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("where record 2 should stand") && told.contains("move it out of `ledger.dir`"), "{told}");
    assert_eq!(look(&ledger, &["verify"]).0, Some(1));
}

#[test]
fn killed_at_any_moment_of_its_start_the_ledger_opens_again() {
    let (dir, issuer) = place();
    let ledger = dir.path().join("ledger");
    // A busy machine needs longer to begin at all: up to a minute and a half.
    let longer = (0..11).map(|doubled| 60 << doubled);
    for delay in (0..30).map(|delay| delay * 2).chain(longer) {
        let mut command: Command = Program::command_under(&[], dir.path(), &issuer);
        let flags = ["--listen", "127.0.0.1:0", "--ledger.dir", ledger.to_str().unwrap()];
        let mut child = command.args(flags).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        let (code, _, told) = look(&ledger, &["verify"]);
        let is_begun = ledger.join("1/00000000000000000001.jsonl").exists();
        assert_eq!(code, Some(if is_begun { 0 } else { 2 }), "after {delay}: {told}");
        if delay >= 60 && is_begun {
            break;
        }
    }
    assert_eq!(look(&ledger, &["verify"]).0, Some(0));
}
