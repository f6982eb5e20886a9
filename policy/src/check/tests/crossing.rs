//! What objects do to each other.

use super::*;

const SELECTED: &str = "spec: {selector: §{matchLabels: {app: a}}, rules: [{}]}\n";

fn pod(namespace: &str, labels: &str, ports: &str) -> String {
    let meta = format!("metadata: {{name: p, namespace: {namespace}, labels: {labels}}}");
    format!("apiVersion: v1\nkind: Pod\n{meta}\nspec: {{containers: [{{name: c, ports: [{ports}]}}]}}\n---\n")
}

fn service(port: &str) -> String {
    let meta = "metadata: {name: s, namespace: foo}";
    format!("apiVersion: v1\nkind: Service\n{meta}\nspec: {{selector: {{app: a}}, ports: [{port}]}}\n---\n")
}

#[test]
fn workloads_that_nobody_reads_and_selectors_that_name_nobody() {
    let policy = object("AuthorizationPolicy", SELECTED);
    check_finds(&format!("{}{policy}", pod("foo", "{app: b}", "")), Code::NoWorkload);
    check_finds(&format!("{}{policy}", pod("bar", "{app: a}", "")), Code::NoWorkload);
    check_finds(&format!("{}{policy}", pod("foo", "{app: a, sidecar.istio.io/inject: 'false'}", "")), Code::NoWorkload);
    let plain = policy.replace('§', "");
    check_silent(&format!("{}{plain}", pod("foo", "{app: a, b: c}", "")), Code::NoWorkload);
    check_silent(&plain, Code::NoWorkload);
    let peer = object("PeerAuthentication", "spec: {selector: §{matchLabels: {app: a}}}\n");
    check_finds(&format!("{}{peer}", pod("foo", "{app: b}", "")), Code::NoWorkload);
    let waypoint =
        "{app: a, gateway.networking.k8s.io/gateway-name: w, gateway.istio.io/managed: istio.io-mesh-controller}";
    check_finds(&format!("{}{policy}", pod("foo", waypoint, "")), Code::WaypointSelector);
}

#[test]
fn namespaces() {
    let spaces = "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod-a}\n---\n";
    let policy = |value: &str| {
        format!("{spaces}{}", authorization(&format!("  rules: [{{from: [{{source: {{namespaces: [{value}]}}}}]}}]\n")))
    };
    check_finds(&policy("§prod-b"), Code::UnknownNamespace);
    check_finds(&policy("§'*-b'"), Code::UnknownNamespace);
    for value in ["prod-a", "'prod-*'", "'*-a'", "'*'", "'p*a'"] {
        check_silent(&policy(value), Code::UnknownNamespace);
    }
}

#[test]
fn providers() {
    let mesh = "extensionProviders: [{name: known, envoyExtAuthzHttp: {service: a, port: 80}}, {name: bad, envoyExtAuthzHttp: {service: a}}, {name: log, envoyFileAccessLog: {}}]\n---\n";
    let policy =
        |name: &str| authorization(&format!("  action: CUSTOM\n  provider: {{name: {name}}}\n  rules: [{{}}]\n"));
    check_finds(&format!("{mesh}{}", policy("§other")), Code::ProviderUnknown);
    check_finds(&format!("{mesh}{}", policy("§log")), Code::ProviderUnknown);
    check_finds(&format!("{mesh}{}", policy("§bad")), Code::ProviderUnknown);
    check_silent(&format!("{mesh}{}", policy("known")), Code::ProviderUnknown);
    check_silent(&policy("other"), Code::ProviderUnknown);
    let around = format!("{}{}", pod("foo", "{app: a}", ""), service("{name: tcp-a, port: 9000}"));
    check_finds(&format!("{mesh}{around}{}", policy("§known")), Code::ProviderHttpOnTcp);
}

#[test]
fn targets() {
    let policy = |reference: &str| authorization(&format!("  targetRefs: [{reference}]\n  rules: [{{}}]\n"));
    let around = service("{name: http, port: 80}");
    check_finds(&format!("{around}{}", policy("§{kind: Service, name: t}")), Code::TargetMissing);
    check_silent(&format!("{around}{}", policy("{kind: Service, name: s}")), Code::TargetMissing);
    check_silent(&policy("{kind: Service, name: t}"), Code::TargetMissing);
    let class = "§{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}";
    check_finds(&policy(class), Code::TargetMissing);
}

#[test]
fn peers_in_each_other_s_way() {
    let peer = |name: &str, namespace: &str, created: &str, spec: &str| {
        let meta = format!("{{name: {name}, namespace: {namespace}, creationTimestamp: '{created}'}}");
        format!("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {meta}\nspec: {spec}\n")
    };
    let [old, new] = ["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"];
    let two = format!("§{}---\n{}", peer("a", "foo", new, "{}"), peer("b", "foo", old, "{selector: {}}"));
    check_finds(&two, Code::PeerShadowed);
    let apart = format!("{}---\n{}", peer("a", "foo", new, "{}"), peer("b", "bar", old, "{}"));
    check_silent(&apart, Code::PeerShadowed);
    let root = peer("a", "istio-system", old, "{selector: §{matchLabels: {a: b}}}");
    check_finds(&root, Code::PeerRootSelector);
}

