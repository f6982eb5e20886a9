//! What the API server and the webhook refuse.

use super::*;

#[test]
fn versions_and_names() {
    let text =
        |version: &str, meta: &str| format!("apiVersion: {version}\nkind: PeerAuthentication\nmetadata: {{{meta}}}\n");
    check_finds(&text("§security.istio.io/v1alpha1", "name: a"), Code::ApiVersion);
    check_finds(&text("security.istio.io/v1", "name: §A_b"), Code::ObjectName);
    check_finds(&text("security.istio.io/v1", "name: §-a"), Code::ObjectName);
    check_finds(&text("security.istio.io/v1", "name: a, namespace: §x.y"), Code::ObjectName);
    for version in ["v1", "v1beta1"] {
        check_clean(&text(&format!("security.istio.io/{version}"), "name: a.b, namespace: c-d"));
    }
}

#[test]
fn dry_runs() {
    let policy = |kind: &str, value: &str, spec: &str| {
        let meta = format!("metadata:\n  name: a\n  annotations: {{istio.io/dry-run: {value}}}\n");
        format!("apiVersion: security.istio.io/v1\nkind: {kind}\n{meta}spec: {spec}\n")
    };
    check_finds(&policy("PeerAuthentication", "§'true'", "{}"), Code::DryRunMisplaced);
    check_finds(&policy("AuthorizationPolicy", "§'true'", "{action: AUDIT, rules: [{}]}"), Code::DryRunMisplaced);
    check_finds(&policy("AuthorizationPolicy", "§'yes'", "{rules: [{}]}"), Code::DryRunValue);
    check_finds(&policy("AuthorizationPolicy", "§''", "{rules: [{}]}"), Code::DryRunValue);
    check_silent(&policy("AuthorizationPolicy", "'1'", "{action: DENY, rules: [{}]}"), Code::DryRunMisplaced);
}

#[test]
fn targets() {
    let request =
        |spec: &str| object("RequestAuthentication", &format!("spec: {{jwtRules: [{{issuer: a}}], {spec}}}\n"));
    for (spec, code) in [
        ("targetRef: §{kind: Service}", Code::Missing),
        ("targetRef: §{name: a}", Code::Missing),
        ("targetRef: {kind: §Serv_ice, name: a}", Code::BadForm),
        ("targetRef: {group: §__, kind: Service, name: a}", Code::BadForm),
        ("targetRef: {kind: Service, name: §''}", Code::TooShort),
        ("targetRef: {kind: Service, name: a, namespace: §b}", Code::BadForm),
        ("targetRef: §{kind: Pod, name: a}", Code::TargetKind),
        ("targetRefs: [§{group: apps, kind: Service, name: a}]", Code::TargetKind),
        ("targetRef: {kind: Service, name: a}, targetRefs: §[]", Code::TargetConflict),
        ("selector: {}, targetRef: §{kind: Service, name: a}", Code::TargetConflict),
        ("selector: {matchLabels: {§'': a}}", Code::SelectorLabel),
        ("selector: {matchLabels: {§'a*': a}}", Code::SelectorLabel),
        ("selector: {matchLabels: {a: §'b*'}}", Code::SelectorLabel),
    ] {
        check_finds(&request(spec), code);
    }
    let long = "a".repeat(64);
    check_finds(&request(&format!("selector: {{matchLabels: {{a: §{long}}}}}")), Code::SelectorLabel);
    let labels: Vec<String> = (0..4097).map(|index| format!("l{index}: a")).collect();
    check_finds(&request(&format!("selector: {{matchLabels: §{{{}}}}}", labels.join(", "))), Code::SelectorLabel);
    let many = vec!["{kind: Service, name: a}"; 17].join(", ");
    check_finds(&request(&format!("targetRefs: §[{many}]")), Code::TooLong);
    let name = "a".repeat(254);
    check_finds(&request(&format!("targetRef: {{kind: Service, name: §{name}}}")), Code::TooLong);
    check_silent(&request("targetRefs: [{group: core, kind: Service, name: a}]"), Code::TargetKind);
    check_finds(&authorization("  selector: {}\n  targetRefs: §[]\n"), Code::TargetConflict);
}

#[test]
fn actions_and_providers() {
    check_finds(&format!("§{}", authorization("  action: DENY\n")), Code::NoRules);
    check_finds(&format!("§{}", authorization("  action: CUSTOM\n  rules: []\n")), Code::NoRules);
    check_finds(&format!("§{}", authorization("  action: CUSTOM\n  rules: [{}]\n")), Code::ProviderMissing);
    check_finds(&authorization("  action: CUSTOM\n  provider: {name: §''}\n"), Code::ProviderMissing);
    check_finds(&authorization("  provider: {name: §a}\n"), Code::ProviderUnused);
    let custom = |rule: &str| authorization(&format!("  action: CUSTOM\n  provider: {{name: a}}\n  rules: [{rule}]\n"));
    for (field, value) in [
        ("principals", "a"),
        ("notNamespaces", "a"),
        ("serviceAccounts", "a/b"),
        ("trustDomains", "a"),
        ("notRequestPrincipals", "a/b"),
    ] {
        check_finds(&custom(&format!("{{from: [{{source: {{{field}: [§{value}]}}}}]}}")), Code::CustomIdentity);
    }
    for key in ["request.auth.claims[a]", "request.auth.audiences", "source.principal", "source.namespace"] {
        check_finds(&custom(&format!("{{when: [{{key: §'{key}', values: [b]}}]}}")), Code::CustomIdentity);
    }
    check_silent(&custom("{from: [{source: {ipBlocks: [1.2.3.4]}}]}"), Code::CustomIdentity);
}

