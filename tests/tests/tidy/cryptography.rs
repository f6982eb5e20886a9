//! One TLS stack, one crypto library, and nothing from a place without releases.

use crate::files;
use crate::graph::Graph;
use crate::nothing_to_complain_about;

/// The members that leave the house.
const SHIPPED: [&str; 3] = ["signet-ca", "sds-agent", "signet"];

/// Of these there must be exactly one.
const ONE_EACH: [&str; 2] = ["ring", "rustls"];

/// What would be a second of its kind: TLS stacks, crypto libraries, signature schemes.
const SECOND: [&str; 17] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "boring",
    "boring-sys",
    "dsa",
    "ecdsa",
    "ed25519-dalek",
    "k256",
    "mbedtls",
    "native-tls",
    "openssl",
    "openssl-sys",
    "p256",
    "p384",
    "p521",
    "rsa",
    "wolfssl",
];

/// `packages` are names and versions.
fn complaints(packages: &[(&str, &str)]) -> Vec<String> {
    let second = packages.iter().filter(|(name, _)| SECOND.contains(name));
    let second = second.map(|(name, version)| format!("`{name}` {version} is compiled in"));
    let versions = ONE_EACH.iter().filter_map(|one| {
        let found: Vec<&str> = packages.iter().filter(|(name, _)| name == one).map(|(_, version)| *version).collect();
        (found.len() != 1).then(|| format!("`{one}` must be there once: {found:?}"))
    });
    second.chain(versions).collect()
}

fn git_sources(lockfile: &str) -> Vec<String> {
    let lines = lockfile.lines().filter(|line| line.starts_with("source = \"git+"));
    lines.map(str::to_owned).collect()
}

#[test]
fn what_ships_has_one_tls_stack_and_one_crypto_library() {
    let graph = Graph::load();
    let shipped = graph.shipped_with(&SHIPPED);
    let packages = shipped.into_iter().map(|id| &graph.packages[id]);
    let packages: Vec<(&str, &str)> =
        packages.map(|package| (package.name.as_str(), package.version.as_str())).collect();

    nothing_to_complain_about(&complaints(&packages));
}

#[test]
fn a_second_stack_or_a_second_version_is_told() {
    let found = complaints(&[("openssl-sys", "0.9"), ("rustls", "0.22.4"), ("rustls", "0.23.46"), ("serde", "1")]);

    assert_eq!(
        found,
        [
            "`openssl-sys` 0.9 is compiled in",
            "`ring` must be there once: []",
            "`rustls` must be there once: [\"0.22.4\", \"0.23.46\"]",
        ]
    );
}

#[test]
fn no_dependency_comes_from_a_git_repository() {
    nothing_to_complain_about(&git_sources(&files::read("Cargo.lock")));
}

#[test]
fn a_git_dependency_is_told() {
    let lockfile = "[[package]]\nname = \"x\"\nsource = \"git+https://example.org/x#1\"\n";

    assert_eq!(git_sources(lockfile).len(), 1);
}
