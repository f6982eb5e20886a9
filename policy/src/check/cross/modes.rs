//! Modes of mutual TLS that sidecars and ztunnel understand differently: Istio's conversion for ztunnel has gaps.

use std::net::{IpAddr, Ipv4Addr};

use crate::check::findings::Findings;
use crate::model::{PeerAuthentication, World};
use crate::mtls::effective;
use crate::problem::Code;
use crate::source::Place;
use crate::ztunnel::{Connection, Known};

/// Tells each port on which a sidecar takes plaintext and ztunnel does not, or the other way round.
///
/// The workload is one that has exactly the labels of the policy's selector.
pub(super) fn check(policy: &PeerAuthentication, world: &World, findings: &mut Findings) {
    let root = &*world.mesh.root_namespace;
    let (Some(selector), namespace) = (policy.selector.as_ref(), &*policy.meta.namespace) else { return };
    if !policy.selects() || namespace == root {
        return;
    }
    let modes = effective(&world.peer, root, namespace, &selector.labels);
    let mut known = Known::default();
    known.peers(&world.peer, root, namespace, &selector.labels);
    let here = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let at_ztunnel = |port: u16| {
        let connection = Connection { identity: None, source_ip: here, destination_ip: here, destination_port: port };
        known.decide(namespace, &connection).allowed
    };
    let named = policy.ports.iter().filter_map(|entry| Some((u16::try_from(entry.port.value).ok()?, entry.port.at)));
    let named: Vec<(u16, Place)> = named.collect();
    // Port 0 stands for every port that nobody names.
    for (port, at) in named.into_iter().chain([(0, selector.at)]) {
        let (sidecar, ztunnel) = (modes.accepts_plaintext(port), at_ztunnel(port));
        if sidecar == ztunnel {
            continue;
        }
        let what = if port == 0 { "ports that are not named".to_owned() } else { format!("port {port}") };
        let [one, other] = if sidecar { ["take", "refuses"] } else { ["refuse", "takes"] };
        let message = format!("sidecars {one} plaintext on {what}, and ztunnel {other} it");
        findings.advise(Code::PeerDiverges, at, message, "set `mtls.mode` of this policy as well as its ports");
    }
}
