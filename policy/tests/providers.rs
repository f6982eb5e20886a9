//! Whether an external service can be asked is judged once: what is decided is what Envoy is told.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use signet_policy::compile::Effect;
use signet_policy::envoy::{Chain, CustomOptions, RenderOptions, custom_filters};
use signet_policy::select::{Destination, Point, Selection, Switches};
use signet_policy::{Compiled, ReadOptions, Sources, World, read};

/// Settings of a provider of either kind.
const SETTINGS: [&str; 9] = [
    "service: a, port: 80",
    "service: a",
    "port: 80",
    "service: a, port: 65536",
    "service: a, port: 80, timeout: 1m",
    "service: a, port: 80, statusOnError: '999'",
    "service: a, port: 80, failOpen: perhaps",
    "service: a, port: 80, pathPrefix: x",
    "service: a, port: 80, headersToUpstreamOnAllow: ['*']",
];

fn world(provider: &str, names: &[&str]) -> World {
    let mut text = format!("extensionProviders: [{provider}]\n");
    for name in names {
        text.push_str(&format!(
            "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: 'n{name}', namespace: foo}}\n\
             spec: {{action: CUSTOM, provider: {{name: '{name}'}}, rules: [{{}}]}}\n"
        ));
    }
    let mut sources = Sources::new();
    sources.add("a.yaml", &text);
    read(&sources, &ReadOptions::default()).into_world().unwrap()
}

/// Whether what the rules match is refused, by what is decided and by what Envoy is told.
#[track_caller]
fn check(provider: &str, names: &[&str], chain: Chain) {
    let world = world(provider, names);
    let destination = Destination { namespace: "foo".into(), ..Destination::default() };
    let point = if chain == Chain::Http { Point::SidecarHttp } else { Point::SidecarTcp };
    let selection =
        Selection { root_namespace: "istio-system", switches: Switches::default(), destination: &destination, point };
    let compiled = Compiled::new(&world, &selection);
    let effects: Vec<Effect> = compiled.unenforceable().iter().map(|one| one.effect).collect();

    let policies: Vec<_> = world.authorization.iter().collect();
    let options = RenderOptions { chain, identity_in_filter_state: false, trust_domains: &[] };
    let custom = CustomOptions { providers: &world.mesh.providers, several_providers: false, services: None };
    let (filters, errors) = custom_filters(&policies, &options, &custom);

    assert_eq!(
        effects.contains(&Effect::Refused),
        !errors.is_empty(),
        "{provider} {names:?} {chain:?}: {effects:?} {errors:?}"
    );
    let asks_nobody = filters.is_empty();
    assert_eq!(effects.contains(&Effect::PolicyDropped), asks_nobody, "{provider} {names:?} {chain:?}: {effects:?}");
}

#[test]
fn what_is_decided_about_a_provider_is_what_envoy_is_told() {
    for settings in SETTINGS {
        for kind in ["envoyExtAuthzHttp", "envoyExtAuthzGrpc", "zipkin"] {
            let provider = format!("{{name: p, {kind}: {{{settings}}}}}");
            for chain in [Chain::Http, Chain::Tcp] {
                for names in [&["p"][..], &["q"], &["p", "q"], &["p", ""]] {
                    check(&provider, names, chain);
                }
            }
        }
    }
}
