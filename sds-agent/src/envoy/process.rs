//! Envoy as a process: started so that it does not outlive the agent, told signals, and seen to its end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};

use super::supervision::End;

/// This very program, also after its file has been replaced.
const SELF: &str = "/proc/self/exe";

/// The verb by which this program becomes another one: `exec-beside PID PROGRAM ARGUMENTS`.
pub const EXEC_BESIDE: &str = "exec-beside";

/// How to start Envoy, again and again.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Its program.
    pub program: PathBuf,
    /// Its command line.
    pub arguments: Vec<OsString>,
}

/// A process that was started. It is killed with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pid: Option<Pid>,
}

impl Launch {
    /// Starts it, in a process group of its own, so that a terminal's interrupt reaches the agent alone.
    ///
    /// Between fork and exec nothing safe could tie the child to our life, so this program is started, ties itself, and
    /// then becomes the other one. The kernel watches the thread that starts it, which must therefore be one that lives
    /// as long as the process: the agent has no other.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn start(&self) -> io::Result<Running> {
        let child = Command::new(SELF)
            .arg0("sds-agent")
            .arg(EXEC_BESIDE)
            .arg(getpid().to_string())
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Running { child, pid })
    }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.map_or(0, |pid| pid.as_raw_nonzero().get())
    }

    /// Tells it a signal. One that is gone needs none.
    pub fn signal(&self, signal: Signal) {
        // Not yet waited for, so the id is nobody else's.
        if let Some(pid) = self.pid.filter(|_| self.child.id().is_some())
            && let Err(error) = kill_process(pid, signal)
        {
            tracing::warn!(%error, ?signal, "envoy cannot be signalled");
        }
    }

    /// Waits for its end. Losing this future loses nothing.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub async fn ended(&mut self) -> io::Result<End> {
        self.child.wait().await.map(end)
    }
}

fn end(status: ExitStatus) -> End {
    let number = |number: Option<i32>| number.and_then(|number| u8::try_from(number).ok());
    match number(status.signal()) {
        Some(signal) => End::Signal(signal),
        None => End::Status(number(status.code()).unwrap_or(u8::MAX)),
    }
}

/// Becomes `program` in place of this process, and ends when the process `parent`, which must have started this one, ends.
/// Returns only when that fails.
pub fn exec_beside(parent: &OsStr, program: &OsStr, arguments: impl IntoIterator<Item = OsString>) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // It may have ended before the kernel was told to watch it.
    if getppid().is_none_or(|pid| OsStr::new(&pid.to_string()) != parent) {
        return io::Error::other("whoever started this is gone");
    }
    std::process::Command::new(program).args(arguments).exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_as_a_shell_would() {
        let check = |raw: i32, code: u8| assert_eq!(end(ExitStatus::from_raw(raw)).code(), code, "{raw:#x}");
        check(0, 0);
        check(1 << 8, 1);
        check(255 << 8, 255);
        check(9, 137);
        check(6 | 0x80, 134);
    }

    #[test]
    fn nothing_is_started_for_a_stranger() {
        let error = exec_beside(OsStr::new("1000000000"), OsStr::new("true"), []);
        assert_eq!(error.to_string(), "whoever started this is gone");
        set_parent_process_death_signal(None).unwrap();
    }
}
