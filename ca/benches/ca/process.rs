//! The server as its own process: what it says, what it uses, and its end.

use std::error::Error;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::material::Material;
use crate::stats::{any_core, pin_to};

/// How long a start may take.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// Processor time is counted in these by the scheduler.
const NANOS: f64 = 1e9;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) root_pem: String,
}

impl Server {
    /// Starts one in a directory of its own below `name`; on `core` alone, if one is given.
    pub(crate) fn start(
        material: &Material,
        name: &str,
        settings: &[(&str, String)],
        core: Option<usize>,
    ) -> Result<Self, Box<dyn Error>> {
        let dir = material.dir(name)?;
        let log = dir.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_signet-ca"));
        command.env_clear().arg("run").args(["--log.format", "json"]).stderr(File::create(&log)?);
        for (key, value) in material.settings(&dir).iter().chain(settings) {
            command.arg(format!("--{key}")).arg(value);
        }
        // A child runs where its parent does.
        match core {
            Some(core) => pin_to(core)?,
            None => any_core()?,
        }
        let child = command.spawn();
        any_core()?;
        let mut started = Started { child: Some(child?), log };
        let said = started.said()?;
        let address = |key: &str| -> Result<SocketAddr, Box<dyn Error>> {
            Ok(said.get(key).and_then(Value::as_str).ok_or("the server should say where it listens")?.parse()?)
        };
        let (listen, admin) = (address("listen")?, address("admin")?);
        let root_pem = fs::read_to_string(dir.join("state/root-cert.pem"))?;
        let child = started.child.take().ok_or("the server should run")?;
        Ok(Self { child, listen, admin, root_pem })
    }

    /// Seconds of processor time that all its threads have used.
    pub(crate) fn cpu_secs(&self) -> Result<f64, Box<dyn Error>> {
        let mut nanos = 0.0;
        for thread in fs::read_dir(self.proc("task"))? {
            // A thread that ends while it is looked at used next to nothing.
            let used = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanos += used.split(' ').next().and_then(|used| used.parse::<f64>().ok()).unwrap_or_default();
        }
        Ok(nanos / NANOS)
    }

    /// Bytes of memory that it holds now, and held at most.
    pub(crate) fn memory(&self) -> Result<(u64, u64), Box<dyn Error>> {
        let status = fs::read_to_string(self.proc("status"))?;
        let kibibytes = |key: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let now = kibibytes("VmRSS:").ok_or("a process should have memory")?;
        let most = kibibytes("VmHWM:").ok_or("a process should have memory")?;
        Ok((1024 * now, 1024 * most))
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that has not said anything yet.
struct Started {
    child: Option<Child>,
    log: PathBuf,
}

impl Started {
    /// The line that says where it listens.
    fn said(&mut self) -> Result<Value, Box<dyn Error>> {
        let until = Instant::now() + START_DEADLINE;
        loop {
            let said = fs::read_to_string(&self.log)?;
            let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.into_iter().find(|line| line.get("message").is_some_and(|said| said == "serving"))
            {
                return Ok(line);
            }
            let ended = self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > until {
                return Err(format!("the server did not start: {said}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
