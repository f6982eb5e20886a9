//! What is accepted and misleads.

use super::*;

fn rule(action: &str, rule: &str) -> String {
    authorization(&format!("  action: {action}\n  rules: [{rule}]\n"))
}

#[test]
fn policies_that_match_nothing_or_everything() {
    check_finds(&format!("§{}", authorization("  {}\n")), Code::DeniesAll);
    check_finds(&rule("ALLOW", "§{}"), Code::MatchesAll);
    check_finds(&rule("DENY", "§{}"), Code::MatchesAll);
    check_silent(&rule("ALLOW", "{to: [{operation: {ports: ['80']}}]}"), Code::MatchesAll);
    check_finds(&authorization("  selector: §{}\n  rules: [{}]\n"), Code::EmptySelector);
    check_finds(&authorization("  selector: §{matchLabels: {}}\n"), Code::EmptySelector);
    check_finds(&object("PeerAuthentication", "spec: {selector: §{}}\n"), Code::EmptySelector);
    check_finds(&format!("§{}", object("RequestAuthentication", "spec: {}\n")), Code::NoTokenRules);
}

#[test]
fn an_allow_rule_that_only_excludes_is_open_to_plaintext() {
    let from = |source: &str| rule("ALLOW", &format!("{{from: [{{source: {source}}}]}}"));
    check_finds(&from("{notPrincipals: [§a]}"), Code::OpenToPlaintext);
    check_finds(&from("{notNamespaces: [§a], ipBlocks: [1.2.3.4]}"), Code::OpenToPlaintext);
    check_finds(&rule("ALLOW", "{when: [{key: §source.namespace, notValues: [a]}]}"), Code::OpenToPlaintext);
    for source in ["{principals: ['*'], notNamespaces: [a]}", "{notNamespaces: [a], requestPrincipals: ['*']}"] {
        check_silent(&from(source), Code::OpenToPlaintext);
    }
    let named = "{from: [{source: {notPrincipals: [a]}}], when: [{key: source.principal, values: ['*']}]}";
    check_silent(&rule("ALLOW", named), Code::OpenToPlaintext);
    check_silent(&rule("DENY", "{from: [{source: {notPrincipals: ['*']}}]}"), Code::OpenToPlaintext);
}

#[test]
fn a_deny_rule_of_http_conditions_alone() {
    check_finds(&rule("DENY", "§{to: [{operation: {methods: [GET]}}]}"), Code::HttpOnlyDeny);
    check_finds(&rule("DENY", "§{from: [{source: {requestPrincipals: ['*']}}]}"), Code::HttpOnlyDeny);
    check_finds(&rule("DENY", "§{when: [{key: 'request.headers[a]', values: [b]}]}"), Code::HttpOnlyDeny);
    let mixed = "§{to: [{operation: {ports: ['80']}}, {operation: {methods: [GET]}}]}";
    check_finds(&rule("DENY", mixed), Code::HttpOnlyDeny);
    check_silent(&rule("DENY", "{to: [{operation: {methods: [GET], ports: ['80']}}]}"), Code::HttpOnlyDeny);
    check_silent(
        &rule("DENY", "{from: [{source: {trustDomains: [a]}}], to: [{operation: {methods: [GET]}}]}"),
        Code::HttpOnlyDeny,
    );
    check_silent(&rule("ALLOW", "{to: [{operation: {methods: [GET]}}]}"), Code::HttpOnlyDeny);
}

#[test]
fn a_dash_too_many() {
    let from = "{from: [{source: {principals: [a]}}]}";
    let to = "{to: [{operation: {methods: [GET]}}]}";
    check_finds(&rule("ALLOW", &format!("{from}, §{to}")), Code::SiblingRules);
    check_finds(&rule("DENY", &format!("{to}, §{from}")), Code::SiblingRules);
    check_silent(&rule("ALLOW", &format!("{from}, {from}")), Code::SiblingRules);
    check_finds(&rule("ALLOW", &format!("{from}, §{from}")), Code::SameRuleTwice);
    check_silent(&rule("ALLOW", &format!("{from}, {to}")), Code::SameRuleTwice);
    let twice = "{from: [{source: {principals: [a]}}, {source: {principals: [b]}}]}";
    check_silent(
        &rule("ALLOW", &format!("{{from: [{{source: {{principals: [a, b]}}}}]}}, {twice}")),
        Code::SameRuleTwice,
    );
}

