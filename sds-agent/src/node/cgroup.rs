//! Which pod a process belongs to, read from its `/proc/PID/cgroup`. Pure.
//!
//! A path is read from its root on and every part up to the pod's must be one that a kubelet makes: whoever may make
//! control groups of his own below his own, be it a user of the machine or a container in a pod, cannot make himself
//! look like another pod's. What lies below the container is the container's own business. Lines that lead to no pod
//! say nothing; lines that lead to two pods are refused.

use std::fmt;

/// Largest content that is looked at, in bytes: a dozen hierarchies with long paths.
pub const CGROUP_MAX_BYTES: usize = 64 * 1024;

/// Characters of a path that are told, at most.
const PATH_TOLD_MAX_CHARS: usize = 200;

/// Hexadecimal digits of a container's id.
const CONTAINER_ID_DIGITS: usize = 64;

/// Hexadecimal digits of a UID.
const UID_DIGITS: usize = 32;

/// Where the dashes of a UID stand.
const DASHES: [usize; 4] = [8, 13, 18, 23];

/// The UID of a pod (`metadata.uid`, RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodUid(u128);

/// The id of a container, as its runtime calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerId(Box<str>);

/// Whom a process belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The pod.
    pub pod: PodUid,
    /// The container in it, where the path says so.
    pub container: Option<ContainerId>,
}

/// Why a process's pod is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CgroupError {
    /// Not the content of such a file.
    #[error("control groups cannot be read")]
    Malformed,
    /// No hierarchy leads to a pod.
    #[error("control group `{path}` is no pod's")]
    NotInPod {
        /// The longest path, cut short.
        path: String,
    },
    /// A pod that the kubelet read from a file; it has no service account.
    #[error("caller's pod is a static pod, which has no service account")]
    StaticPod,
    /// Two hierarchies lead to two pods.
    #[error("control groups lead to two pods, `{one}` and `{other}`")]
    TwoPods {
        /// The one.
        one: PodUid,
        /// The other.
        other: PodUid,
    },
}

impl PodUid {
    /// Reads a UID as API servers write it, or with underscores as systemd's names need it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_dash = |at: usize| DASHES.contains(&at);
        let is_form = text.len() == UID_DIGITS + DASHES.len()
            && text.bytes().enumerate().all(|(at, byte)| is_dash(at) == matches!(byte, b'-' | b'_'));
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        (is_form && digits.len() == UID_DIGITS).then(|| u128::from_str_radix(&digits, 16).ok().map(Self))?
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bits) = self;
        let part = |shift: u32, digits: u32| (bits >> shift) & ((1 << (4 * digits)) - 1);
        let (low, mid, high) = (part(96, 8), part(80, 4), part(64, 4));
        write!(f, "{low:08x}-{mid:04x}-{high:04x}-{:04x}-{:012x}", part(48, 4), part(0, 12))
    }
}

impl ContainerId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whom a process with this content of `/proc/PID/cgroup` belongs to (cgroups(7), "/proc files").
///
/// # Errors
/// Every variant of [`CgroupError`].
pub fn owner(content: &str) -> Result<Owner, CgroupError> {
    if content.len() > CGROUP_MAX_BYTES || content.trim().is_empty() {
        return Err(CgroupError::Malformed);
    }
    let (mut found, mut is_static, mut longest) = (None::<Owner>, false, "/");
    for line in content.lines() {
        let path = path_of(line).ok_or(CgroupError::Malformed)?;
        if path.len() > longest.len() {
            longest = path;
        }
        match pod_of(path) {
            None => {}
            Some((Place::Static, _)) => is_static = true,
            Some((Place::Pod(pod), container)) => match &mut found {
                None => found = Some(Owner { pod, container }),
                Some(one) if one.pod != pod => return Err(CgroupError::TwoPods { one: one.pod, other: pod }),
                // Hierarchies may end at different depths.
                Some(one) => one.container = one.container.take().or(container),
            },
        }
    }
    match found {
        Some(_) | None if is_static => Err(CgroupError::StaticPod),
        Some(owner) => Ok(owner),
        None => Err(CgroupError::NotInPod { path: longest.escape_debug().take(PATH_TOLD_MAX_CHARS).collect() }),
    }
}

/// The path of `hierarchy:controllers:path`.
fn path_of(line: &str) -> Option<&str> {
    let (hierarchy, rest) = line.split_once(':')?;
    let (_, path) = rest.split_once(':')?;
    let is_number = !hierarchy.is_empty() && hierarchy.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && path.starts_with('/')).then_some(path)
}

/// What a part of a path with a pod's name stands for.
enum Place {
    Pod(PodUid),
    Static,
}

/// What may come next while a path is read from its root on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Nothing was read but what is hidden by a namespace of control groups.
    Outside,
    /// Below the container that a node is, where nodes are containers themselves.
    InNode,
    /// Below what holds all pods, or all pods of one class.
    AmongPods,
}