#[test]
fn rules_that_are_there_and_empty() {
    let rules = |rule: &str| authorization(&format!("  rules: [{rule}]\n"));
    for (rule, code) in [
        ("§~", Code::NullRule),
        ("{from: §[]}", Code::EmptyClause),
        ("{to: §[]}", Code::EmptyClause),
        ("{to: [§{}]}", Code::NullRule),
        ("{to: [§~]}", Code::NullRule),
        ("{from: [§{source: ~}]}", Code::NullRule),
        ("{from: [{source: §{}}]}", Code::EmptyClause),
        ("{to: [{operation: §{ports: []}}]}", Code::EmptyClause),
        ("{when: [{key: §source.ip}]}", Code::NoValues),
        ("{when: [§{values: [a]}]}", Code::Missing),
        ("{to: [{operation: {methods: [§'']}}]}", Code::EmptyValue),
        ("{from: [{source: {ipBlocks: [§'']}}]}", Code::EmptyValue),
        ("{from: [{source: {serviceAccounts: §[a/b], notPrincipals: []}}]}", Code::ServiceAccountsMixed),
        ("{from: [{source: {namespaces: [a], notServiceAccounts: §[a/b]}}]}", Code::ServiceAccountsMixed),
    ] {
        check_finds(&rules(rule), code);
    }
    let many = vec!["a/b"; 17].join(", ");
    check_finds(&rules(&format!("{{from: [{{source: {{serviceAccounts: §[{many}]}}}}]}}")), Code::TooLong);
    let long = "a".repeat(321);
    check_finds(&rules(&format!("{{from: [{{source: {{serviceAccounts: [§{long}]}}}}]}}")), Code::TooLong);
    check_finds(&authorization(&format!("  rules: §[{}]\n", vec!["{}"; 513].join(", "))), Code::TooLong);
    let from = vec!["{source: {namespaces: [a]}}"; 513].join(", ");
    check_finds(&rules(&format!("{{from: §[{from}]}}")), Code::TooLong);
}

#[test]
fn values_that_are_no_patterns() {
    for (field, value, code) in [
        ("ipBlocks", "1.2.3.4/40", Code::BadAddress),
        ("notRemoteIpBlocks", "a", Code::BadAddress),
        ("serviceAccounts", "a/b/c", Code::BadServiceAccount),
        ("serviceAccounts", "a/*", Code::BadServiceAccount),
        ("trustDomains", "a*b", Code::BadTrustDomain),
        ("notTrustDomains", "a/b", Code::BadTrustDomain),
    ] {
        check_finds(&authorization(&format!("  rules: [{{from: [{{source: {{{field}: [§'{value}']}}}}]}}]\n")), code);
    }
    for (field, value, code) in [
        ("ports", "65536", Code::BadPort),
        ("notPorts", "80-90", Code::BadPort),
        ("paths", "/{a}", Code::BadPath),
        ("paths", "/{**}/{*}", Code::BadPath),
        ("notPaths", "/{*}//a", Code::BadPath),
        ("paths", "a/{*}", Code::CrashingTemplate),
        ("paths", "{**}", Code::CrashingTemplate),
    ] {
        check_finds(&authorization(&format!("  rules: [{{to: [{{operation: {{{field}: [§'{value}']}}}}]}}]\n")), code);
    }
    for (key, value, code) in [
        ("source.ip", "a", Code::BadAddress),
        ("remote.ip", "a", Code::BadAddress),
        ("destination.ip", "a", Code::BadAddress),
        ("destination.port", "a", Code::BadPort),
        ("source.serviceAccount", "a/b/c", Code::BadServiceAccount),
        ("source.trustDomain", "*a*", Code::BadTrustDomain),
    ] {
        for list in ["values", "notValues"] {
            check_finds(
                &authorization(&format!("  rules: [{{when: [{{key: {key}, {list}: [§'{value}']}}]}}]\n")),
                code,
            );
        }
    }
}

