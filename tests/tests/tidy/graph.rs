//! Who depends on whom, as cargo resolved it for this machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Command;

use serde_json::Value;

use crate::files;

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// One package at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The licence expression; empty where the package names none.
    pub(crate) licence: String,
}

/// Packages by cargo's id for them.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) packages: BTreeMap<String, Package>,
    pub(crate) members: BTreeSet<String>,
    pub(crate) edges: BTreeMap<String, Vec<(String, Kind)>>,
}

impl Graph {
    /// The graph of this checkout with every feature. Never asks the network: what the tests were built from is here.
    pub(crate) fn load() -> Self {
        let metadata = cargo(&[
            "metadata",
            "--format-version=1",
            "--all-features",
            "--offline",
            "--locked",
            "--filter-platform",
            &host(),
        ]);
        Self::read(&serde_json::from_str(&metadata).unwrap())
    }

    fn read(metadata: &Value) -> Self {
        let mut graph = Self::default();
        for package in list(&metadata["packages"]) {
            let (name, version) = (word(&package["name"]), word(&package["version"]));
            let licence = word(&package["license"]);
            graph.packages.insert(word(&package["id"]), Package { name, version, licence });
        }
        graph.members = list(&metadata["workspace_members"]).map(word).collect();
        for node in list(&metadata["resolve"]["nodes"]) {
            let edges = list(&node["deps"])
                .flat_map(|dep| list(&dep["dep_kinds"]).map(|kind| (word(&dep["pkg"]), Kind::read(&kind["kind"]))));
            graph.edges.insert(word(&node["id"]), edges.collect());
        }
        graph
    }

    /// Everything that is compiled into the named members or runs while they are built.
    pub(crate) fn shipped_with(&self, names: &[&str]) -> BTreeSet<&str> {
        let wanted = |id: &&String| names.contains(&self.packages[*id].name.as_str());
        let mut found: BTreeSet<&str> = self.members.iter().filter(wanted).map(String::as_str).collect();
        assert_eq!(found.len(), names.len(), "not every one of {names:?} is a member");
        let mut queue: VecDeque<&str> = found.iter().copied().collect();
        while let Some(id) = queue.pop_front() {
            for (to, kind) in &self.edges[id] {
                if *kind != Kind::Dev && found.insert(to) {
                    queue.push_back(to);
                }
            }
        }
        found
    }
}

impl Kind {
    fn read(value: &Value) -> Self {
        match value.as_str() {
            None => Self::Normal,
            Some("build") => Self::Build,
            Some("dev") => Self::Dev,
            Some(other) => panic!("cargo knows a new kind of dependency: {other}"),
        }
    }
}

fn host() -> String {
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(files::root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
