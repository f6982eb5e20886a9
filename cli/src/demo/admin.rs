//! Asking Envoy's admin endpoint, over its Unix socket.

use std::path::{Path, PathBuf};

use super::error::DemoError;
use crate::http;

/// One Envoy's admin endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    socket: PathBuf,
}

impl Admin {
    /// The endpoint at `socket`.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Where it is.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether Envoy says that it is live.
    pub(crate) async fn is_live(&self) -> Result<(), String> {
        let answer = http::get_unix(&self.socket, "/ready").await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.body.trim().to_owned()) }
    }

    /// The sum of all counters whose name matches `filter`, a regular expression.
    pub(crate) async fn count(&self, filter: &str) -> Result<u64, DemoError> {
        let answer = http::get_unix(&self.socket, &format!("/stats?filter={filter}")).await;
        let answer = answer.map_err(|reason| DemoError::Ask { what: self.socket.display().to_string(), reason })?;
        let values = answer.body.lines().filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok());
        Ok(values.sum())
    }

    /// The serial of the leaf that Envoy itself says it holds, lower case.
    pub(crate) async fn leaf_serial(&self) -> Option<String> {
        let answer = http::get_unix(&self.socket, "/certs").await.ok()?;
        let certs: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
        let leaf =
            certs.get("certificates")?.as_array()?.iter().find_map(|entry| entry.get("cert_chain")?.get(0).cloned())?;
        Some(leaf.get("serial_number")?.as_str()?.to_lowercase())
    }
}
