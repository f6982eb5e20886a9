//! The process at the other end of a connection, held fast so that no other one is taken for it.
//!
//! Its directory in procfs is opened when the connection comes and kept open: once the process is gone, nothing can be
//! read there any more, whoever has its number by then. That the number was not somebody else's already is seen by the
//! user and group, which the kernel noted when the connection was made. Knows nothing of pods beyond the path that
//! leads to one.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, openat};

use super::cgroup::{self, CGROUP_MAX_BYTES, CgroupError, Owner};

/// Largest `stat` or `status` that is looked at, in bytes.
const STATUS_MAX_BYTES: usize = 16 * 1024;

/// The field of `stat` that tells when the process started, counted from the one after the command's name, from zero.
const START_FIELD: usize = 19;

/// Who the kernel says is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The process, by its number where we are; none where it cannot be seen from here.
    pub pid: Option<i32>,
    /// The user it acts as.
    pub uid: u32,
    /// The group it acts as.
    pub gid: u32,
}

/// Why a process is not known.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It lives in a namespace of processes that cannot be seen from here.
    #[error("caller's process cannot be seen from here, the agent must share the node's process namespace (`hostPID`)")]
    Hidden,
    /// It has ended.
    #[error("caller's process is gone")]
    Gone,
    /// Its number has been given to another one.
    #[error("caller's process is another one by now")]
    Reused,
    /// It is there and cannot be looked at.
    #[error("caller's process cannot be looked at: {0}")]
    Unreadable(#[source] io::Error),
    /// It is in no pod that can be told.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

impl ProcessError {
    /// A stable word for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Gone => "gone",
            Self::Reused => "reused",
            Self::Unreadable(_) => "unreadable",
            Self::Cgroup(CgroupError::NotInPod { .. }) => "not_in_pod",
            Self::Cgroup(_) => "control_groups",
        }
    }
}

/// Where processes are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Procfs(PathBuf);

impl Procfs {
    /// A procfs (proc(5)), usually `/proc`.
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }

    /// The process of `peer`, which has just connected.
    ///
    /// # Errors
    /// Every variant of [`ProcessError`].
    pub fn process(&self, peer: Peer) -> Result<Process, ProcessError> {
        let pid = peer.pid.filter(|pid| *pid > 0).ok_or(ProcessError::Hidden)?;
        let dir =
            open(self.0.join(pid.to_string()), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let dir = dir.map_err(|error| failed(error.into()))?;
        let started = started(&dir)?;
        if acts_as(&read(&dir, "status", STATUS_MAX_BYTES)?) != Some((peer.uid, peer.gid)) {
            return Err(ProcessError::Reused);
        }
        let owner = cgroup::owner(&read(&dir, "cgroup", CGROUP_MAX_BYTES)?)?;
        let process = Process { dir, started, owner };
        // Whatever was read was read of one and the same process.
        process.check()?;
        Ok(process)
    }
}

/// A process that was there when it was looked at.
#[derive(Debug)]
pub struct Process {
    dir: OwnedFd,
    /// In clock ticks since the machine started.
    started: u64,
    owner: Owner,
}

impl Process {
    /// Whom it belongs to.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether it is still there and the same.
    ///
    /// # Errors
    /// [`ProcessError::Gone`], [`ProcessError::Reused`], [`ProcessError::Unreadable`].
    pub fn check(&self) -> Result<(), ProcessError> {
        if started(&self.dir)? == self.started { Ok(()) } else { Err(ProcessError::Reused) }
    }
}

fn started(dir: &OwnedFd) -> Result<u64, ProcessError> {
    let stat = read(dir, "stat", STATUS_MAX_BYTES)?;
    let unreadable = || ProcessError::Unreadable(io::Error::new(io::ErrorKind::InvalidData, "`stat` is malformed"));
    start_time(&stat).ok_or_else(unreadable)
}

/// The command's name may hold anything but stands in the last parentheses (proc_pid_stat(5)).
fn start_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(START_FIELD)?.parse().ok()
}

