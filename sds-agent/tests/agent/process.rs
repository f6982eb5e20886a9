//! The program: exit codes, signals, and what is left behind.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::spawn_blocking;

use crate::support::{FakeCa, Pod, Sds, eventually, identity};

fn command(pod: &Pod, ca: &FakeCa) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sds-agent"));
    command.env_clear().args(["run", "--admin.listen", "127.0.0.1:0", "--root_dir"]).arg(pod.dir.path());
    command.arg(format!("--ca-address=localhost:{}", ca.address.port())).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn serving(pod: &Pod) {
    let socket = pod.socket();
    eventually("the program serves", || async {
        match Sds::try_connect(&socket).await {
            Some(sds) => sds.fetch(&["default"]).await.is_ok(),
            None => false,
        }
    })
    .await;
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

async fn ended(mut child: Child) -> (ExitStatus, String) {
    spawn_blocking(move || {
        let status = child.wait().unwrap();
        let mut text = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
        }
        (status, text)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_stop_signal_ends_it_in_good_order() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    for stop in [Signal::TERM, Signal::INT] {
        let child = command(&pod, &ca).spawn().unwrap();
        serving(&pod).await;
        let mut stream = Sds::connect(&pod.socket()).await.sotw();
        stream.subscribe(&["default"]).await;
        stream.accept(&["default"]).await;
        signal(&child, stop);
        let (status, log) = ended(child).await;
        assert!(status.success(), "{status}: {log}");
        assert!(!pod.socket().exists());
        assert!(log.contains("identity issued") && log.contains("serial="), "{log}");
    }
}

#[tokio::test]
async fn not_even_the_most_talkative_log_holds_a_secret() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let mut command = command(&pod, &ca);
    command.args(["--log-level", "trace", "--files-output-dir"]).arg(pod.output_dir());
    // The log is large: into a file, so that no pipe fills up.
    let log = pod.path("log");
    let child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    serving(&pod).await;
    let mut stream = Sds::connect(&pod.socket()).await.sotw();
    stream.subscribe(&["default"]).await;
    let key = identity(&stream.accept(&["default"]).await.resources).key().to_pem();
    signal(&child, Signal::TERM);
    ended(child).await;
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("TRACE"));
    let token = std::fs::read_to_string(pod.token_file()).unwrap();
    let secrets = token.split('.').chain(key.lines().filter(|line| !line.starts_with('-')));
    for secret in secrets {
        assert!(!log.contains(secret), "a part of a secret is in the log");
    }
}

#[tokio::test]
async fn a_stop_signal_before_the_first_identity_ends_it_at_once() {
    let mut ca = FakeCa::start().await;
    ca.vanish().await;
    let pod = Pod::new(&ca);
    let child = command(&pod, &ca).spawn().unwrap();
    eventually("the socket is there", || async { pod.socket().exists() }).await;
    signal(&child, Signal::TERM);
    let (status, log) = ended(child).await;
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn what_a_killed_agent_leaves_behind_does_not_stop_the_next_one() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let child = command(&pod, &ca).spawn().unwrap();
    serving(&pod).await;
    signal(&child, Signal::KILL);
    ended(child).await;
    assert!(pod.socket().exists(), "a dead socket");
    let child = command(&pod, &ca).spawn().unwrap();
    serving(&pod).await;
    let svid = Sds::connect(&pod.socket()).await.fetch(&["default"]).await.unwrap();
    assert_eq!(identity(&svid.resources).id().path(), "/ns/shop/sa/web");
    signal(&child, Signal::TERM);
    ended(child).await;
}

#[tokio::test]
async fn a_second_agent_refuses_to_take_the_socket_of_the_first() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    let first = command(&pod, &ca).spawn().unwrap();
    serving(&pod).await;
    let (status, log) = ended(command(&pod, &ca).spawn().unwrap()).await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("held by a live server"), "{log}");
    serving(&pod).await;
    signal(&first, Signal::TERM);
    ended(first).await;
}

#[tokio::test]
async fn a_plain_file_on_the_path_is_left_alone() {
    let ca = FakeCa::start().await;
    let pod = Pod::new(&ca);
    std::fs::create_dir_all(pod.socket().parent().unwrap()).unwrap();
    std::fs::write(pod.socket(), "precious").unwrap();
    let (status, log) = ended(command(&pod, &ca).spawn().unwrap()).await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("is not a socket"), "{log}");
    assert_eq!(std::fs::read_to_string(pod.socket()).unwrap(), "precious");
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sds-agent"));
    let output = command.env_clear().envs(environment.iter().copied()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn write_config(dir: &Path, toml: &str) -> String {
    let path = dir.join("agent.toml");
    std::fs::write(&path, toml).unwrap();
    path.display().to_string()
}

#[test]
fn settings_are_checked_and_printed_with_their_origin() {
    let dir = signet_testkit::temp_dir();
    let config = write_config(dir.path(), "[ca]\naddress = 'ca:15012'\n[identity]\nttl = '1h'\n");
    let environment = [("SECRET_TTL", "2h"), ("CA_HEADER_X", "hunter2")];
    let arguments = ["run", "--config", &config, "--check-config", "--log-level", "debug"];
    let (code, out, err) = run(&arguments, &environment);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for line in [
        format!("ca.address = \"ca:15012\"  # {config}:2"),
        "identity.ttl = \"2h\"  # environment SECRET_TTL".to_owned(),
        "log.level = \"debug\"  # flag --log-level".to_owned(),
        "sds.mode = \"0600\"  # default".to_owned(),
    ] {
        assert!(out.lines().any(|l| l == line), "`{line}` is missing from\n{out}");
    }
    assert!(!out.contains("hunter2"));
}

#[test]
fn everything_wrong_with_the_settings_is_told_at_once() {
    let dir = signet_testkit::temp_dir();
    let config = write_config(dir.path(), "[identity]\nttl = 5\nrenew_ration = 0.4\n");
    let environment = [("SECRET_GRACE_PERIOD_RATIO_JITTER", "lots"), ("CA_HEADER_AUTHORIZATION", "x")];
    let (code, out, err) = run(&["run", "--config", &config, "--sds.mode", "rw"], &environment);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    for told in [
        "`identity.ttl`",
        "did you mean `identity.renew_ratio`",
        "environment SECRET_GRACE_PERIOD_RATIO_JITTER",
        "`ca.address` (default): must be set",
        "`rw` is not a file mode",
        "`authorization` is not yours to set",
    ] {
        assert!(err.contains(told), "`{told}` is missing from\n{err}");
    }
    assert_eq!(err.lines().filter(|line| line.starts_with("  ")).count(), 6, "{err}");
}

#[test]
fn help_shows_every_setting_and_an_example() {
    let (code, out, _) = run(&["run", "--help"], &[]);
    assert_eq!(code, Some(0));
    for setting in sds_agent::config::SETTINGS {
        assert!(out.contains(&format!("--{} ", setting.key.replace(['.', '_'], "-"))), "{}", setting.key);
    }
    assert!(out.contains("Examples:"));
}