#[test]
fn keys_that_are_not_known() {
    for key in [
        "destination.labels[a]",
        "destination.namespace",
        "destination.name",
        "destination.user",
        "source.serviceaccount",
        "request.headers[]",
        "request.headers",
        "request.auth.claims",
        "experimental.envoy.filters.a",
    ] {
        check_finds(
            &authorization(&format!("  rules: [{{when: [{{key: §'{key}', values: [a]}}]}}]\n")),
            Code::UnknownKey,
        );
    }
    let text = authorization("  rules: [{when: [{key: source.serviceaccount, values: [a]}]}]\n");
    let hint = checked(&text).problems.iter().find_map(|problem| problem.hint.clone());
    assert_eq!(hint.as_deref(), Some("did you mean `source.serviceAccount`?"));
}

#[test]
fn peers() {
    let peer = |spec: &str| object("PeerAuthentication", &format!("spec: {spec}\n"));
    check_finds(&peer("{portLevelMtls: §{80: {mode: STRICT}}}"), Code::PortsWithoutSelector);
    check_finds(&peer("{selector: {}, portLevelMtls: §{80: {mode: STRICT}}}"), Code::PortsWithoutSelector);
    check_finds(&peer("{mtls: {mode: §BLAH}}"), Code::UnknownValue);
    check_finds(&peer("{selector: {matchLabels: {§'*': a}}}"), Code::SelectorLabel);
    let selected = |ports: &str| peer(&format!("{{selector: {{matchLabels: {{a: b}}}}, portLevelMtls: {ports}}}"));
    check_finds(&selected("{§0: {mode: STRICT}}"), Code::PortRange);
    check_finds(&selected("{§65536: {mode: STRICT}}"), Code::PortRange);
    check_finds(&selected("{§http: {mode: STRICT}}"), Code::PortRange);
    check_finds(&selected("§{}"), Code::TooShort);
    check_clean(&selected("{80: {mode: STRICT}, 81: {}}"));
}

#[test]
fn token_rules() {
    let rule = |rule: &str| object("RequestAuthentication", &format!("spec: {{jwtRules: [{rule}]}}\n"));
    check_finds(&rule("§{fromParams: [a]}"), Code::NoIssuer);
    check_finds(&rule("{issuer: §''}"), Code::TooShort);
    for (field, code) in [
        ("audiences: [§'']", Code::TooShort),
        ("jwksUri: §'ftp://a'", Code::BadForm),
        ("jwksUri: 'https://a', jwks_uri: §'https://a'", Code::JwksConflict),
        ("jwksUri: 'https://a', jwks: §'{\"keys\": []}'", Code::JwksConflict),
        ("jwks: §'a'", Code::BadJwks),
        ("jwks: §'{\"keys\": [{}]}'", Code::BadJwks),
        ("jwks: §'{\"keys\": [{\"kty\": \"oct\", \"k\": \"a\"}]}'", Code::SecretKey),
        ("jwks: §'{\"keys\": [{\"kty\": \"RSA\", \"d\": \"a\"}]}'", Code::SecretKey),
        ("fromHeaders: [§{prefix: a}]", Code::Missing),
        ("fromHeaders: [{name: §''}]", Code::TooShort),
        ("fromCookies: [§'']", Code::TooShort),
        ("fromParams: [§'']", Code::TooShort),
        ("spaceDelimitedClaims: [§'']", Code::TooShort),
        ("outputClaimToHeaders: [{claim: §'', header: a}]", Code::TooShort),
        ("outputClaimToHeaders: [§{claim: a}]", Code::Missing),
        ("outputClaimToHeaders: [{claim: a, header: §'a b'}]", Code::BadForm),
        ("outputClaimToHeaders: [{claim: a, header: a}, {claim: b, header: §A}]", Code::SameHeaderTwice),
        ("timeout: §apple", Code::BadTimeout),
        ("timeout: §1us", Code::BadTimeout),
        ("presence: §MANDATORY", Code::UnknownValue),
    ] {
        check_finds(&rule(&format!("{{issuer: abc, {field}}}")), code);
    }
    let claims = vec!["a"; 65].join(", ");
    check_finds(&rule(&format!("{{issuer: abc, spaceDelimitedClaims: §[{claims}]}}")), Code::TooLong);
    let uri = format!("https://{}", "a".repeat(2048));
    check_finds(&rule(&format!("{{issuer: abc, jwksUri: §'{uri}'}}")), Code::TooLong);
    let rules = vec!["{issuer: a}"; 4097].join(", ");
    check_finds(&object("RequestAuthentication", &format!("spec: {{jwtRules: §[{rules}]}}\n")), Code::TooLong);
}

#[test]
fn the_words_of_the_api_server_are_told_beside_ours() {
    let text = object("RequestAuthentication", "spec: {jwtRules: [{issuer: a, fromHeaders: [{prefix: b}]}]}\n");
    let problems = checked(&text).problems;
    let told = problems.iter().find(|problem| problem.code == Code::Missing).expect("what is missing is told");
    assert_eq!(told.refusal.as_deref(), Some("spec.jwtRules[0].fromHeaders[0].name: Required value"));
    assert_eq!(told.object.as_deref(), Some("RequestAuthentication foo/a"));
}
