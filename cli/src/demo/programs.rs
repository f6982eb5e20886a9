//! Finding the programs that the demo runs.

use std::path::PathBuf;

use tokio::process::Command;

use super::error::DemoError;

/// Where everything is.
pub(crate) struct Programs {
    pub(crate) ca: PathBuf,
    pub(crate) agent: PathBuf,
    pub(crate) envoy: PathBuf,
    pub(crate) envoy_version: String,
    pub(crate) signet: PathBuf,
}

impl Programs {
    /// Looks beside this program for ours, and at `SIGNET_ENVOY` or on the path for Envoy.
    pub(crate) async fn find() -> Result<Self, DemoError> {
        let signet = std::env::current_exe().map_err(DemoError::io("find this program"))?;
        let beside = |name: &str| {
            let path = signet.with_file_name(name);
            if path.is_file() { Ok(path) } else { Err(DemoError::Program { path }) }
        };
        let envoy = std::env::var_os("SIGNET_ENVOY").map_or_else(|| PathBuf::from("envoy"), PathBuf::from);
        let (ca, agent) = (beside("signet-ca")?, beside("sds-agent")?);
        let envoy_version = version(&envoy).await?;
        Ok(Self { ca, agent, envoy, envoy_version, signet })
    }
}

/// The number in `<path>  version: <commit>/<number>/<state>/<kind>/<library>`.
async fn version(envoy: &PathBuf) -> Result<String, DemoError> {
    let output = Command::new(envoy)
        .arg("--version")
        .output()
        .await
        .map_err(|source| DemoError::Envoy { command: envoy.clone(), source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split_once("version:").and_then(|(_, words)| words.split('/').nth(1));
    Ok(number.unwrap_or("of unknown version").to_owned())
}
