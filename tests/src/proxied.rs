//! A workload whose agent starts its Envoy: `sds-agent proxy` as a process, and what it is asked.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::mesh::Workload;
use crate::{Process, bin, envoy, eventually, free_port, http};

/// `sds-agent proxy` beside a workload.
#[derive(Debug)]
pub struct Proxied {
    /// The agent's process, which started Envoy.
    pub process: Process,
    dir: PathBuf,
    ready_port: u16,
    admin_port: u16,
}

impl Proxied {
    /// Starts the agent of `workload` with an Envoy whose bootstrap is made from `template`; `settings` are more lines
    /// of its command line, before the dashes that end them.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(workload: &Workload, role: &str, template: Option<&Value>, settings: &[&str]) -> Self {
        Self::start_as(workload, &format!("proxy {role}"), template, settings, &envoy::program())
    }

    /// The same with another program in Envoy's place.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start_as(
        workload: &Workload,
        verb: &str,
        template: Option<&Value>,
        settings: &[&str],
        program: &std::path::Path,
    ) -> Self {
        let (dir, ready_port, admin_port) = (workload.dir().to_owned(), free_port(), free_port());
        let mut command = Command::new(bin("sds-agent"));
        command.current_dir(&dir).args(verb.split(' ')).args(["--config", "agent.toml"]);
        command
            .args(["--proxy-admin", "unix:admin.sock", "--proxy-ready-listen"])
            .arg(format!("127.0.0.1:{ready_port}"));
        command.arg("--proxy-envoy").arg(program);
        command.arg("--admin-listen").arg(format!("127.0.0.1:{admin_port}"));
        if let Some(template) = template {
            fs::write(dir.join("template.json"), template.to_string()).expect("the template can be written");
            command.args(["--proxy-template", "template.json"]);
        }
        command.args(settings).args(["--", "--concurrency", "1"]);
        Self { process: Process::start(verb, &mut command), dir, ready_port, admin_port }
    }

    /// Envoy's process id.
    ///
    /// # Panics
    /// When none was started in time.
    #[track_caller]
    pub fn envoy_pid(&self) -> u32 {
        let said = self.process.wait_for_line("envoy started", Duration::from_secs(30));
        let said = self.process.lines_with("envoy started").pop().unwrap_or(said);
        let pid = said.split("pid=").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|pid| pid.parse().ok());
        pid.expect("the line holds the process id")
    }

    /// The socket of Envoy's admin interface.
    pub fn admin_socket(&self) -> PathBuf {
        self.dir.join("admin.sock")
    }

    /// Waits until readiness is this, with `part` in the body.
    ///
    /// # Panics
    /// When it is not in time.
    #[track_caller]
    pub fn wait_readiness(&self, status: u16, part: &str, timeout: Duration) {
        eventually(timeout, &format!("readiness is {status} with `{part}`"), || {
            let page = http::get(self.ready_port, "/healthz/ready").map_err(|error| error.to_string())?;
            let found = page.status == status && page.body.contains(part);
            if found { Ok(()) } else { Err(format!("{} {}", page.status, page.body)) }
        });
    }

    /// Port of readiness.
    pub fn ready_port(&self) -> u16 {
        self.ready_port
    }

    /// Port of metrics and of what is asked from the same pod.
    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }
}
