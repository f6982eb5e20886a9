//! What `decide` and `explain` are given: manifests, keys, and one request in a file or by flags.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use signet_identity::JwkSet;
use signet_policy::{ReadOptions, Severity, Sources, World, check};
use signet_runtime::Clock;

use super::ask::{Answered, Around, ask};
use super::question::{At, Caller, HttpPart, Lines, Question, REQUEST_MAX_BYTES, To};
use super::{PolicyError, files};
use crate::output;

/// Manifests and a request.
#[derive(Debug, clap::Args)]
pub(crate) struct Given {
    /// Files and directories of policies and of what they select, or `-` for stdin.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,

    /// A file with the request, YAML or JSON, instead of the flags below.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workload", "to_namespace", "port", "identity", "method", "host", "path", "headers", "source_ip", "at"])]
    request: Option<PathBuf>,

    /// Keys (a JSON Web Key Set) for tokens of issuers whose policies hold none themselves.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,

    /// Where it is enforced.
    #[arg(long, value_enum, default_value_t)]
    at: At,

    /// The workload that is called, among the manifests.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    workload: Option<String>,

    /// The namespace of the workload that is called, when it is not among them.
    #[arg(long, value_name = "NAMESPACE")]
    to_namespace: Option<String>,

    /// A label of that workload, repeatable.
    #[arg(long = "label", value_name = "NAME=VALUE", requires = "to_namespace")]
    labels: Vec<String>,

    /// The workload's port.
    #[arg(long)]
    port: Option<u16>,

    /// The caller's SPIFFE id; without it the call is plaintext.
    #[arg(long = "from", value_name = "SPIFFE_ID")]
    identity: Option<String>,

    /// The caller's address.
    #[arg(long, value_name = "IP")]
    source_ip: Option<IpAddr>,

    /// The method; GET where another part of an HTTP request is given.
    #[arg(long)]
    method: Option<String>,

    /// The host, with its port if it has one.
    #[arg(long)]
    host: Option<String>,

    /// The path with its query, as received.
    #[arg(long)]
    path: Option<String>,

    /// A header, repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

/// The texts and what was read from them.
pub(crate) struct Read {
    pub(crate) sources: Sources,
    pub(crate) world: World,
}

impl Given {
    /// Reads everything and asks.
    pub(crate) fn answer(&self) -> Result<(Read, Question, Answered), PolicyError> {
        let read = read(&self.paths, &self.namespace)?;
        let question = match &self.request {
            Some(path) => parse(&small(path)?, path)?,
            None => self.by_flags()?,
        };
        let keys = self.jwks.as_deref().map(keys).transpose()?;
        let now = Clock::system().now().into();
        let answered = ask(&read.world, &question, &Around { keys: keys.as_ref(), now })?;
        Ok((read, question, answered))
    }

    fn by_flags(&self) -> Result<Question, PolicyError> {
        let port = self.port.ok_or_else(|| PolicyError::Request("`--port` is missing".to_owned()))?;
        let labels = labels(&self.labels)?;
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for header in &self.headers {
            let (name, value) = pair(header, ':')?;
            headers.entry(name).or_default().push(value);
        }
        let is_http = self.method.is_some() || self.host.is_some() || self.path.is_some() || !headers.is_empty();
        let http = is_http.then(|| HttpPart {
            method: self.method.clone().unwrap_or_else(|| "GET".to_owned()),
            host: self.host.clone().unwrap_or_default(),
            path: self.path.clone().unwrap_or_else(|| "/".to_owned()),
            headers: headers.into_iter().map(|(name, lines)| (name, Lines::Many(lines))).collect(),
        });
        let to =
            To { workload: self.workload.clone(), namespace: self.to_namespace.clone(), labels, port, ..To::default() };
        let mut from = Caller { identity: self.identity.clone(), ..Caller::default() };
        from.ip = self.source_ip.unwrap_or(from.ip);
        Ok(Question { at: self.at, to, from, http, claims: None })
    }
}

/// Labels of a workload, each `NAME=VALUE`.
pub(crate) fn labels(texts: &[String]) -> Result<BTreeMap<String, String>, PolicyError> {
    texts.iter().map(|text| pair(text, '=')).collect()
}

fn pair(text: &str, at: char) -> Result<(String, String), PolicyError> {
    let wrong = || PolicyError::Request(format!("`{text}` has no `{at}`"));
    let (name, value) = text.split_once(at).ok_or_else(wrong)?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Reads manifests; what is wrong with them is told, and nothing is decided when something could not be read.
pub(crate) fn read(paths: &[PathBuf], namespace: &str) -> Result<Read, PolicyError> {
    let texts = files::read(paths);
    if texts.unreadable > 0 {
        return Err(PolicyError::Unreadable(texts.unreadable));
    }
    if texts.read == 0 {
        return Err(PolicyError::Nothing);
    }
    let options = ReadOptions { default_namespace: namespace.to_owned() };
    let checked = check(&texts.sources, &options);
    for problem in checked.problems.iter().filter(|problem| problem.severity() == Severity::Error) {
        output::talk(&problem.render(&texts.sources));
    }
    let world = checked.reading.into_world().map_err(|problems| PolicyError::Unread(problems.len()))?;
    Ok(Read { sources: texts.sources, world })
}

/// A request in a text.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, PolicyError> {
    serde_saphyr::from_str(text).map_err(|error| PolicyError::Request(format!("{}: {error}", path.display())))
}

/// The text of a file that is no manifest, whole.
pub(crate) fn small(path: &Path) -> Result<String, PolicyError> {
    let cannot = |error: std::io::Error| PolicyError::Request(format!("{}: {error}", path.display()));
    let text = File::open(path).and_then(|file| files::text(file, REQUEST_MAX_BYTES)).map_err(cannot)?;
    if text.len() > REQUEST_MAX_BYTES {
        return Err(PolicyError::Request(format!("{}: more than {REQUEST_MAX_BYTES} bytes", path.display())));
    }
    Ok(text)
}

/// Keys from a file.
pub(crate) fn keys(path: &Path) -> Result<JwkSet, PolicyError> {
    let text = small(path)?;
    JwkSet::from_json(text.as_bytes()).map_err(|error| PolicyError::Request(format!("{}: {error}", path.display())))
}
