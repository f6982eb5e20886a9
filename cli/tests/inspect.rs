//! `signet policy inspect` at a terminal: dumps in files, on stdin and behind sockets, and what differs.

#![cfg(test)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const POLICIES: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]
    to: [{operation: {paths: ['/cart*']}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-plaintext, namespace: shop}
spec:
  action: DENY
  rules: [{from: [{source: {notPrincipals: ['*']}}]}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: STRICT}}
";

fn signet(arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.args(["policy"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that asks for no stdin may have ended already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Stdout and stderr of an inspection that ends with this status.
#[track_caller]
fn check(arguments: &[&str], stdin: &str, status: i32) -> (String, String) {
    let arguments: Vec<&str> = ["inspect"].iter().chain(arguments).copied().collect();
    let output = signet(&arguments, stdin);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{out}\n{err}");
    (out, err)
}

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new(policies: &str) -> Self {
        let folder = Self { folder: tempfile::tempdir().unwrap() };
        folder.write("policies.yaml", policies);
        folder
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn policies(&self) -> String {
        self.folder.path().join("policies.yaml").display().to_string()
    }

    /// What a proxy is told of the policies.
    fn rendered(&self, at: &str) -> Value {
        let output =
            signet(&["render", &self.policies(), "--to-namespace", "shop", "--label", "app=cart", "--at", at], "");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A dump of an Envoy that was told so, with a chain for HTTP and one for bytes.
    fn envoy(&self) -> Value {
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "http_filters": self.rendered("sidecar-http")["filters"],
        });
        let chains = json!([
            {"name": "web", "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]},
            {"name": "bytes", "filters": self.rendered("sidecar-tcp")["filters"]},
            {"name": "virtualInbound-blackhole", "filters": [{"name": "t", "typed_config": {"@type": "x", "cluster": "BlackHoleCluster"}}]},
        ]);
        let inbound = json!({"name": "virtualInbound", "traffic_direction": "INBOUND", "filter_chains": chains});
        let outbound = json!({"name": "out", "traffic_direction": "OUTBOUND", "filter_chains": [{"filters": []}]});
        let listener = |listener: &Value| json!({"name": listener["name"], "active_state": {"listener": listener}});
        json!({"configs": [{
            "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
            "dynamic_listeners": [listener(&inbound), listener(&outbound)],
        }]})
    }
}

const WHO: [&str; 4] = ["--to-namespace", "shop", "--label", "app=cart"];

#[test]
fn a_proxy_that_enforces_the_policies_is_equal_and_others_are_told_by_policy_and_rule() {
    let folder = Folder::new(POLICIES);
    let dump = folder.write("dump.json", &folder.envoy().to_string());
    let policies = folder.policies();
    let given: Vec<&str> = [&policies, "--dump", &dump].into_iter().chain(WHO).collect();
    let (out, err) = check(&given, "", 0);
    assert!(err.contains("equal in 2 places"), "{err}");
    let row = out.lines().find(|line| line.contains("shop/no-plaintext")).unwrap();
    assert!(row.contains("DENY") && row.contains("in force") && row.contains("virtualInbound/web"), "{out}");

    folder.write("policies.yaml", &POLICIES.replace("/cart*", "/basket*"));
    let (out, err) = check(&given, "", 1);
    assert!(out.contains("different: ALLOW shop/cart rule 0: at `permissions/0"), "{out}");
    assert!(out.contains("`\"/cart\"`, wanted `\"/basket\"` (virtualInbound/web)"), "{out}");
    assert!(err.contains("1 differences in 2 places"), "{err}");

    let shown: Value = serde_json::from_str(&check(&[&given[..], &["-o", "json"]].concat(), "", 1).0).unwrap();
    assert_eq!(shown["equal"], false);
    assert_eq!(shown["differences"][0]["policy"], "shop/cart");
    assert_eq!(shown["differences"][0]["where"], json!(["virtualInbound/web"]));
}

#[test]
fn a_chain_that_enforces_nothing_is_a_difference_and_so_is_a_proxy_without_listeners_of_its_own() {
    let folder = Folder::new(POLICIES);
    let mut dump = folder.envoy();
    let chains = "/configs/0/dynamic_listeners/0/active_state/listener/filter_chains";
    *dump.pointer_mut(&format!("{chains}/1/filters")).unwrap() = json!([]);
    let policies = folder.policies();
    let given: Vec<&str> = [&policies, "--dump", "-"].into_iter().chain(WHO).collect();
    let (out, _) = check(&given, &dump.to_string(), 1);
    assert!(out.contains("missing: DENY shop/no-plaintext rule 0: it is enforced (virtualInbound/bytes)"), "{out}");
    assert!(out.contains("missing: ALLOW: a filter without rules: everything is refused by it"), "{out}");

    dump["configs"][0]["dynamic_listeners"].as_array_mut().unwrap().remove(0);
    let (out, _) = check(&given, &dump.to_string(), 1);
    assert!(out.contains("no listener of the dump decides anything"), "{out}");
    // A workload that no policy reaches has nothing to miss.
    check(&[&policies, "--dump", "-", "--to-namespace", "other"], &dump.to_string(), 0);
}

#[test]
fn without_policies_it_is_told_what_is_in_force() {
    let folder = Folder::new(POLICIES);
    let dump = folder.envoy().to_string();
    let (out, _) = check(&["--dump", "-"], &dump, 0);
    assert!(out.contains("shop/cart"), "{out}");
    let (out, _) = check(&["--dump", "-", "-o", "istio"], &dump, 0);
    let want = "ACTION   AuthorizationPolicy        RULES\n\
                DENY     no-plaintext.shop          1\n\
                ALLOW    _anonymous_match_nothing_   1\n\
                ALLOW    cart.shop                  1\n";
    assert_eq!(out.replace(' ', ""), want.replace(' ', ""));
    let shown: Value = serde_json::from_str(&check(&["--dump", "-", "-o", "json"], &dump, 0).0).unwrap();
    assert_eq!(shown["equal"], Value::Null, "nothing was compared");
}

#[test]
fn a_ztunnel_is_compared_by_what_it_knows_and_what_the_workload_lists() {
    let folder = Folder::new(&POLICIES.replace("  selector: {matchLabels: {app: cart}}\n", ""));
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web-1, namespace: shop, labels: {app: cart}}\n";
    let policies = folder.policies();
    let text = std::fs::read_to_string(&policies).unwrap();
    folder.write("policies.yaml", &format!("{text}{pod}"));
    let entry = |name: &str, action: &str, scope: &str, rules: Value| json!({"name": name, "namespace": if name.starts_with("istio") { "istio-system" } else { "shop" }, "action": action, "scope": scope, "rules": rules});
    let mut dump = json!({
        "policies": [
            entry("cart", "Allow", "Namespace", json!([])),
            entry("no-plaintext", "Deny", "Namespace", json!([[[{"notPrincipals": [{"presence": []}]}]]])),
            entry("istio_converted_static_strict", "Deny", "WorkloadSelector", json!([[[{"notPrincipals": [{"presence": []}]}]]])),
        ],
        "workloads": [{"name": "web-1", "namespace": "shop", "authorizationPolicies": ["istio-system/istio_converted_static_strict"]}],
    });
    let given = [&*policies, "--dump", "-", "--workload", "shop/web-1"];
    check(&given, &dump.to_string(), 0);
    dump["workloads"][0]["authorizationPolicies"] = json!([]);
    let (out, _) = check(&given, &dump.to_string(), 1);
    assert!(out.contains("missing: listed istio-system/istio_converted_static_strict"), "{out}");
    dump["policies"].as_array_mut().unwrap().remove(1);
    let (out, _) = check(&[&policies, "--dump", "-"], &dump.to_string(), 1);
    assert!(out.contains("missing: DENY shop/no-plaintext"), "{out}");
    let (out, _) = check(&["--dump", "-", "-o", "istio"], &dump.to_string(), 0);
    assert!(out.starts_with("NAMESPACE    POLICY NAME"), "{out}");
}

#[test]
fn what_cannot_be_told_is_neither_yes_nor_no() {
    let folder = Folder::new(POLICIES);
    let missing = folder.folder.path().join("none.sock").display().to_string();
    let long = folder.folder.path().join("long.json");
    std::fs::File::create(&long).unwrap().set_len(64 * 1024 * 1024 + 1).unwrap();
    let policies = folder.policies();
    let envoy = folder.write("dump.json", &folder.envoy().to_string());
    for (arguments, stdin, why) in [
        (&["--dump", "-"][..], "{", "no JSON"),
        (&["--dump", "-"], "{}", "neither Envoy's dump"),
        (&["--dump", "-"], "{\"configs\": []}", "no listeners"),
        (&["--dump", &missing], "", "No such file"),
        (&["--dump", &long.display().to_string()], "", "more than 67108864 bytes"),
        (&["--admin", &missing], "", "No such file"),
        (&["--admin", "https://a"], "", "only `http://HOST:PORT`"),
        (&["--dump", &envoy, "--listener", "none"], "", "no listener `none`"),
        (&["--dump", &envoy, &policies], "", "say either `workload`, or `namespace`"),
    ] {
        let (out, err) = check(arguments, stdin, 2);
        assert!(out.is_empty() && err.contains(why), "{arguments:?}: {err}");
    }
}

/// Answers one request with `body`, and returns what was asked for.
fn serve_once(listener: TcpListener, status: &'static str, body: String) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut buffer) = (Vec::new(), [0; 4096]);
        while !asked.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer).unwrap();
            asked.extend_from_slice(&buffer[..count]);
        }
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    })
}