/// The gaps that Istio's conversion for ztunnel has.
#[test]
fn modes_that_ztunnel_understands_otherwise() {
    let peer = |namespace: &str, spec: &str| {
        let meta = format!("{{name: p, namespace: {namespace}}}");
        format!("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {meta}\nspec: {spec}\n---\n")
    };
    let mesh = peer("istio-system", "{mtls: {mode: STRICT}}");
    let own = |spec: &str| peer("foo", &format!("{{selector: {{matchLabels: {{app: a}}}}, {spec}}}"));
    let strict_port = own("mtls: {mode: PERMISSIVE}, portLevelMtls: {§8080: {mode: STRICT}}");
    check_finds(&format!("{mesh}{strict_port}"), Code::PeerDiverges);
    let disabled_port = own("portLevelMtls: {§8080: {mode: DISABLE}}");
    check_finds(&format!("{mesh}{disabled_port}"), Code::PeerDiverges);
    let unset = peer("foo", "{mtls: {mode: UNSET}}").replace("name: p", "name: q");
    let open = peer("foo", "{selector: §{matchLabels: {app: a}}, portLevelMtls: {8080: {mode: PERMISSIVE}}}");
    check_finds(&format!("{mesh}{unset}{open}"), Code::PeerDiverges);
    for sound in ["mtls: {mode: STRICT}", "portLevelMtls: {8080: {mode: PERMISSIVE}}", "mtls: {mode: DISABLE}"] {
        check_silent(&format!("{mesh}{}", own(sound)), Code::PeerDiverges);
    }
}

#[test]
fn tokens() {
    let request = |spec: &str| object("RequestAuthentication", &format!("spec: {{{spec}}}\n---\n"));
    let policy = |rule: &str| authorization(&format!("  selector: {{matchLabels: {{app: a}}}}\n  rules: [{rule}]\n"));
    let claim = "{when: [{key: §'request.auth.claims[sub]', values: [a]}]}";
    let issuer = |value: &str| format!("{{from: [{{source: {{requestPrincipals: [{value}]}}}}]}}");
    check_finds(&policy(claim), Code::TokenUnverified);
    let other = request("selector: {matchLabels: {app: b}}, jwtRules: [{issuer: i}]");
    check_finds(&format!("{other}{}", policy(claim)), Code::TokenUnverified);
    let own = request("jwtRules: [{issuer: i}]");
    check_silent(&format!("{own}{}", policy(&claim.replace('§', ""))), Code::TokenUnverified);
    check_finds(&format!("{own}{}", policy(&issuer("§j/sub"))), Code::TokenIssuer);
    check_finds(
        &format!("{own}{}", policy("{when: [{key: 'request.auth.claims[iss]', values: [§j]}]}")),
        Code::TokenIssuer,
    );
    for value in ["i/sub", "'*'", "'*/sub'"] {
        check_silent(&format!("{own}{}", policy(&issuer(value))), Code::TokenIssuer);
    }
    check_finds(&format!("§{own}"), Code::TokenNotDemanded);
    check_silent(&format!("{own}{}", policy(&issuer("i/sub"))), Code::TokenNotDemanded);
}

#[test]
fn ports() {
    let policy = |operation: &str| authorization(&format!("  rules: [{{to: [{{operation: {{{operation}}}}}]}}]\n"));
    let http = format!(
        "{}{}",
        pod("foo", "{app: a}", "{containerPort: 8080}"),
        service("{name: http, port: 80, targetPort: 8080}")
    );
    check_finds(&format!("{http}{}", policy("ports: [§'80']")), Code::PortUnknown);
    check_finds(&format!("{http}{}", policy("notPorts: [§'9999']")), Code::PortUnknown);
    check_silent(&format!("{http}{}", policy("ports: ['8080']")), Code::PortUnknown);
    check_silent(&policy("ports: ['80']"), Code::PortUnknown);
    let named = format!("{}{}", pod("foo", "{app: a}", ""), service("{name: http, port: 80, targetPort: web}"));
    check_silent(&format!("{named}{}", policy("ports: ['8080']")), Code::PortUnknown);
    let bytes = format!("{}{}", pod("foo", "{app: a}", ""), service("{name: tcp-db, port: 5432}"));
    check_finds(&format!("{bytes}{}", policy("ports: ['5432'], methods: [§GET]")), Code::HttpOnTcpPort);
    check_silent(&format!("{http}{}", policy("ports: ['8080'], methods: [GET]")), Code::HttpOnTcpPort);
    let peer = object(
        "PeerAuthentication",
        "spec: {selector: {matchLabels: {app: a}}, portLevelMtls: {§80: {mode: STRICT}}}\n",
    );
    check_finds(&format!("{http}{peer}"), Code::PortUnknown);
}

