//! What is read, what is refused, and where it is said to stand.

use proptest::prelude::*;

use super::*;
use crate::problem::Code;

fn read(text: &str) -> Result<Vec<Node>, Code> {
    let mut sources = Sources::new();
    let id = sources.add("a.yaml", text);
    documents(&sources, id).map_err(|problem| problem.code)
}

fn one(text: &str) -> Node {
    let mut all = read(text).unwrap();
    assert_eq!(all.len(), 1, "{text:?}");
    all.pop().unwrap()
}

#[track_caller]
fn check_refused(text: &str, code: Code, at: (u32, u32)) {
    let mut sources = Sources::new();
    let id = sources.add("a.yaml", text);
    let problem = documents(&sources, id).expect_err(text);
    assert_eq!((problem.code, (problem.at.line, problem.at.column)), (code, at), "{text:?}: {}", problem.message);
}

#[test]
fn values_know_their_line_and_column() {
    let node = one("a:\n  - b: ü\n  - \"c\"\n");
    let Value::List(items) = &node.get("a").unwrap().value else { panic!("no list") };
    let b = items[0].get("b").unwrap();

    assert_eq!((b.at.line, b.at.column, b.at.length), (2, 8, 1));
    assert_eq!((items[1].at.line, items[1].at.column, items[1].at.length), (3, 5, 3));
    assert_eq!(b.as_text(), Some("ü"));
}

#[test]
fn json_is_read_as_well() {
    let node = one("{\"a\": [\"\\u00fc\\/\", 1, true, null], \"b\": {}}");
    let Value::List(items) = &node.get("a").unwrap().value else { panic!("no list") };

    let values: Vec<&Value> = items.iter().map(|item| &item.value).collect();
    assert_eq!(values, [&Value::Text("ü/".into()), &Value::Number("1".into()), &Value::Bool(true), &Value::Null]);
}

#[test]
fn plain_words_mean_what_kubectl_takes_them_for() {
    let node = one("[yes, \"yes\", off, ~, 080, 1.2.3.4, !!str 80]");
    let Value::List(items) = &node.value else { panic!("no list") };
    let kinds: Vec<&str> = items.iter().map(Node::kind).collect();
    assert_eq!(kinds, ["a boolean", "a string", "a boolean", "nothing", "a number", "a string", "a string"]);
}

#[test]
fn several_documents_stand_in_one_text_and_empty_ones_do_not_count() {
    assert_eq!(read("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n").unwrap().len(), 2);
    assert_eq!(read("").unwrap().len(), 0);
}

#[test]
fn what_is_not_a_manifest_is_refused_where_it_stands() {
    check_refused("a: [", Code::NotYaml, (1, 4));
    check_refused("a: 1\na: 2\n", Code::DuplicateKey, (2, 1));
    check_refused("a: &x 1\nb:\n  <<: *x\n", Code::Unsupported, (3, 3));
    check_refused("a: &x {k: 1}\nb:\n  k: 2\n  <<: *x\n", Code::Unsupported, (4, 3));
    check_refused("a: &x {k: 1}\nb:\n  <<: *x\n  <<: *x\n", Code::DuplicateKey, (4, 3));
    check_refused("a: !!binary aGk=\n", Code::Unsupported, (1, 13));
    check_refused("? [a]\n: 1\n", Code::Unsupported, (1, 3));
    check_refused(&format!("a: {}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)), Code::TooLarge, (1, 67));
}

/// As `kubectl` reads it, and YAML's own description of merge keys too.
#[test]
fn merge_keys_bring_in_what_is_not_written() {
    let text = "a: &x {k: 1, l: 2}\nb: &y {l: 3, m: 4}\n";
    for (mapping, want) in [
        ("{<<: *x, k: 5}", "k=5 l=2"),
        ("{n: 6, <<: *y}", "n=6 l=3 m=4"),
        ("{<<: [*x, *y], m: 7}", "k=1 l=2 m=7"),
        ("{<<: {}, k: 1}", "k=1"),
        ("{'<<': x}", "<<=x"),
    ] {
        let node = one(&format!("{text}c: {mapping}\n"));
        let Value::Map(entries) = &node.get("c").unwrap().value else { panic!("no mapping") };
        let shown = |entry: &Entry| match &entry.node.value {
            Value::Number(text) | Value::Text(text) => format!("{}={text}", entry.key),
            other => panic!("{other:?}"),
        };
        assert_eq!(entries.iter().map(shown).collect::<Vec<_>>().join(" "), want, "{mapping}");
    }
}

#[test]
fn aliases_are_read_within_a_bound() {
    let node = one("a: &x [1, 2]\nb: *x\n");
    assert_eq!(node.get("b").unwrap().value, node.get("a").unwrap().value);

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(", ")));
    }
    assert_eq!(read(&bomb).unwrap_err(), Code::AliasBound);
}

#[test]
fn nested_anchors_cost_no_more_than_the_bound() {
    let nested: String = (0..60).map(|level| format!("&a{level} [")).collect();
    let text = format!("{nested}{}{}", "x, ".repeat(10_000), "]".repeat(60));
    assert_eq!(read(&text).unwrap_err(), Code::AliasBound);
}

#[test]
fn a_snippet_shows_the_line_and_steers_no_terminal() {
    let mut sources = Sources::new();
    let id = sources.add("a\u{1b}[2J.yaml", "a: 1\n\tb: \"\u{202e}x\u{1b}\"\n");
    let shown = sources.snippet(Place { source: id, line: 2, column: 2, length: 1 });
    assert_eq!(shown, "  --> a\u{fffd}[2J.yaml:2:2\n  |\n2 |  b: \"\u{fffd}x\u{fffd}\"\n  |  ^\n");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a:\\[\\]{},&*!|>'\"#?% \n\t0x~ü]{0,60}") {
        let _ = read(&text);
    }

    #[test]
    fn any_string_written_as_json_is_read_back(text in any::<String>()) {
        let json = serde_json::to_string(&vec![&text]).unwrap();
        let node = one(&json);
        let Value::List(items) = node.value else { panic!("no list") };
        prop_assert_eq!(items[0].as_text(), Some(text.as_str()));
    }
}
