//! Real processes in real control groups and namespaces, told apart by what the kernel says of them.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::net::sockopt::socket_peercred;
use sds_agent::node::cgroup::ContainerId;
use sds_agent::node::process::{Peer, Process, ProcessError, Procfs};

const CONTAINER: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// Connects, and stays until its input ends.
const PROGRAM: &str = "import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
sys.stdin.read()";

/// The control group of a container in a pod, as a kubelet with the driver `cgroupfs` makes it.
struct Group {
    pod: PathBuf,
    uid: String,
}

impl Group {
    /// Makes it where this machine has its control groups; `None` where it does not let us.
    fn make(number: u32) -> Option<Self> {
        let hierarchy = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].into_iter().find(|dir| Path::new(dir).is_dir())?;
        let uid = format!("{:08x}-{number:04x}-4000-8000-000000000000", std::process::id());
        let pod = Path::new(hierarchy).join("kubepods").join(format!("pod{uid}"));
        fs::create_dir_all(pod.join(CONTAINER)).ok()?;
        let group = Self { pod, uid };
        group.pod.join(CONTAINER).join("cgroup.procs").is_file().then_some(group)
    }

    fn take_in(&self, pid: u32) -> io::Result<()> {
        fs::write(self.pod.join(CONTAINER).join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.pod.join(CONTAINER));
        let _ = fs::remove_dir(&self.pod);
        // Another test may still need the one above, which then stays.
        let _ = self.pod.parent().map(fs::remove_dir);
    }
}

/// A program that connects to a socket of ours, and our end of it.
struct Caller {
    program: Child,
    connection: UnixStream,
    _group: Option<Group>,
    _dir: tempfile::TempDir,
}

impl Caller {
    /// Started by `command`, which is given the program, and put into `group` before it connects.
    fn start(command: &[&str], group: Option<Group>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        // Nothing is started before it is in its group: what it starts is then there as well.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"read go; exec "$@""#, "sh"]).args(command).args(["python3", "-c", PROGRAM]);
        let mut program = shell.arg(&socket).stdin(Stdio::piped()).spawn().unwrap();
        if let Some(group) = &group {
            group.take_in(program.id()).unwrap();
        }
        program.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let (connection, _) = listener.accept().unwrap();
        Self { program, connection, _group: group, _dir: dir }
    }

    fn look(&self) -> Result<Process, ProcessError> {
        let peer = socket_peercred(&self.connection).unwrap();
        let pid = Some(peer.pid.as_raw_nonzero().get());
        Procfs::new("/proc".into()).process(Peer { pid, uid: peer.uid.as_raw(), gid: peer.gid.as_raw() })
    }

    fn end(&mut self) {
        self.program.stdin.take();
        self.program.wait().unwrap();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.end();
    }
}

fn left_out() {
    println!("left out: this machine does not let us make control groups");
}

#[test]
fn processes_in_real_control_groups_are_known_by_their_pods_until_they_end() {
    let (Some(one), Some(other)) = (Group::make(1), Group::make(2)) else { return left_out() };
    let uids = [one.uid.clone(), other.uid.clone()];
    let mut callers = [one, other].map(|group| Caller::start(&["env"], Some(group)));
    let processes = callers.each_ref().map(|caller| caller.look().unwrap());
    assert_eq!(processes.each_ref().map(|process| process.owner().pod.to_string()), uids);
    for process in &processes {
        assert_eq!(process.owner().container.as_ref().map(ContainerId::as_str), Some(CONTAINER));
        process.check().unwrap();
    }
    callers[0].end();
    assert_eq!(processes[0].check().unwrap_err().reason(), "gone");
    assert_eq!(callers[0].look().unwrap_err().reason(), "gone");
    processes[1].check().unwrap();
}

#[test]
fn a_process_in_a_process_namespace_of_its_own_is_known_by_its_pod() {
    let Some(group) = Group::make(3) else { return left_out() };
    let uid = group.uid.clone();
    let caller = Caller::start(&["unshare", "--pid", "--fork"], Some(group));
    assert_eq!(caller.look().unwrap().owner().pod.to_string(), uid);
}

#[test]
fn a_process_of_the_machine_is_in_no_pod() {
    let caller = Caller::start(&["env"], None);
    assert_eq!(caller.look().unwrap_err().reason(), "not_in_pod");
}
