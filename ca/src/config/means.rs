//! What a cluster's settings need of its API server, where there is none.

use signet_runtime::Reader;

use super::CallersConfig;
use crate::authenticate::{Method, TokenMode};

/// Refuses what needs an API server where none can be asked; `has_api_server` whether the own cluster's can be.
pub(super) fn check(reader: &mut Reader, callers: &CallersConfig, has_api_server: bool) {
    if !callers.methods.contains(&Method::Kubernetes) {
        return;
    }
    let rules = &callers.primary.rules;
    if !has_api_server && rules.mode != TokenMode::Local {
        refuse(reader, "tokens.mode", "reviews need the cluster's API server");
    }
    if !has_api_server && !rules.node_proxies.is_empty() {
        refuse(
            reader,
            "node_proxies",
            "what a node proxy asks for is judged by pods that the cluster's API server knows",
        );
    }
    for (number, other) in callers.others.iter().enumerate() {
        if other.connection.is_none() && other.rules.mode != TokenMode::Local {
            reader
                .refuse(&format!("clusters[{number}].mode"), "reviews need the cluster's API server: set `kubeconfig`");
        }
    }
}

fn refuse(reader: &mut Reader, key: &str, why: &str) {
    reader.refuse(key, format!("{why}: set `kubernetes.server` or `kubernetes.kubeconfig`, or run in a pod of it"));
}