#[test]
fn paths() {
    let path = |action: &str, field: &str, value: &str| {
        rule(action, &format!("{{to: [{{operation: {{{field}: [{value}]}}}}]}}"))
    };
    for (action, field) in [("DENY", "paths"), ("ALLOW", "notPaths")] {
        check_finds(&path(action, field, "§/admin"), Code::FragilePath);
        check_finds(&path(action, field, "§'/admin/*'"), Code::FragilePath);
        let mesh = |mode: &str| format!("pathNormalization: {{normalization: {mode}}}\n---\n");
        let merging = format!("{}{}", mesh("DECODE_AND_MERGE_SLASHES"), path(action, field, "/admin/a"));
        check_silent(&merging, Code::FragilePath);
        check_finds(&format!("{}{}", mesh("MERGE_SLASHES"), path(action, field, "§/admin/a")), Code::FragilePath);
        check_silent(&format!("{}{}", mesh("MERGE_SLASHES"), path(action, field, "/admin")), Code::FragilePath);
    }
    check_silent(&path("ALLOW", "paths", "/admin"), Code::FragilePath);
    for (value, code) in [
        ("§admin", Code::PathNeverMatches),
        ("§'/a?b'", Code::PathNeverMatches),
        ("§'/a#b'", Code::PathNeverMatches),
        ("§'/a/*/b'", Code::LiteralStar),
        ("§'*/a*'", Code::LiteralStar),
        ("§'/a/.*'", Code::RegexLike),
        ("§'^/a'", Code::RegexLike),
        ("§'/a.*/b'", Code::RegexLike),
    ] {
        check_finds(&path("ALLOW", "paths", value), code);
    }
    for value in ["/a", "'/a*'", "'/a.*'", "'*a'", "'*'", "'/{*}/a'"] {
        check_clean(&path("ALLOW", "paths", value));
    }
}

#[test]
fn hosts_methods_ports_headers_and_claims() {
    let to = |action: &str, operation: &str| rule(action, &format!("{{to: [{{operation: {{{operation}}}}}]}}"));
    check_finds(&to("DENY", "hosts: [§a.example]"), Code::HostWithoutPort);
    check_finds(&to("ALLOW", "notHosts: [§'*.example']"), Code::HostWithoutPort);
    check_silent(&to("DENY", "hosts: [a.example, 'a.example:*']"), Code::HostWithoutPort);
    check_silent(&to("ALLOW", "hosts: [a.example]"), Code::HostWithoutPort);
    check_finds(&to("ALLOW", "hosts: [§'https://a.example']"), Code::HostNeverMatches);
    check_clean(&to("ALLOW", "hosts: ['a.*', '*.example']"));
    check_finds(&to("ALLOW", "methods: [§get]"), Code::MethodCase);
    check_finds(&to("ALLOW", "ports: [§'0']"), Code::PortZero);
    check_finds(&to("ALLOW", "methods: [§GET], notMethods: [GET]"), Code::NeverMatches);
    check_finds(&to("ALLOW", "ports: [§'80', '81'], notPorts: ['81', '80']"), Code::NeverMatches);
    check_silent(&to("ALLOW", "ports: ['80', '81'], notPorts: ['81']"), Code::NeverMatches);
    let header =
        |name: &str, rest: &str| rule("DENY", &format!("{{when: [{{key: §'request.headers[{name}]', {rest}}}]}}"));
    check_finds(&header("User-Agent", "values: [a]"), Code::HeaderDeny);
    // Several of this name stay several, and each is compared; and a value that is demanded has no way around it.
    for (name, rest) in [("x-own", "values: [a]"), ("user-agent", "notValues: [a]")] {
        check_silent(&header(name, rest).replace('§', ""), Code::HeaderDeny);
    }
    let claim =
        |value: &str| rule("ALLOW", &format!("{{when: [{{key: 'request.auth.claims[scope]', values: [{value}]}}]}}"));
    check_finds(&claim("§'read write'"), Code::SpacedClaim);
    check_silent(&claim("read"), Code::SpacedClaim);
}

#[test]
fn identities() {
    let from = |source: &str| rule("ALLOW", &format!("{{from: [{{source: {{{source}}}}}]}}"));
    check_finds(&from("principals: [§'spiffe://a/ns/b/sa/c']"), Code::PrincipalScheme);
    check_finds(&from("principals: [§'a/ns/*/sa/c']"), Code::LiteralStar);
    for value in ["'*/*'", "'*/sub*'", "issuer", "'issuer/'"] {
        check_finds(&from(&format!("requestPrincipals: [§{value}]")), Code::TokenPrincipal);
    }
    for value in ["'*'", "'iss/*'", "'https://a/b'", "'*/sub'"] {
        check_silent(&from(&format!("requestPrincipals: [{value}]")), Code::TokenPrincipal);
    }
    let mesh = |source: &str| format!("trustDomain: a\ntrustDomainAliases: [b]\n---\n{}", from(source));
    check_finds(&mesh("principals: [§'cluster.local/*']"), Code::AliasNotApplied);
    check_finds(&mesh("principals: [§'a/ns/b/*']"), Code::AliasNotApplied);
    check_silent(&mesh("principals: ['a/ns/b/sa/*']"), Code::AliasNotApplied);
    check_finds(&mesh("principals: [§'c/ns/b/sa/d']"), Code::ForeignTrustDomain);
    check_finds(&mesh("trustDomains: [§c]"), Code::ForeignTrustDomain);
    for source in ["principals: ['cluster.local/ns/b/sa/d']", "principals: ['b/ns/b/sa/d']", "trustDomains: [a]"] {
        check_silent(&mesh(source), Code::ForeignTrustDomain);
    }
    check_silent(&from("principals: ['c/ns/b/sa/d']"), Code::ForeignTrustDomain);
}

#[test]
fn presence_is_inert() {
    let text = object("RequestAuthentication", "spec: {jwtRules: [{issuer: a, presence: §REQUIRED}]}\n");
    check_finds(&text, Code::PresenceInert);
}
