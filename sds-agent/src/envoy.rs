//! An Envoy that the agent starts, watches over, drains and ends.
//!
//! What is decided stands in pure modules: what Envoy is started with ([`bootstrap`], [`arguments`]), what is done about
//! its process ([`supervision`]), what its statistics mean ([`stats`]). The rest does it. Must not know how identities
//! are obtained.

use std::ffi::OsString;
use std::path::PathBuf;

use signet_runtime::files::{self, FileError};

use crate::config::Config;

pub mod admin;
pub mod arguments;
pub mod bootstrap;
mod client;
pub mod process;
pub mod stats;
pub mod supervision;
pub mod supervisor;

use bootstrap::{Node, Role, TEMPLATE_MAX_BYTES, TemplateError};
use process::Launch;

/// What is asked for on the command line.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which form of proxy.
    pub role: Role,
    /// What Envoy is to be given beside what the agent gives it.
    pub arguments: Vec<OsString>,
}

/// Why Envoy's bootstrap cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The template cannot be read, or the bootstrap not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The template is not text.
    #[error("template `{0}` is not UTF-8 (proxy.template)")]
    NotText(PathBuf),
    /// The template is not understood.
    #[error("template `{path}` (proxy.template): {source}")]
    Template {
        /// The template.
        path: PathBuf,
        /// What is wrong with it.
        source: TemplateError,
    },
}

/// Writes Envoy's bootstrap, unless the operator brings a configuration; how to start it then.
///
/// # Errors
/// [`BootstrapError`].
pub fn prepare(request: &Request, config: &Config) -> Result<Launch, BootstrapError> {
    let launch = |arguments| Launch { program: config.proxy.envoy.clone(), arguments };
    let (given, node) = (&request.arguments, Node::new(request.role, config));
    let overlay = bootstrap::overlay(config);
    if arguments::bring_configuration(given) {
        return Ok(launch(arguments::arguments(given, None, Some(&overlay))));
    }
    let path = &config.proxy.bootstrap;
    let Some(template) = &config.proxy.template else {
        write(path, &bootstrap::built_in(config, &node).to_string())?;
        return Ok(launch(arguments::arguments(given, Some(path), None)));
    };
    let bytes = files::read(template, TEMPLATE_MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| BootstrapError::NotText(template.clone()))?;
    let made = bootstrap::from_template(&text, config, &node);
    let made = made.map_err(|source| BootstrapError::Template { path: template.clone(), source })?;
    write(path, &made)?;
    Ok(launch(arguments::arguments(given, Some(path), Some(&overlay))))
}

fn write(path: &std::path::Path, text: &str) -> Result<(), FileError> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        files::create_secret_dir(dir)?;
    }
    files::replace(path, text.as_bytes(), files::SECRET_MODE)
}
