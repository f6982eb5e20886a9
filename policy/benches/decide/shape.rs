//! The shapes of rules that are measured, and what each is asked.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

/// One shape.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) action: &'static str,
    pub(crate) rule: fn(usize) -> Value,
    /// What the rule of that index matches.
    pub(crate) hit: fn(usize) -> Ask,
    /// What no rule matches.
    pub(crate) miss: fn() -> Ask,
}

/// What is asked, and what the answer is.
pub(crate) struct Ask {
    pub(crate) identity: String,
    pub(crate) path: String,
    pub(crate) address: IpAddr,
    pub(crate) allowed: bool,
}

pub(crate) const SHAPES: [Shape; 7] = [
    Shape {
        name: "one caller",
        action: "ALLOW",
        rule: |index| json!({"from": [{"source": {"principals": [caller(index)]}}], "to": [{"operation": {"methods": ["GET"], "paths": ["/api/*"]}}]}),
        hit: |index| ask(&caller(index), "/api/items", true),
        miss: || ask("cluster.local/ns/none/sa/none", "/api/items", false),
    },
    Shape {
        name: "any caller, path",
        action: "ALLOW",
        rule: |index| json!({"from": [{"source": {"principals": ["*"]}}], "to": [{"operation": {"paths": [format!("/api/v{index}/*")]}}]}),
        hit: |index| ask(&caller(1), &format!("/api/v{index}/items"), true),
        miss: || ask(&caller(1), "/other", false),
    },
    Shape {
        name: "names by their end",
        action: "ALLOW",
        rule: |index| json!({"from": [{"source": {"principals": [format!("*/sa/web-{index}")]}}]}),
        hit: |index| ask(&format!("cluster.local/ns/shop/sa/web-{index}"), "/", true),
        miss: || ask("cluster.local/ns/shop/sa/none", "/", false),
    },
    Shape {
        name: "names by their start",
        action: "ALLOW",
        rule: |index| json!({"from": [{"source": {"principals": [format!("cluster.local/ns/team-{index}/*")]}}]}),
        hit: |index| ask(&format!("cluster.local/ns/team-{index}/sa/web"), "/", true),
        miss: || ask("cluster.local/ns/none/sa/none", "/", false),
    },
    Shape {
        name: "blocks of addresses",
        action: "ALLOW",
        rule: |index| json!({"from": [{"source": {"ipBlocks": [block(index)]}}]}),
        hit: |index| Ask { address: address(index), ..ask(&caller(1), "/", true) },
        miss: || Ask { address: IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)), ..ask(&caller(1), "/", false) },
    },
    Shape {
        name: "path templates",
        action: "ALLOW",
        rule: |index| json!({"to": [{"operation": {"paths": [format!("/tenants/{{*}}/t{index}/{{**}}")]}}]}),
        hit: |index| ask(&caller(1), &format!("/tenants/a/t{index}/x"), true),
        miss: || ask(&caller(1), "/other", false),
    },
    Shape {
        name: "DENY, path",
        action: "DENY",
        rule: |index| json!({"from": [{"source": {"notPrincipals": [caller(index)]}}], "to": [{"operation": {"paths": [format!("/admin/{index}/*")]}}]}),
        hit: |index| ask("cluster.local/ns/none/sa/none", &format!("/admin/{index}/x"), false),
        miss: || ask(&caller(1), "/api", true),
    },
];

fn caller(index: usize) -> String {
    format!("cluster.local/ns/team-{}/sa/web-{index}", index % 100)
}

fn address(index: usize) -> IpAddr {
    let [_, _, high, low] = u32::try_from(index).unwrap_or(0).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, high, low, 7))
}

fn block(index: usize) -> String {
    format!("{}/24", address(index))
}

fn ask(name: &str, path: &str, allowed: bool) -> Ask {
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    Ask { identity: format!("spiffe://{name}"), path: path.to_owned(), address, allowed }
}
