//! Settings of the rules about what is issued to whom: tables `[[rules]]` of the file.

use signet_runtime::Reader;

use super::sections::{duration_if_set, list};
use crate::authorize::IssuanceRule;

/// All rules, in the order of the file.
pub(super) fn rules(reader: &mut Reader) -> Option<Vec<IssuanceRule>> {
    let tables = reader.tables("rules");
    let rules: Vec<_> = tables.iter().map(|table| rule(reader, table)).collect();
    rules.into_iter().collect()
}

fn rule(reader: &mut Reader, table: &str) -> Option<IssuanceRule> {
    let key = |name: &str| format!("{table}.{name}");
    let namespaces = list(reader, &key("namespaces"), "");
    let except_namespaces = list(reader, &key("except_namespaces"), "");
    let service_accounts = list(reader, &key("service_accounts"), "");
    let clusters = list(reader, &key("clusters"), "");
    let nodes = list(reader, &key("nodes"), "");
    let keys = list(reader, &key("keys"), "");
    let authenticators = list(reader, &key("authenticators"), "");
    let deny: Option<bool> = reader.or(&key("deny"), "false");
    let max_ttl = duration_if_set(reader, &key("max_ttl"));
    let rule = IssuanceRule {
        namespaces: namespaces?,
        except_namespaces: except_namespaces?,
        service_accounts: service_accounts?,
        clusters: clusters?,
        nodes: nodes?,
        keys: keys?,
        authenticators: authenticators?,
        deny: deny?,
        max_ttl,
    };
    if rule.deny == rule.max_ttl.is_some() {
        reader.refuse(table, "must say either `deny = true` or a `max_ttl`");
    }
    Some(rule)
}
