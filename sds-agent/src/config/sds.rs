//! The section `sds`: the socket for proxies, and what is served there beside the workload's own identity.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use signet_identity::TrustDomain;
use signet_runtime::Reader;

use super::{SocketMode, Uid, path};

/// Most other trust domains.
const FEDERATED_MAX: usize = 64;

/// Most directories that files may be named in.
const DIRS_MAX: usize = 32;

/// Directories where files may be named, unless others are set; below the root directory.
const DIRS: [&str; 2] = ["etc/certs", "etc/istio"];

/// The socket for proxies.
#[derive(Debug, Clone)]
pub struct SdsConfig {
    /// Its path.
    pub socket: PathBuf,
    /// Its file mode.
    pub mode: SocketMode,
    /// Users that may connect beside the agent's own and root.
    pub allowed_uids: Vec<u32>,
    /// Files that proxies may name, and files with roots.
    pub files: SdsFilesConfig,
}

/// Files that proxies may name, and files with roots.
#[derive(Debug, Clone, Default)]
pub struct SdsFilesConfig {
    /// Directories below which files may be named.
    pub dirs: Vec<PathBuf>,
    /// Where the system's roots are; searched for when unset.
    pub system_roots: Option<PathBuf>,
    /// Where the roots of other trust domains are.
    pub federated: BTreeMap<TrustDomain, PathBuf>,
}

/// Reads the section; `own` is the workload's trust domain.
pub(super) fn sds(reader: &mut Reader, root: &Path, own: Option<&TrustDomain>) -> Option<SdsConfig> {
    let socket = path(reader, "sds.socket", root, "var/run/secrets/workload-spiffe-uds/socket");
    let mode = reader.parsed_or("sds.mode", "0600");
    let allowed_uids = uids(reader, "sds.allowed_uids");
    let defaults: Vec<_> = DIRS.iter().map(|dir| root.join(dir).to_string_lossy().into_owned()).collect();
    let dirs: Option<Vec<String>> = reader.or("sds.file_dirs", &defaults.join(","));
    let dirs: Option<Vec<PathBuf>> = dirs.map(|dirs| dirs.into_iter().map(PathBuf::from).collect());
    if dirs.as_ref().is_some_and(|dirs| dirs.len() > DIRS_MAX || dirs.iter().any(|dir| !is_plain(dir))) {
        reader.refuse("sds.file_dirs", format!("must be at most {DIRS_MAX} absolute paths without `.` and `..`"));
    }
    let system_roots = reader.optional("sds.system_roots_file");
    let federated = federated(reader, own);
    let files = SdsFilesConfig { dirs: dirs?, system_roots, federated: federated? };
    Some(SdsConfig { socket: socket?, mode: mode?, allowed_uids, files })
}

/// A list of users.
pub(super) fn uids(reader: &mut Reader, key: &str) -> Vec<u32> {
    let words = reader.optional::<Vec<String>>(key).unwrap_or_default();
    let uids = words.iter().filter_map(|word| match word.parse::<Uid>() {
        Ok(uid) => Some(uid.0),
        Err(error) => {
            reader.refuse(key, error.to_string());
            None
        }
    });
    uids.collect()
}

fn is_plain(dir: &Path) -> bool {
    dir.is_absolute() && dir.components().all(|part| !matches!(part, std::path::Component::ParentDir))
}

fn federated(reader: &mut Reader, own: Option<&TrustDomain>) -> Option<BTreeMap<TrustDomain, PathBuf>> {
    let tables = reader.tables("sds.federated");
    if tables.len() > FEDERATED_MAX {
        reader.refuse("sds.federated", format!("holds {} domains, at most {FEDERATED_MAX} are accepted", tables.len()));
    }
    let mut federated = BTreeMap::new();
    let mut is_whole = true;
    for table in tables {
        let key = |name: &str| format!("{table}.{name}");
        let name: Option<String> = reader.required(&key("trust_domain"));
        let file: Option<PathBuf> = reader.required(&key("bundle_file"));
        let domain = name.and_then(|name| {
            let domain = name.parse::<TrustDomain>();
            domain.map_err(|error| reader.refuse(&key("trust_domain"), error.to_string())).ok()
        });
        let (Some(domain), Some(file)) = (domain, file) else {
            is_whole = false;
            continue;
        };
        if own == Some(&domain) || federated.contains_key(&domain) {
            reader.refuse(&key("trust_domain"), "is the own trust domain, or there twice");
        }
        federated.insert(domain, file);
    }
    is_whole.then_some(federated)
}
