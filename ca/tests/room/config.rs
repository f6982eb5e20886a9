//! Settings: what is wrong is told at once, with key and origin, and what is right arrives as it was meant.

use std::fs;
use std::path::Path;
use std::time::Duration;

use signet_ca::authority::rotation::Policy;
use signet_ca::cli::DAEMON;
use signet_ca::config::{AuthoritySource, CaConfig};
use signet_ca::ledger::SyncPolicy;
use signet_ca::profile::{KeyKind, OverMax};
use signet_identity::der::AltName;
use signet_kubernetes::Connection;
use signet_runtime::ConfigError;
use signet_testkit::{TempDir, TokenIssuer, temp_dir};

/// Reads a command line with a file (`FILE`), the issuer's keys (`JWKS`) and an environment.
pub(crate) fn read(
    toml: &str,
    flags: &[&str],
    environment: &[(&str, &str)],
) -> (Result<CaConfig, ConfigError>, TempDir) {
    let dir = temp_dir();
    fs::write(dir.path().join("jwks.json"), TokenIssuer::es256().jwks_json()).unwrap();
    let place = |text: &str| text.replace("DIR", dir.path().to_str().unwrap());
    let file = dir.path().join("ca.toml");
    fs::write(&file, place(toml)).unwrap();
    let words = ["signet-ca", "run", "--config", file.to_str().unwrap()].map(str::to_owned);
    let words = words.into_iter().chain(flags.iter().map(|flag| place(flag)));
    let matches = DAEMON.command().try_get_matches_from(words).unwrap();
    let lookup =
        |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let run = matches.subcommand_matches("run").unwrap();
    (CaConfig::read(DAEMON.layers(run, lookup)).map(|(config, _)| config), dir)
}

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) const LEAST: &str = "[tokens]\nissuer = 'k8s'\njwks_file = 'DIR/jwks.json'\n";

pub(crate) fn good(toml: &str, flags: &[&str], environment: &[(&str, &str)]) -> CaConfig {
    read(&format!("{LEAST}{toml}"), flags, environment).0.unwrap()
}

/// What was told, without directories.
pub(crate) fn problems(toml: &str, flags: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let (result, dir) = read(toml, flags, environment);
    let error = result.expect_err("there should be problems");
    error.problems.iter().map(|p| p.to_string().replace(dir.path().to_str().unwrap(), "DIR")).collect()
}

#[test]
fn the_least_file_gives_the_documented_defaults() {
    let config = good("", &[], &[]);
    assert_eq!(config.trust_domain.as_str(), "cluster.local");
    assert_eq!(config.callers.primary.rules.id, "Kubernetes");
    assert_eq!((config.listen.port(), config.admin_listen.port()), (15012, 15014));
    assert!(!config.reflection);
    assert_eq!(config.callers.primary.rules.tokens.audiences, ["istio-ca"]);
    assert!(config.callers.primary.rules.tokens.require_pod);
    assert_eq!(config.callers.primary.keys.unwrap().refresh, Duration::from_secs(300));
    assert_eq!(config.authority.source, AuthoritySource::SelfSigned { state_dir: "/var/lib/signet-ca".into() });
    assert_eq!(config.authority.root_ttl, Duration::from_secs(87_600 * 3600));
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let Policy { automatic, prepare_percent, activate_percent, acknowledged_percent, .. } = config.rotation;
    assert_eq!((automatic, prepare_percent, activate_percent, acknowledged_percent), (true, 20, 10, 100));
    let Policy { min_wait, deadline, keep_old, leaf_max, renewal_spread, .. } = config.rotation;
    assert_eq!([min_wait, deadline, keep_old, leaf_max], [24, 48, 24, 2160].map(hours));
    assert_eq!(renewal_spread, Duration::from_secs(600));
    assert_eq!(config.leaf.default_ttl, Duration::from_secs(86_400));
    assert_eq!(config.leaf.max_ttl, Duration::from_secs(2160 * 3600));
    assert_eq!(config.leaf.over_max, OverMax::Clamp);
    assert_eq!(config.leaf.keys, [KeyKind::P256, KeyKind::P384, KeyKind::Rsa]);
    assert_eq!(config.serving.ttl, Duration::from_secs(86_400));
    let names: Vec<_> = config.serving.names.iter().map(|name| format!("{name:?}")).collect();
    let wanted = ["istiod", "istiod-remote", "istio-pilot", "signet-ca"];
    assert_eq!(names[..4], wanted.map(|name| format!("Dns(\"{name}.istio-system.svc\")")));
    assert_eq!(names[4..], ["Dns(\"localhost\")"]);
}