#[test]
fn what_the_mesh_reports() {
    let status =
        "status: {conditions: [§{type: ZtunnelAccepted, status: 'False', reason: UnsupportedValue, message: m}]}\n";
    check_finds(&object("AuthorizationPolicy", status), Code::NegativeStatus);
    check_silent(
        &object("AuthorizationPolicy", &status.replace('§', "").replace("False", "True")),
        Code::NegativeStatus,
    );
    let istiod = |env: &str| {
        let meta = "metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}";
        let pod = format!("{{template: {{spec: {{containers: [{{name: discovery, env: [{env}]}}]}}}}}}");
        format!("apiVersion: apps/v1\nkind: Deployment\n{meta}\nspec: {pod}\n---\n")
    };
    let request = object("RequestAuthentication", "spec: {jwtRules: [{issuer: a}]}\n");
    check_finds(&format!("§{}{request}", istiod("")), Code::OpenKeyFetch);
    let closed = istiod("{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: 10.0.0.0/8}");
    check_silent(&format!("{closed}{request}"), Code::OpenKeyFetch);
    check_silent(&istiod(""), Code::OpenKeyFetch);
}

#[test]
fn whatever_is_written_is_checked_without_a_panic() {
    for text in ["", "-", "{}", "kind: List\nitems: [~, 1, [], {}]", "apiVersion: security.istio.io/v1\nkind: [a]"] {
        let _ = checked(text);
    }
    let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n".to_owned()
        + "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
        + "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    assert!(found(&bomb).iter().any(|(code, ..)| *code == Code::AliasBound));
}

/// A hundred thousand rules, of which no two are alike.
#[test]
fn a_file_of_a_hundred_thousand_rules_is_checked() {
    let rules: Vec<String> =
        (0..100_000).map(|index| format!("  - from: [{{source: {{principals: [td/ns/n{index}/sa/a]}}}}]\n")).collect();
    let text = authorization(&format!("  rules:\n{}", rules.concat()));
    assert_eq!(found(&text), [(Code::TooLong, 6, 5)]);
}

#[test]
fn long_lists_and_many_objects_cost_no_more_than_their_length() {
    let names: Vec<String> = (0..20_000).map(|index| format!("n{index}")).collect();
    let names = names.join(", ");
    let text = authorization(&format!(
        "  action: DENY\n  rules: [{{to: [{{operation: {{hosts: [{names}], notHosts: [{names}]}}}}]}}]\n"
    ));
    check_silent(&text, Code::TooManyProblems);
    let meta = |index: usize| format!("metadata: {{name: a{index}, namespace: foo}}\n");
    let policy = |index| format!("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n{}---\n", meta(index));
    let namespace = |index| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: n{index}}}\n---\n");
    let many = |of: &dyn Fn(usize) -> String| (0..4_500).map(of).collect::<String>();
    let text = format!("{}{}", many(&policy), many(&namespace));
    assert!(found(&text).iter().any(|(code, ..)| *code == Code::NotCompared));
}

/// Everything at once, so that a changed character may break anything.
const ALL: &str = "trustDomain: a
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: foo, annotations: {istio.io/dry-run: 'true'}}
spec:
  selector: {matchLabels: {app: a}}
  action: DENY
  rules:
  - from: [{source: {principals: ['a/*'], notIpBlocks: [1.2.3.0/24]}}]
    to: [{operation: {paths: ['/a/{*}/b', '/c*'], hosts: [h], ports: ['80']}}]
    when: [{key: 'request.auth.claims[a][b]', values: [c]}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a, namespace: foo}
spec: {selector: {matchLabels: {app: a}}, portLevelMtls: {80: {mode: STRICT}}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: a, namespace: foo}
spec: {jwtRules: [{issuer: a, jwks: '{\"keys\": []}', timeout: 5s, fromHeaders: [{name: x}]}]}
";

proptest::proptest! {
    /// Whatever happens to a text, the check ends, and what it tells stands in the text.
    #[test]
    fn a_text_that_was_tampered_with_is_checked_and_every_place_is_in_it(
        edits in proptest::collection::vec((0_usize..1200, 0_usize..30, "[\\-:\\[\\]{}*/'\"# \na-z0&!~\u{e4}]{0,4}"), 1..6),
    ) {
        let mut text: Vec<char> = ALL.chars().collect();
        for (at, removed, put) in edits {
            let from = at.min(text.len());
            let to = (from + removed).min(text.len());
            text.splice(from..to, put.chars());
        }
        let text: String = text.into_iter().collect();
        let lines = u32::try_from(text.split('\n').count()).unwrap();
        for problem in checked(&text).problems {
            proptest::prop_assert!(problem.at.line <= lines + 1, "{problem:?}");
        }
    }
}
