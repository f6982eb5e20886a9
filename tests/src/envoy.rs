//! A real Envoy: started from a configuration, asked through its admin interface.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http;
use crate::process::Process;
use crate::programs::installed;
use crate::wait::eventually;
use crate::workdir::Workdir;

/// The Envoy that `SIGNET_ENVOY` names, or else the one that `cargo xtask envoy` installed.
///
/// # Panics
/// When there is none, with what to run.
#[track_caller]
pub fn program() -> PathBuf {
    installed("SIGNET_ENVOY", "envoy", "envoy-venv/envoy")
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: PathBuf,
}

impl Envoy {
    /// Starts Envoy in `workdir`, so that relative paths in `config` lie there. The admin interface
    /// is added to `config`, on a Unix socket; `name` tells several Envoys apart.
    ///
    /// # Panics
    /// When there is no Envoy, or it cannot be started.
    #[track_caller]
    pub fn start(workdir: &Workdir, name: &str, mut config: Value) -> Self {
        let admin = workdir.socket(&format!("{name}-admin.sock"));
        config["admin"] = json!({"address": {"pipe": {"path": admin}}});
        let config = workdir.write(&format!("{name}.json"), config.to_string());
        let mut command = Command::new(program());
        command.current_dir(workdir.path()).arg("--config-path").arg(config);
        // Without a base id of its own, a second Envoy on the machine refuses to start.
        command.args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"]);
        Self { process: Process::start(name, &mut command), admin }
    }

    /// The process, for its log and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The Unix socket of the admin interface.
    pub fn admin_socket(&self) -> &Path {
        &self.admin
    }

    /// Waits until Envoy is `LIVE`: static listeners accept and hold their secrets.
    ///
    /// # Panics
    /// When it ended, or is not live after `timeout`.
    #[track_caller]
    pub fn wait_ready(&mut self, timeout: Duration) {
        eventually(timeout, "Envoy is live", || {
            if let Some(status) = self.process.exit_status() {
                panic!("Envoy ended with {status}");
            }
            match http::get_unix(&self.admin, "/ready") {
                Ok(response) if response.status == 200 => Ok(()),
                Ok(response) => Err(response.body),
                Err(error) => Err(error.to_string()),
            }
        });
    }

    /// The body of an answer of the admin interface.
    ///
    /// # Panics
    /// When it does not answer with 200.
    #[track_caller]
    pub fn admin_get(&self, path: &str) -> String {
        match http::get_unix(&self.admin, path) {
            Ok(response) if response.status == 200 => response.body,
            other => panic!("Envoy's admin interface refused `{path}`: {other:?}"),
        }
    }

    /// One counter or gauge by its full name; nothing if Envoy has none of that name.
    ///
    /// # Panics
    /// As for [`Envoy::admin_get`].
    #[track_caller]
    pub fn stat(&self, name: &str) -> Option<u64> {
        self.stats(&format!("^{}$", name.replace('.', r"\."))).remove(name)
    }

    /// The counters and gauges whose name matches a regular expression.
    ///
    /// # Panics
    /// As for [`Envoy::admin_get`].
    #[track_caller]
    pub fn stats(&self, regex: &str) -> BTreeMap<String, u64> {
        let text = self.admin_get(&format!("/stats?filter={}", percent_encode(regex)));
        let stats = text.lines().filter_map(|line| line.rsplit_once(": "));
        stats.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    }

    /// The certificates that Envoy holds, as `/certs` tells them.
    ///
    /// # Panics
    /// As for [`Envoy::admin_get`].
    #[track_caller]
    pub fn certs(&self) -> Value {
        self.admin_json("/certs")
    }

    /// One part of the configuration dump, such as `dynamic_active_secrets`.
    ///
    /// # Panics
    /// As for [`Envoy::admin_get`].
    #[track_caller]
    pub fn config_dump(&self, resource: &str) -> Value {
        self.admin_json(&format!("/config_dump?resource={resource}"))
    }

    /// Ends Envoy without asking (SIGKILL).
    ///
    /// # Panics
    /// When the kernel will not.
    pub fn kill(&mut self) -> ExitStatus {
        self.process.kill()
    }

    #[track_caller]
    fn admin_json(&self, path: &str) -> Value {
        let text = self.admin_get(path);
        match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => panic!("Envoy's answer to `{path}` is not JSON ({error}): {text}"),
        }
    }
}

/// Leaves what RFC 3986 section 2.3 calls unreserved.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::percent_encode;

    #[test]
    fn a_regular_expression_survives_a_query() {
        assert_eq!(percent_encode(r"^sds\.a_b$"), "%5Esds%5C.a_b%24");
    }
}
