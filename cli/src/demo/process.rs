//! A program run for the demo: its output in a file, killed when dropped.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::error::DemoError;

/// How to start one program, again and again.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
    /// Its working directory, and where its log goes.
    pub(crate) dir: PathBuf,
}

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Program {
    /// Starts it; output is appended to `<dir>/<name>.log`.
    pub(crate) fn start(&self) -> Result<Process, DemoError> {
        let log = || {
            let path = self.log();
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(DemoError::io(format!("open `{}`", path.display())))
        };
        let child = Command::new(&self.path)
            .args(&self.args)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .kill_on_drop(true)
            .spawn()
            .map_err(DemoError::io(format!("start `{}`", self.path.display())))?;
        Ok(Process { child, name: self.name.clone() })
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    /// The directory it runs in.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Process {
    /// SIGKILL, as a crash or a lost node would do, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<ExitStatus, DemoError> {
        self.child.start_kill().map_err(DemoError::io(format!("kill `{}`", self.name)))?;
        self.child.wait().await.map_err(DemoError::io(format!("wait for `{}`", self.name)))
    }

    /// SIGTERM. A process that is gone already needs none.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}
