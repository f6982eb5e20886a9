//! A program under test, as a child process whose words are kept.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// How many lines of a process are kept; the oldest go first.
pub const LINES_MAX: usize = 20_000;
/// How many of them a failed test shows.
const LINES_SHOWN: usize = 200;
/// How long a process may take to end after it was told to.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A running program. It is killed with this value, and shows what it said if the test failed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

impl Process {
    /// Starts `command`, keeping what it writes to stdout and stderr.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(name: &str, command: &mut Command) -> Self {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => panic!("`{name}` could not be started as {command:?}: {error}"),
        };
        let output = Arc::new(Output::default());
        if let Some(stdout) = child.stdout.take() {
            output.follow(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            output.follow(stderr);
        }
        Self { name: name.to_owned(), child, output }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Every line that was kept so far, stdout and stderr in order of arrival.
    pub fn lines(&self) -> Vec<String> {
        self.output.lock().lines.iter().cloned().collect()
    }

    /// The kept lines that contain `part`.
    pub fn lines_with(&self, part: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(part)).collect()
    }

    /// The first line that contains `part`, said already or yet to come.
    ///
    /// # Panics
    /// When none came within `timeout`, or none can come because the process closed its output.
    #[track_caller]
    pub fn wait_for_line(&self, part: &str, timeout: Duration) -> String {
        match self.output.find(part, timeout) {
            Ok(line) => line,
            Err(reason) => panic!("`{}` did not say `{part}`: {reason}", self.name),
        }
    }

    /// How the process ended; nothing while it runs.
    ///
    /// # Panics
    /// When the kernel will not say.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be waited for")
    }

    /// How the process ended, once it has.
    ///
    /// # Panics
    /// When it still runs after `timeout`.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let what = format!("`{}` ends", self.name);
        eventually(timeout, &what, || self.exit_status().ok_or_else(|| "it runs".to_owned()))
    }

    /// Asks the process to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it still runs after [`STOP_TIMEOUT`].
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        if self.exit_status().is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).expect("a child of ours can be signalled");
        }
        self.wait(STOP_TIMEOUT)
    }

    /// Ends the process without asking (SIGKILL).
    ///
    /// # Panics
    /// When the kernel will not.
    pub fn kill(&mut self) -> ExitStatus {
        self.child.kill().expect("a child of ours can be killed");
        self.child.wait().expect("a child of ours can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let status = self.kill();
        if !thread::panicking() {
            return;
        }
        let lines = self.lines();
        let shown = lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN));
        eprintln!("---- `{}` ({status}) said:", self.name);
        shown.for_each(|line| eprintln!("{line}"));
    }
}

/// What a process has said so far. Threads write, tests read.
#[derive(Debug, Default)]
struct Output {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: VecDeque<String>,
    streams_open: usize,
}

impl Output {
    /// Keeps the lines of `stream` until it closes. The thread ends with the stream, which the
    /// process and everything it started hold open; nobody waits for it.
    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        self.lock().streams_open += 1;
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            while matches!(stream.read_until(b'\n', &mut bytes), Ok(1..)) {
                output.push(String::from_utf8_lossy(&bytes).trim_end().to_owned());
                bytes.clear();
            }
            output.lock().streams_open -= 1;
            output.changed.notify_all();
        });
    }

    fn push(&self, line: String) {
        let mut said = self.lock();
        if said.lines.len() == LINES_MAX {
            said.lines.pop_front();
        }
        said.lines.push_back(line);
        self.changed.notify_all();
    }

    fn find(&self, part: &str, timeout: Duration) -> Result<String, String> {
        let deadline = Instant::now() + timeout;
        let mut said = self.lock();
        loop {
            if let Some(line) = said.lines.iter().find(|line| line.contains(part)) {
                return Ok(line.clone());
            }
            if said.streams_open == 0 {
                return Err("it closed its output".to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("waited {timeout:?}"));
            }
            let waited = self.changed.wait_timeout(said, left);
            said = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