#[test]
fn an_admin_interface_is_asked_over_tcp() {
    let folder = Folder::new(POLICIES);
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = listen();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answered = serve_once(listener, "200 OK", folder.envoy().to_string());
    let (out, _) = check(&["--admin", &url], "", 0);
    assert!(out.contains("shop/cart"), "{out}");
    assert!(answered.join().unwrap().starts_with("GET /config_dump HTTP/1.1\r\n"));

    let listener = listen();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answered = serve_once(listener, "503 Service Unavailable", String::new());
    let (_, err) = check(&["--admin", &url], "", 2);
    assert!(err.contains("it answered with 503"), "{err}");
    answered.join().unwrap();
}

/// The fixtures' dumps, by the command as an operator types it.
#[test]
fn the_table_of_every_fixture_is_istios_to_the_letter() {
    let given = std::env::var_os("SIGNET_FIXTURES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    let folder = given.unwrap_or(beside).join("policy/istioctl-authz-check");
    let Ok(want) = std::fs::read_to_string(folder.join("want.txt")) else {
        println!("inspect: no fixtures found, LEFT OUT; name a folder in `SIGNET_FIXTURES`");
        return;
    };
    let dump = folder.join("configdump.json").display().to_string();
    assert_eq!(check(&["--dump", &dump, "-o", "istio"], "", 0).0, want);
}