/// The pod in a path, and the container if one is named.
fn pod_of(path: &str) -> Option<(Place, Option<ContainerId>)> {
    let mut parts = path.split('/').skip(1).filter(|part| !part.is_empty());
    let mut depth = Depth::Outside;
    while let Some(part) = parts.next() {
        if let Some((slice, container)) = part.split_once(':') {
            // A runtime that takes systemd's names for those of directories: `…-podUID.slice:cri-containerd:ID`.
            let id = container.rsplit(':').next().and_then(container_id);
            return id.and_then(|id| Some((pod_in_slice(slice)?, Some(id))));
        }
        if let Some(place) = pod_in_name(part, depth) {
            return Some((place, parts.next().and_then(container_in_scope)));
        }
        depth = deeper(depth, part, &mut parts)?;
    }
    None
}

/// What follows after a part that is on the way to pods; nothing for a part that is not.
fn deeper<'a>(depth: Depth, part: &'a str, rest: &mut impl Iterator<Item = &'a str>) -> Option<Depth> {
    match (depth, part) {
        // What a namespace of control groups hides of the way to us; it cannot hide what is beside us.
        (Depth::Outside, "..") => Some(Depth::Outside),
        // A node that is a container of Docker's or of Podman's, as those of kind, k3d and minikube are.
        (Depth::Outside, "docker" | "libpod_parent") => is_node(rest.next()?).then_some(Depth::InNode),
        (Depth::Outside, "system.slice" | "machine.slice") => {
            let next = rest.next()?;
            (is_node(next) || is_runtime(next)).then_some(Depth::InNode)
        }
        (Depth::InNode, "container") => Some(Depth::InNode),
        (Depth::Outside | Depth::InNode, "kubelet" | "kubelet.slice" | "kubepods" | "kubepods.slice") => {
            Some(Depth::AmongPods)
        }
        // Seen from another pod, what holds all pods is hidden.
        (Depth::Outside | Depth::AmongPods, "burstable" | "besteffort") => Some(Depth::AmongPods),
        (Depth::AmongPods, "kubepods" | "kubepods.slice") => Some(Depth::AmongPods),
        (Depth::Outside | Depth::AmongPods, slice) if is_class(slice) => Some(Depth::AmongPods),
        _ => None,
    }
}

/// A slice of systemd that holds all pods of a class: `kubepods-burstable.slice`, or `kubelet-kubepods.slice` of kind.
fn is_class(part: &str) -> bool {
    let Some(name) = part.strip_suffix(".slice") else { return false };
    let name = name.strip_prefix("kubelet-").unwrap_or(name);
    matches!(name, "kubepods" | "kubepods-burstable" | "kubepods-besteffort")
}

fn is_node(part: &str) -> bool {
    let scope = part.strip_suffix(".scope").unwrap_or(part);
    let id = ["docker-", "libpod-"].iter().find_map(|prefix| scope.strip_prefix(prefix)).unwrap_or(scope);
    container_id(id).is_some()
}

/// The service of a runtime, below which containers are where runtime and kubelet disagree about who makes groups.
fn is_runtime(part: &str) -> bool {
    matches!(part, "containerd.service" | "crio.service" | "docker.service" | "k3s.service" | "rke2-server.service")
}

fn pod_in_name(part: &str, depth: Depth) -> Option<Place> {
    let is_there = matches!(depth, Depth::AmongPods | Depth::Outside);
    match part.strip_prefix("pod").filter(|_| is_there).and_then(pod_named) {
        Some(place) => Some(place),
        None => pod_in_slice(part),
    }
}

/// `kubepods-burstable-podUID.slice` and its like, at any depth that is a kubelet's.
fn pod_in_slice(part: &str) -> Option<Place> {
    let name = part.strip_suffix(".slice")?;
    let name = name.strip_prefix("kubelet-").unwrap_or(name);
    let name = name.strip_prefix("kubepods-")?;
    let name = ["burstable-", "besteffort-"].iter().find_map(|class| name.strip_prefix(class)).unwrap_or(name);
    pod_named(name.strip_prefix("pod")?)
}

fn pod_named(name: &str) -> Option<Place> {
    // The kubelet names a pod that it read from a file by a digest of that file.
    let is_digest = name.len() == UID_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { Some(Place::Static) } else { PodUid::parse(name).map(Place::Pod) }
}

/// A container's own part: its id, or a scope of systemd named by its runtime and its id.
fn container_in_scope(part: &str) -> Option<ContainerId> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let runtimes = ["cri-containerd-", "crio-", "docker-", "libpod-"];
    container_id(runtimes.iter().find_map(|runtime| name.strip_prefix(runtime)).unwrap_or(name))
}

fn container_id(text: &str) -> Option<ContainerId> {
    let is_id = text.len() == CONTAINER_ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| ContainerId(text.into()))
}

#[cfg(test)]
mod tests;
