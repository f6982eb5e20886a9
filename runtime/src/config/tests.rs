//! Settings: layers, types, and everything wrong told at once.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;

fn layers(toml: &str) -> (Layers, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conf.toml");
    std::fs::write(&path, toml).unwrap();
    let mut layers = Layers::new();
    layers.file(&path);
    (layers, dir)
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
    let (mut layers, _dir) = layers("[ca]\naddress = 'file'\nttl = '1h'\nname = 'file'\n");
    layers.environment("CA_ADDR", "ca.address", Some("environment".into()));
    layers.environment("TTL", "ca.ttl", Some("2h".into()));
    layers.environment("EMPTY", "ca.name", Some(String::new()));
    layers.flag("--ca-address", "ca.address", Some("flag".into()));

    let mut reader = Reader::new(layers);
    assert_eq!(reader.optional::<String>("ca.address").as_deref(), Some("flag"));
    assert_eq!(reader.optional::<Duration>("ca.ttl"), Some(Duration::from_secs(7200)));
    assert_eq!(reader.optional::<String>("ca.name").as_deref(), Some("file"));
    let (_, effective) = reader.finish(Some(())).unwrap();
    assert_eq!(effective[0].origin.to_string(), "flag --ca-address");
    assert_eq!(effective[1].origin.to_string(), "environment TTL");
}

#[test]
fn all_problems_are_told_together_with_key_and_line() {
    let (layers, _dir) = layers("listen = 'nowhere'\nttl = 5\nlisten_adress = 'x'\n[deep]\nkey = {a = 1}\n");
    let mut reader = Reader::new(layers);
    let listen = reader.optional::<SocketAddr>("listen");
    let ttl = reader.or::<Duration>("ttl", "24h");
    let dir = reader.required::<String>("state_dir");
    let address = reader.or::<SocketAddr>("listen_address", "127.0.0.1:1");
    assert_eq!((listen, ttl, dir, address.is_some()), (None, None, None, true));

    let told: Vec<_> = reader.finish(Some(())).unwrap_err().problems;
    let told: Vec<_> = told.iter().map(|p| p.to_string().rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(
        told,
        [
            "conf.toml:1): `nowhere` is not an address with port, such as 0.0.0.0:15012 or [::]:15012",
            "conf.toml:2): `5` is not a duration such as 500ms, 30s, 24h or 1h30m",
            "`state_dir` (default): must be set to text",
            "conf.toml:5): unknown key",
            "conf.toml:3): unknown key, did you mean `listen_address`?",
        ]
    );
}

#[test]
fn a_file_that_is_missing_or_not_toml_is_a_problem_among_others() {
    let mut missing = Layers::new();
    missing.file(std::path::Path::new("/nonexistent/conf.toml"));
    let error = Reader::new(missing).finish(Some(())).unwrap_err();
    assert!(error.to_string().contains("cannot open `/nonexistent/conf.toml`"), "{error}");

    let (broken, _dir) = layers("a = 1\nb = [\n");
    let mut reader = Reader::new(broken);
    assert_eq!(reader.required::<String>("c"), None);
    let error = reader.finish(Some(())).unwrap_err();
    assert_eq!(error.problems.len(), 2);
    assert!(error.to_string().contains("not valid TOML"), "{error}");
}

#[test]
fn lists_are_written_as_toml_or_with_commas() {
    let (mut layers, _dir) = layers("a = ['x', 'y']\nb = 'x, y'\nc = [1]\n");
    layers.environment("D", "d", Some("p,q,".into()));
    let mut reader = Reader::new(layers);
    let two = Some(vec!["x".to_owned(), "y".to_owned()]);
    assert_eq!(reader.optional::<Vec<String>>("a"), two);
    assert_eq!(reader.optional::<Vec<String>>("b"), two);
    assert_eq!(reader.optional::<Vec<String>>("c"), None);
    assert_eq!(reader.optional::<Vec<String>>("d"), Some(vec!["p".to_owned(), "q".to_owned()]));
    assert_eq!(reader.finish(Some(())).unwrap_err().problems.len(), 1);
}

#[test]
fn tables_of_one_name_are_read_in_order_and_misspelt_keys_in_them_are_told() {
    let (layers, _dir) = layers("[[rules]]\nname = 'a'\n[[rules]]\nname = 5\nmax_tll = '1h'\n[[rules]]\n");
    let mut reader = Reader::new(layers);
    let keys = reader.tables("rules");
    assert_eq!(keys, ["rules[0]", "rules[1]", "rules[2]"]);
    let names: Vec<_> = keys.iter().map(|key| reader.optional::<String>(&format!("{key}.name"))).collect();
    assert_eq!(names, [Some("a".to_owned()), None, None]);
    for key in &keys {
        assert_eq!(reader.optional::<Duration>(&format!("{key}.max_ttl")), None);
    }
    reader.refuse("rules[2]", "says nothing");
    let told: Vec<_> = reader.finish(Some(())).unwrap_err().problems.iter().map(ToString::to_string).collect();
    let told: Vec<_> = told.iter().map(|told| told.rsplit('/').next().unwrap()).collect();
    let wanted = [
        "conf.toml:4): `5` is not text",
        "conf.toml:6): says nothing",
        "conf.toml:5): unknown key, did you mean `rules[1].max_ttl`?",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn tables_nobody_asked_for_and_lists_that_are_no_tables_are_told() {
    let (layers, _dir) = layers("empty = []\nwords = ['a']\n[[rulez]]\n[[rulez]]\nx = 1\n");
    let mut reader = Reader::new(layers);
    assert!(reader.tables("empty").is_empty() && reader.tables("words").is_empty() && reader.tables("none").is_empty());
    let told: Vec<_> = reader.finish(Some(())).unwrap_err().problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].ends_with("conf.toml:2): `a` is not a list of tables, written as [[words]]"), "{told:#?}");
    assert!(told[1].starts_with("`rulez` (") && told[1].ends_with("conf.toml:3): unknown key"), "{told:#?}");
}

#[test]
fn more_tables_than_anybody_needs_are_refused() {
    let (layers, _dir) = layers(&"[[rules]]\n".repeat(257));
    let mut reader = Reader::new(layers);
    assert_eq!(reader.tables("rules").len(), 256);
    let error = reader.finish(Some(())).unwrap_err();
    assert!(error.to_string().contains("has 257 tables, at most 256 are accepted"), "{error}");
}