/// The effective user and group (proc_pid_status(5)).
fn acts_as(status: &str) -> Option<(u32, u32)> {
    let effective = |name: &str| {
        let ids = status.lines().find_map(|line| line.strip_prefix(name))?;
        ids.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    Some((effective("Uid:")?, effective("Gid:")?))
}

fn read(dir: &OwnedFd, name: &str, max: usize) -> Result<String, ProcessError> {
    let file = openat(dir, Path::new(name), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let mut file = File::from(file.map_err(|error| failed(error.into()))?).take(max as u64);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    // A command's name is any bytes.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn failed(error: io::Error) -> ProcessError {
    let is_gone =
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
    if is_gone { ProcessError::Gone } else { ProcessError::Unreadable(error) }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    const POD: &str = "0::/kubepods/pod6a4b7c8d-1e2f-4a3b-9c8d-0123456789ab\n";

    fn own(pid: u32) -> Peer {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Peer { pid: i32::try_from(pid).ok(), uid, gid }
    }

    /// A procfs with one process, which is us but for its control groups.
    struct Faked(tempfile::TempDir);

    impl Faked {
        fn new(cgroup: &str) -> Self {
            let faked = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir(faked.0.path().join("7")).unwrap();
            for name in ["stat", "status"] {
                faked.write(name, &std::fs::read_to_string(format!("/proc/self/{name}")).unwrap());
            }
            faked.write("cgroup", cgroup);
            faked
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.0.path().join("7").join(name), content).unwrap();
        }

        fn process(&self, peer: Peer) -> Result<Process, ProcessError> {
            Procfs::new(self.0.path().to_owned()).process(peer)
        }
    }

    fn asleep() -> Child {
        Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_process_in_a_pod_is_known_while_it_is_the_same() {
        let faked = Faked::new(POD);
        let process = faked.process(own(7)).unwrap();
        assert_eq!(process.owner().pod.to_string(), "6a4b7c8d-1e2f-4a3b-9c8d-0123456789ab");
        process.check().unwrap();
        faked.write("stat", "7 (a) b) S 1 1 1 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1\n");
        assert_eq!(process.check().unwrap_err().reason(), "reused");
    }

    #[test]
    fn a_number_that_was_given_to_another_users_process_is_seen() {
        let faked = Faked::new(POD);
        let peer = own(7);
        for other in [Peer { uid: peer.uid + 1, ..peer }, Peer { gid: peer.gid + 1, ..peer }] {
            assert_eq!(faked.process(other).unwrap_err().reason(), "reused");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        let faked = Faked::new(POD);
        for pid in [None, Some(0), Some(-1)] {
            assert_eq!(faked.process(Peer { pid, ..own(7) }).unwrap_err().reason(), "hidden");
        }
        assert_eq!(faked.process(own(8)).unwrap_err().reason(), "gone");
        faked.write("stat", "7 (a\n");
        assert_eq!(faked.process(own(7)).unwrap_err().reason(), "unreadable");
    }

    #[test]
    fn a_process_that_has_ended_is_gone_though_its_directory_is_held() {
        let proc = Procfs::new("/proc".into());
        let mut child = asleep();
        let dir = open(format!("/proc/{}", child.id()), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        started(&dir).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(started(&dir).unwrap_err().reason(), "gone");
        assert_eq!(proc.process(own(child.id())).unwrap_err().reason(), "gone");
    }

    #[test]
    fn this_process_is_looked_at_as_it_is() {
        let dir = open("/proc/self", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        assert!(started(&dir).unwrap() > 0);
        let peer = own(std::process::id());
        assert_eq!(acts_as(&read(&dir, "status", STATUS_MAX_BYTES).unwrap()), Some((peer.uid, peer.gid)));
        let content = read(&dir, "cgroup", CGROUP_MAX_BYTES).unwrap();
        let found = Procfs::new("/proc".into()).process(peer);
        match (cgroup::owner(&content), found) {
            (Ok(owner), Ok(process)) => assert_eq!(*process.owner(), owner),
            (Err(error), Err(ProcessError::Cgroup(found))) => assert_eq!(found, error),
            (_, found) => panic!("{found:?}"),
        }
    }
}
