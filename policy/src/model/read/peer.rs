//! Reads PeerAuthentication.

use super::fields::{Fields, Log, one_of};
use super::others::selector;
use crate::model::{Meta, Mode, PeerAuthentication, PortMode, Spotted};
use crate::problem::{Code, Problem};
use crate::source::{Node, Value};

const MODES: [(&str, Option<Mode>); 4] = [
    ("UNSET", None),
    ("DISABLE", Some(Mode::Disable)),
    ("PERMISSIVE", Some(Mode::Permissive)),
    ("STRICT", Some(Mode::Strict)),
];

pub(super) fn policy(meta: Meta, spec: Option<&Node>, log: &mut Log) -> Option<PeerAuthentication> {
    let mut policy = PeerAuthentication { meta, selector: None, mode: None, ports: Vec::new() };
    let Some(spec) = spec.filter(|spec| spec.value != Value::Null) else { return Some(policy) };
    let mut fields = Fields::open(spec, "spec", log)?;
    policy.selector = selector(&mut fields, log);
    if let Some(node) = fields.take("mtls") {
        policy.mode = mode(node, log).map(|value| Spotted { value, at: node.at });
    }
    if let Some(Node { value: Value::Map(entries), .. }) = fields.take("portLevelMtls") {
        for entry in entries {
            let Ok(value) = entry.key.parse::<u32>() else {
                let message = format!("`{}` is no port", entry.key);
                log.push(Problem::new(Code::WrongType, entry.key_at, message));
                continue;
            };
            let port = Spotted { value, at: entry.key_at };
            policy.ports.push(PortMode { port, mode: mode(&entry.node, log) });
        }
        policy.ports.sort_by_key(|entry| entry.port.value);
    }
    fields.finish(log);
    Some(policy)
}

fn mode(node: &Node, log: &mut Log) -> Option<Mode> {
    let mut fields = Fields::open(node, "mtls", log)?;
    let mode = fields.take("mode").and_then(|node| one_of(node, "mode", &MODES, log));
    fields.finish(log);
    mode.flatten()
}