#[test]
fn istios_environment_is_honoured_and_flags_win() {
    let environment = [
        ("TRUST_DOMAIN", "example.org"),
        ("CLUSTER_ID", "west"),
        ("POD_NAMESPACE", "mesh"),
        ("TOKEN_AUDIENCES", "istio-ca, vault"),
        ("ROOT_CA_DIR", "/etc/cacerts"),
        ("CITADEL_SELF_SIGNED_CA_CERT_TTL", "48h0m0s"),
        ("CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE", "35"),
        ("DEFAULT_WORKLOAD_CERT_TTL", "12h"),
        ("MAX_WORKLOAD_CERT_TTL", "48h0m0s"),
        ("ISTIOD_CUSTOM_HOST", "a.example.org,istiod.mesh.svc"),
        ("JWT_RULE", r#"{"issuer": "https://vm.example", "audiences": ["a"], "jwks_uri": "https://vm.example/k"}"#),
    ];
    // A root of two days is too short to rotate with certificates of two days.
    let by_hand = "[authority]\nrotation.automatic = false\n";
    let config = good(by_hand, &["--leaf.default_ttl", "10m"], &environment);
    assert_eq!(config.trust_domain.as_str(), "example.org");
    assert_eq!(config.callers.primary.rules.id, "west");
    assert_eq!(config.callers.primary.rules.tokens.audiences, ["istio-ca", "vault"]);
    let (dir, state_dir) = ("/etc/cacerts".into(), "/var/lib/signet-ca".into());
    assert_eq!(config.authority.source, AuthoritySource::PluggedInIfThere { dir, state_dir });
    assert_eq!(config.authority.root_ttl, Duration::from_secs(48 * 3600));
    assert_eq!((config.rotation.automatic, config.rotation.prepare_percent), (false, 35));
    assert_eq!(config.leaf.default_ttl, Duration::from_secs(600));
    assert_eq!(config.leaf.max_ttl, Duration::from_secs(48 * 3600));
    assert!(config.serving.names.contains(&AltName::Dns("a.example.org".to_owned())));
    assert_eq!(config.serving.names.len(), 6, "a name given twice is there once");
    let [vm] = config.callers.oidc.as_slice() else { panic!("{:?}", config.callers.oidc) };
    assert_eq!(
        (vm.rules.issuer.as_str(), vm.rules.audiences.as_slice()),
        ("https://vm.example", &["a".to_owned()][..])
    );
    assert_eq!(vm.keys.to_string(), "https://vm.example/k");
}

#[test]
fn everything_wrong_is_told_at_once_with_key_and_origin() {
    let toml = "trust_domain = 'Example.org'\nlisten = '15012'\nlisten_adress = 'x'\nreflection = 'maybe'\n\
                [tokens]\naudiences = []\njwks_file = 'DIR/absent.json'\njwks_refresh = '10'\n\
                [leaf]\nmax_ttl = '0s'\nover_max = 'ignore'\nkeys = ['DSA']\n\
                [serving]\nnames = ['not a name']\n[log]\nformat = 3\nlevel = 'inof'\n";
    let told = problems(toml, &["--serving.ttl", "soon"], &[("DEFAULT_WORKLOAD_CERT_TTL", "a day")]);
    let wanted = [
        "`trust_domain` (DIR/ca.toml:1): trust domain holds 'E' at byte 0, only a-z, 0-9, `.`, `-` and `_` are accepted",
        "`listen` (DIR/ca.toml:2): `15012` is not an address with port, such as 0.0.0.0:15012 or [::]:15012",
        "`reflection` (DIR/ca.toml:4): `maybe` is not true or false",
        "`log.format` (DIR/ca.toml:16): `3` is not text",
        "`log.level` (DIR/ca.toml:17): `inof` is no log level",
        "`tokens.issuer` (default): must be set to text",
        "`tokens.audiences` (DIR/ca.toml:6): must name at least one audience",
        "`tokens.jwks_file` (DIR/ca.toml:7): cannot open `DIR/absent.json`: No such file or directory (os error 2)",
        "`tokens.jwks_refresh` (DIR/ca.toml:8): `10` is not a duration such as 500ms, 30s, 24h or 1h30m",
        "`leaf.default_ttl` (environment DEFAULT_WORKLOAD_CERT_TTL): `a day` is not a duration such as 500ms, 30s, 24h \
         or 1h30m",
        "`leaf.max_ttl` (DIR/ca.toml:10): must be at least 1s",
        "`leaf.over_max` (DIR/ca.toml:11): `ignore` is not `clamp` or `refuse`",
        "`leaf.keys` (DIR/ca.toml:12): `DSA` is no kind of key, use `P-256`, `P-384`, `RSA` or `Ed25519`",
        "`serving.names` (DIR/ca.toml:14): `not a name` is neither a DNS name nor an IP address",
        "`serving.ttl` (flag --serving-ttl): `soon` is not a duration such as 500ms, 30s, 24h or 1h30m",
        "`listen_adress` (DIR/ca.toml:3): unknown key",
    ];
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for (told, wanted) in told.iter().zip(wanted) {
        assert!(told.starts_with(wanted), "{told}\n{wanted}");
    }
}

fn check_problem(toml: &str, wanted: &str) {
    let told = problems(&format!("tokens.issuer = 'k8s'\n{toml}"), &[], &[]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains(wanted), "{told:#?}");
}

#[test]
fn keys_come_from_one_place_that_can_be_trusted() {
    check_problem("", "set this or `tokens.jwks_url`");
    let both = "tokens.jwks_file = 'DIR/jwks.json'\ntokens.jwks_url = 'http://localhost/'";
    check_problem(both, "set either this or `tokens.jwks_file`");
    check_problem("tokens.jwks_file = 'DIR/ca.toml'", "key set is not a JSON object with a `keys` list");
    check_problem("tokens.jwks_url = 'https://api/jwks'", "https needs `tokens.jwks_ca_file`");
    check_problem("tokens.jwks_url = 'http://api/jwks'", "http is accepted only to this machine");
    check_problem("tokens.jwks_url = 'http://10.0.0.1/'", "http is accepted only to this machine");
    check_problem("tokens.jwks_url = 'http://localhost.evil/'", "http is accepted only to this machine");
    check_problem("tokens.jwks_url = 'ftp://localhost/'", "must be https");
    check_problem("tokens.jwks_url = '/jwks'", "must be a whole URL");
    let absent = "tokens.jwks_url = 'https://api/'\ntokens.jwks_ca_file = 'DIR/absent'";
    check_problem(absent, "`tokens.jwks_ca_file` (DIR/ca.toml:3): cannot open");
    for local in ["http://localhost:8001/", "http://127.0.0.1/", "http://127.3.2.1:80/x", "http://[::1]:80/"] {
        let (result, _dir) = read(&format!("tokens.issuer = 'k8s'\ntokens.jwks_url = '{local}'\n"), &[], &[]);
        result.expect(local);
    }
}

#[test]
fn one_authority_is_named_without_ambiguity() {
    let plugged = "tokens.jwks_file = 'DIR/jwks.json'\nauthority.plugged_in_dir = '/a'\n";
    check_problem(&format!("{plugged}authority.cacerts_dir = '/b'"), "does not go with `authority.cacerts_dir`");
    let check = |flags: &[&str], wanted: Option<&str>| {
        let config = good("", &[&["--authority.plugged_in_dir", "/a"], flags].concat(), &[]);
        let state_dir = wanted.map(Into::into);
        assert_eq!(config.authority.source, AuthoritySource::PluggedIn { dir: "/a".into(), state_dir });
        assert_eq!(config.control_socket.is_some(), wanted.is_some());
    };
    check(&[], Some("/var/lib/signet-ca"));
    check(&["--authority.state_dir", "/b"], Some("/b"));
    check(&["--authority.state_dir", "none"], None);
    for source in ["", "authority.cacerts_dir = '/b'\n"] {
        let nowhere = format!("tokens.jwks_file = 'DIR/jwks.json'\nauthority.state_dir = 'none'\n{source}");
        check_problem(
            &nowhere,
            "`authority.state_dir` (DIR/ca.toml:3): `none` goes with `authority.plugged_in_dir` only",
        );
    }
}

#[test]
fn roots_and_waits_that_could_never_work_together_are_refused_with_the_reason() {
    let check = |settings: &str, wanted: &str| {
        check_problem(&format!("tokens.jwks_file = 'DIR/jwks.json'\n{settings}"), wanted);
    };
    let short = "authority.root_ttl = '2400h'\n";
    check(short, "`authority.root_ttl` (DIR/ca.toml:3): a root of 2400h is too short");
    check(&format!("{short}leaf.max_ttl = '2000h'"), "its successor signs 2024h before its end");
    let day = "authority.root_ttl = '24h'\nleaf.max_ttl = '1h'\nserving.ttl = '1h'\n\
               authority.rotation.min_wait = '0s'\nauthority.rotation.deadline = '1h'\n";
    check(&format!("{day}authority.rotation.keep_old = '9000h'"), "`authority.rotation.keep_old` (DIR/ca.toml:8): old");
    check("authority.rotation.activate_percent = 20", "must be less than `authority.rotation.prepare_percent`");
    check("authority.rotation.prepare_percent = 91", "must be from 1 to 90");
    check("authority.rotation.acknowledged_percent = 0", "must be from 1 to 100");
    check("authority.rotation.min_wait = '49h'", "must not be longer than `authority.rotation.deadline`");
    let (result, _dir) = read(&format!("tokens.issuer = 'k8s'\ntokens.jwks_file = 'DIR/jwks.json'\n{day}"), &[], &[]);
    result.expect("short certificates make short roots possible");
    let by_hand = "authority.rotation.automatic = false\n";
    check(
        &format!("{by_hand}{short}leaf.max_ttl = '2401h'"),
        "`authority.root_ttl` (DIR/ca.toml:4): a root of 2400h is",
    );
    check(&format!("{by_hand}{day}serving.ttl = '25h'").replace("serving.ttl = '1h'\n", ""), "shorter than the 25h of");
    good(&format!("{by_hand}{short}").replace("authority.", "").replacen("r", "[authority]\nr", 1), &[], &[]);
}

#[test]
fn lives_and_grace_periods_that_would_never_be_had_are_refused() {
    let check = |settings: &str, wanted: &str| {
        check_problem(&format!("tokens.jwks_file = 'DIR/jwks.json'\n{settings}"), wanted);
    };
    check("leaf.default_ttl = '2161h'", "`leaf.default_ttl` (DIR/ca.toml:3): must not be longer than `leaf.max_ttl`");
    let days = "leaf.max_ttl = '240h'\nauthority.root_ttl = '1000h'\n";
    let prepare = |percent: u32| format!("{days}authority.rotation.prepare_percent = {percent}");
    check(&prepare(20), "`authority.rotation.prepare_percent` (DIR/ca.toml:5): 20 % of a root of 1000h would never be");
    check(&prepare(20), "it happens 312h before the end");
    let activate = format!("{}\nauthority.rotation.activate_percent = 26", prepare(32));
    check(&activate, "`authority.rotation.activate_percent` (DIR/ca.toml:6): 26 % of a root of 1000h");
    check(
        "authority.rotation.renewal_spread = '2161h'",
        "`authority.rotation.renewal_spread` (DIR/ca.toml:3): must not",
    );
    good("[leaf]\nmax_ttl = '1h'", &[], &[]);
    let rotation = "[authority]\nroot_ttl = '1000h'\nrotation.prepare_percent = 32\nrotation.activate_percent = 27\n";
    good(&format!("{rotation}[leaf]\nmax_ttl = '240h'"), &[], &[]);
}

#[test]
fn the_ledger_stands_beside_the_authority_unless_it_is_put_elsewhere_or_left_out() {
    let ledger = |toml: &str| good(toml, &[], &[]).ledger;
    let default = ledger("").unwrap();
    assert_eq!(default.dir, Path::new("/var/lib/signet-ca/ledger"));
    assert_eq!(default.sync, SyncPolicy::Always);
    assert_eq!((default.keeping.segment_max_bytes, default.keeping.max_bytes), (64 << 20, 1 << 30));
    assert_eq!(default.keeping.max_age, Duration::from_secs(8760 * 3600));
    assert_eq!(ledger("[authority]\nstate_dir = '/s'").unwrap().dir, Path::new("/s/ledger"));
    assert_eq!(ledger("[authority]\nplugged_in_dir = '/p'").unwrap().dir, default.dir);
    assert_eq!(ledger("[ledger]\ndir = '/l'").unwrap().dir, Path::new("/l"));
}

#[test]
fn what_could_start_and_would_not_work_is_refused_with_the_setting_that_is_missing() {
    let check = |toml: &str, wanted| check_problem(&format!("tokens.jwks_file = 'DIR/jwks.json'\n{toml}"), wanted);
    check(
        "tokens.mode = 'local-then-review'",
        "`tokens.mode` (DIR/ca.toml:3): reviews need the cluster's API server: set",
    );
    check("tokens.mode = 'review'", "`tokens.mode` (DIR/ca.toml:3): reviews need the cluster's API server");
    let west = "id = 'west', issuer = 'w', jwks_file = 'DIR/jwks.json'";
    check(&format!("clusters = [{{ {west}, mode = 'local-then-review' }}]"), "clusters[0].mode");
    check(
        "node_proxies = 'mesh/ztunnel'",
        "`node_proxies` (DIR/ca.toml:3): what a node proxy asks for is judged by pods",
    );
    check("tokens.stale_after = '1s'", "`tokens.stale_after` (DIR/ca.toml:3): must be at least 5m");
    check(
        "leaf.default_ttl = '49h'\nleaf.max_ttl = '48h'",
        "`leaf.default_ttl` (DIR/ca.toml:3): must not be longer than",
    );
    check("authority.rotation.keep_old = '0s'", "`authority.rotation.keep_old` (DIR/ca.toml:3): must be at least 1m");
    let short = "authority.rotation.min_wait = '0s'\nauthority.rotation.deadline = '1s'";
    check(short, "`authority.rotation.deadline` (DIR/ca.toml:4): must be at least 1m");

    let connected = "[kubernetes]\nserver = 'http://localhost'\n";
    let flags = ["--tokens.mode", "review", "--node_proxies", "mesh/ztunnel"];
    assert_eq!(good(connected, &flags, &[]).callers.primary.rules.node_proxies.len(), 1);
    let leaf = good("", &["--leaf.max_ttl", "2h"], &[]).leaf;
    assert_eq!((leaf.default_ttl, leaf.max_ttl), (2 * HOUR, 2 * HOUR), "a default that nobody chose gives way");
    assert_eq!(good("", &["--leaf.max_ttl", "2h", "--leaf.default_ttl", "2h"], &[]).leaf.default_ttl, 2 * HOUR);
}

#[test]
fn a_ledger_that_could_not_be_kept_as_it_should_is_refused() {
    let check = |ledger: &str, wanted| check_problem(&format!("tokens.jwks_file = 'DIR/jwks.json'\n{ledger}"), wanted);
    check("ledger.sync = 'never'", "`never` is neither `always` nor a duration of at most 60s");
    check("ledger.sync = '2m'", "`2m` is neither `always`");
    check("ledger.sync = '0s'", "`0s` is neither `always`");
    check("ledger.keep_max = '1000'", "`1000` is not a size such as 64MiB or 1GiB");
    check("ledger.keep_max = '20000000000GiB'", "is not a size");
    check("ledger.segment_max = '1KiB'", "must be at least 64KiB");
    check("ledger.segment_max = '0KiB'", "must be at least 64KiB");
    check("ledger.segment_max = '1GiB'", "`ledger.keep_max` (default): must be at least twice `ledger.segment_max`");
    check("ledger.keep_max = '1TiB'\nledger.segment_max = '1MiB'", "is too small for `ledger.keep_max`");
    check("ledger.keep_max_age = '24h'", "must be at least `leaf.max_ttl`");
    let config = good("", &["--ledger.keep_max_age", "24h", "--leaf.max_ttl", "24h", "--ledger.sync", "1s"], &[]);
    assert_eq!(config.ledger.unwrap().sync, SyncPolicy::Within(Duration::from_secs(1)));
    assert_eq!(good("", &["--ledger.dir", "none"], &[]).ledger, None);
}

#[test]
fn an_api_server_is_found_where_it_is_said_to_be() {
    let connection = |toml: &str, environment: &[(&str, &str)]| {
        good(toml, &[], environment).kubernetes.map(|kubernetes| kubernetes.connection)
    };
    let server = |url: &str, ca_file: Option<&str>, token_file: Option<&str>| {
        let (ca_file, token_file) = (ca_file.map(Into::into), token_file.map(Into::into));
        Some(Connection::Server { url: url.parse().unwrap(), ca_file, token_file })
    };
    let pod = [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("KUBERNETES_SERVICE_PORT", "6443")];
    let (pods_ca, pods_token) =
        ("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "/var/run/secrets/kubernetes.io/serviceaccount/token");
    assert_eq!(connection("", &[]), None);
    assert_eq!(connection("", &pod), None, "a pod without credentials means no API server");
    let in_cluster = server("https://10.0.0.1:6443", Some(pods_ca), Some(pods_token));
    assert_eq!(connection("[kubernetes]\nmode = 'in-cluster'", &pod), in_cluster);
    let with_token = server("https://10.0.0.1:6443", Some(pods_ca), Some("/t"));
    assert_eq!(connection("[kubernetes]\ntoken_file = '/t'", &pod), with_token);
    assert_eq!(connection("[kubernetes]\nmode = 'off'\ntoken_file = '/t'", &pod), None);
    let v6 = connection("[kubernetes]\nmode = 'in-cluster'", &[("KUBERNETES_SERVICE_HOST", "fd00::1")]);
    assert_eq!(v6, server("https://[fd00::1]:443", Some(pods_ca), Some(pods_token)));
    assert_eq!(
        connection("[kubernetes]\nserver = 'http://localhost:8001'", &pod),
        server("http://localhost:8001", None, None)
    );
    let file = Connection::Kubeconfig { path: "/k".into(), context: Some("east".to_owned()) };
    assert_eq!(connection("[kubernetes]\nkubeconfig = '/k'\ncontext = 'east'", &pod), Some(file));
}

#[test]
fn what_cannot_be_asked_or_published_is_refused() {
    let check = |toml: &str, wanted| check_problem(&format!("tokens.jwks_file = 'DIR/jwks.json'\n{toml}"), wanted);
    check("kubernetes.mode = 'on'", "`on` is not `auto`, `in-cluster` or `off`");
    check("kubernetes.mode = 'in-cluster'", "needs `kubernetes.service_host`");
    check("kubernetes.server = 'https://api'", "https needs `kubernetes.ca_file`");
    check("kubernetes.server = 'http://api'", "must be https");
    check("kubernetes.server = 'http://localhost'\nkubernetes.kubeconfig = '/k'", "goes not with");
    check("kubernetes.server = 'http://localhost'\nkubernetes.mode = 'in-cluster'", "goes with neither");
    check("kubernetes.lease = 'A lease'", "`A lease` is no name of a Kubernetes object");
    check("publish.config_map_name = ''", "is no name of a Kubernetes object");
    let publish = |toml: &str| {
        let config = good(&format!("[kubernetes]\nserver = 'http://localhost'\n{toml}"), &[], &[]);
        config.kubernetes.unwrap().config_maps
    };
    let default = publish("").unwrap();
    assert_eq!((default.name.as_str(), default.selector), ("istio-ca-root-cert", None));
    assert_eq!(default.excluded, ["kube-public", "kube-node-lease", "local-path-storage"]);
    assert_eq!((default.policy.take_over_from.len(), default.policy.share), (0, false));
    assert_eq!(publish("[publish]\nconfig_maps = false"), None);
}

#[test]
fn a_missing_file_of_settings_is_told_with_everything_else() {
    let matches =
        DAEMON.command().try_get_matches_from(["signet-ca", "run", "--config", "/nonexistent/ca.toml"]).unwrap();
    let run = matches.subcommand_matches("run").unwrap();
    let error = CaConfig::read(DAEMON.layers(run, |_| None)).unwrap_err();
    assert!(error.unread);
    assert!(error.problems[0].to_string().contains("cannot open `/nonexistent/ca.toml`"), "{error}");
    assert_eq!(error.problems.len(), 3);
}
