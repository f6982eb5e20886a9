//! Settings: defaults, bounds, and everything wrong told at once.

use super::*;

fn from(toml: &str) -> Result<(Config, Effective), ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    std::fs::write(&path, toml).unwrap();
    let mut layers = Layers::new();
    layers.file(&path);
    load(layers, &[])
}

fn problems(toml: &str) -> Vec<String> {
    let error = from(toml).unwrap_err();
    error.problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
}

#[test]
fn an_address_is_all_that_must_be_set() {
    let (config, effective) = from("[ca]\naddress = 'ca.example:15012'\n").unwrap();
    assert_eq!(config.ca.endpoint.server_name.as_str(), "ca.example");
    assert_eq!(config.identity.trust_domain.as_str(), "cluster.local");
    assert_eq!(config.token.file, Path::new("/var/run/secrets/tokens/istio-token"));
    assert_eq!(config.sds.mode.bits(), 0o600);
    assert_eq!(config.output_dir, None);
    let known: Vec<_> = SETTINGS.iter().map(|setting| setting.key.to_owned()).collect();
    assert!(effective.iter().all(|setting| known.contains(&setting.key)), "every setting read stands in the table");
    assert_eq!(effective.len(), known.len(), "every setting in the table is read");
}

#[test]
fn every_default_path_moves_with_the_root_directory() {
    let (config, _) = from("root_dir = '/vm'\n[ca]\naddress = '[::1]:15012'\n").unwrap();
    assert_eq!(config.ca.root_file, Path::new("/vm/var/run/secrets/istio/root-cert.pem"));
    assert_eq!(config.token.file, Path::new("/vm/var/run/secrets/tokens/istio-token"));
    assert_eq!(config.sds.socket, Path::new("/vm/var/run/secrets/workload-spiffe-uds/socket"));
    assert_eq!(config.ca.endpoint.server_name.as_str(), "::1");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told = problems(
        "trust_domain = 'UPPER'\nnamespace = 'a/b'\nmood = 'good'\n\
         [ca]\naddress = 'http://plain:80'\ndeadline = '1h'\n\
         [identity]\nttl = '0s'\nrenew_ratio = 1.5\nrenew_jitter = 'x'\n\
         [sds]\nmode = '999'\nallowed_uids = ['root']\n\
         [admin]\nlisten = 'here'\n[log]\nformat = 'xml'\n",
    );
    let keys: Vec<_> = told.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        keys,
        [
            "trust_domain",
            "namespace",
            "identity.ttl",
            "identity.renew_ratio",
            "identity.renew_jitter",
            "ca.address",
            "ca.deadline",
            "sds.mode",
            "sds.allowed_uids",
            "admin.listen",
            "log.format",
            "mood",
        ]
    );
}

#[test]
fn several_addresses_each_have_their_own_name_unless_one_is_set() {
    let names = |toml: &str| -> Vec<String> {
        let (config, _) = from(toml).unwrap();
        let shown = |endpoint: &CaEndpoint| format!("{} {}", endpoint.address, endpoint.server_name.as_str());
        (0..=config.ca.alternatives.len()).map(|moves| shown(config.ca.place(moves))).collect()
    };
    assert_eq!(names("[ca]\naddress = 'a.test:1, b.test:2'\n"), ["a.test:1 a.test", "b.test:2 b.test"]);
    let one_name = names("[ca]\naddress = 'a.test:1,b.test:2'\nserver_name = 'ca.test'\n");
    assert_eq!(one_name, ["a.test:1 ca.test", "b.test:2 ca.test"]);
    let (config, _) = from("[ca]\naddress = 'a.test:1, b.test:2, c.test:3'\n").unwrap();
    let round = (2..6).map(|moves| config.ca.place(moves).address.to_string()).collect::<Vec<_>>();
    assert_eq!(round, ["c.test:3", "a.test:1", "b.test:2", "c.test:3"]);
    for wrong in ["a.test:1,a.test:1", "a.test:1,", ",", "a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1"] {
        assert!(problems(&format!("[ca]\naddress = '{wrong}'\n"))[0].starts_with("ca.address: "), "{wrong}");
    }
}

#[test]
fn a_missing_address_is_named() {
    assert_eq!(problems(""), ["ca.address: must be set to text"]);
}

fn check_address(text: &str, accepted: bool) {
    assert_eq!(text.parse::<CaAddress>().is_ok(), accepted, "{text}");
}

#[test]
fn an_address_is_a_host_and_a_port_and_nothing_else() {
    check_address("localhost:15012", true);
    check_address("10.0.0.1:443", true);
    check_address("[fd00::1]:15012", true);
    for refused in ["localhost", "localhost:0", "localhost:99999", "https://x:1", "u@x:1", ":1", "x:1/path", ""] {
        check_address(refused, false);
    }
}

#[test]
fn headers_that_are_the_agents_own_cannot_be_set_from_outside() {
    assert_eq!(CaHeader::new("X-Team", "a").unwrap().name.as_str(), "x-team");
    let refused = |name, value| CaHeader::new(name, value).unwrap_err();
    assert_eq!(refused("Authorization", "a"), HeaderError::Reserved { name: "authorization".into() });
    assert_eq!(refused("grpc-timeout", "a"), HeaderError::Reserved { name: "grpc-timeout".into() });
    assert_eq!(refused("a b", "a"), HeaderError::Name { name: "a b".into() });
    assert_eq!(refused("data-bin", "a"), HeaderError::Name { name: "data-bin".into() });
    assert_eq!(refused("x", "a\nb"), HeaderError::Value { name: "x".into() });
}

#[test]
fn a_header_value_is_never_printed() {
    let mut layers = Layers::new();
    layers.environment("CA_ADDR", "ca.address", Some("ca:1".into()));
    let (config, effective) = load(layers, &[("Key".into(), "hunter2".into())]).unwrap();
    assert_eq!(config.ca.headers.len(), 1);
    assert!(!format!("{config:?}{effective:?}").contains("hunter2"));
}
