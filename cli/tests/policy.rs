//! `signet policy` as a person at a terminal meets it: what stands on stdout, what on stderr, and the exit status.

#![cfg(test)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const GOOD: &str =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: {mtls: {mode: STRICT}}\n";
const BAD: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec:\n  rules:\n  - to:\n    - operation: {paths: [\"/a/{**}/{*}\"]}\n";
const TRAP: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: b}\nspec:\n  action: DENY\n  rules: [{to: [{operation: {methods: [post], ports: ['80']}}]}]\n";

fn signet(arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn check_status(arguments: &[&str], stdin: &str, status: i32) -> Output {
    let output = signet(arguments, stdin);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    output
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn path(folder: &tempfile::TempDir) -> String {
    folder.path().display().to_string()
}

#[test]
fn a_problem_is_shown_with_its_line_and_a_mark_below_it() {
    let output = check_status(&["policy", "check", "-"], BAD, 1);
    let shown = text(&output.stdout);
    assert!(shown.contains("error[SIG0213]: "), "{shown}");
    assert!(shown.contains("--> <stdin>:7:27\n"), "{shown}");
    assert!(shown.contains("7 |     - operation: {paths: [\"/a/{**}/{*}\"]}\n"), "{shown}");
    let marked = shown.lines().find(|line| line.ends_with('^')).unwrap();
    assert_eq!(marked, format!("  | {}{}", " ".repeat(26), "^".repeat(13)));
    assert_eq!(text(&output.stderr), "1 files: 1 errors, 0 warnings, 0 notes\n");
}

#[test]
fn good_policies_say_nothing_on_stdout() {
    let output = check_status(&["policy", "check", "-"], GOOD, 0);
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_directory_is_searched_and_other_files_are_passed_over() {
    let folder = folder(&[("a.yaml", GOOD), ("deep/b.YML", BAD), ("deep/c.json", "{}"), ("notes.txt", "}{")]);
    let output = check_status(&["policy", "check", &path(&folder)], "", 1);
    assert!(text(&output.stdout).contains("b.YML:7:27"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("3 files"), "{}", text(&output.stderr));
}

#[test]
fn other_kinds_are_said_and_are_no_failure() {
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Secret, metadata: {{name: s}}}}\n---\n{GOOD}"
    );
    let output = check_status(&["policy", "check", "-"], &list, 0);
    assert!(text(&output.stdout).contains("note[SIG0010]"), "{}", text(&output.stdout));
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_checked() {
    let folder = folder(&[("a.yaml", GOOD)]);
    std::fs::write(folder.path().join("latin.yaml"), b"name: \xe4").unwrap();
    let missing = folder.path().join("missing.yaml").display().to_string();
    let output = check_status(&["policy", "check", &path(&folder), &missing], "", 2);
    let talk = text(&output.stderr);
    assert!(talk.contains("latin.yaml`: not UTF-8") && talk.contains("missing.yaml"), "{talk}");
    assert!(talk.contains("1 files") && talk.contains("2 of the given files could not be read"), "{talk}");
    check_status(&["policy", "check", "-", &missing], BAD, 1);
    let empty = tempfile::tempdir().unwrap();
    check_status(&["policy", "check", &path(&empty)], "", 2);
    check_status(&["policy", "check"], "", 2);
}

#[test]
fn how_bad_a_problem_must_be_is_for_the_caller_to_say() {
    check_status(&["policy", "check", "-"], TRAP, 0);
    check_status(&["policy", "check", "-", "--fail-on", "warning"], TRAP, 1);
    let output = check_status(&["policy", "check", "-", "--fail-on", "warning", "--ignore", "sig0615"], TRAP, 0);
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn json_holds_everything_that_the_text_says() {
    let output = check_status(&["policy", "check", "-o", "json", "-"], BAD, 1);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let item = &list[0];
    assert_eq!(item["code"], "SIG0213");
    assert_eq!(item["object"], "AuthorizationPolicy default/a");
    assert_eq!(
        (item["line"].as_u64(), item["column"].as_u64(), item["length"].as_u64()),
        (Some(7), Some(27), Some(13))
    );
    assert_eq!((&item["severity"], &item["istioCode"]), (&"error".into(), &"IST0106".into()));
    assert!(item["hint"].is_string() && item["message"].is_string(), "{item}");
}

/// The parts that the schema of SARIF 2.1.0 requires, and those that code scanning needs.
#[test]
fn sarif_has_what_its_schema_requires() {
    let folder = folder(&[("a b.yaml", BAD), ("c.yaml", "a: ["), ("d.yaml", TRAP)]);
    let output = check_status(&["policy", "check", "-o", "sarif", &path(&folder)], "", 1);
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "signet");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3, "{results:#?}");
    for result in results {
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()), "{result}");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty(), "{result}");
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(!uri.contains(' ') && Path::new(uri).extension().is_some(), "{uri}");
        let region = &place["region"];
        let [line, from, to] = ["startLine", "startColumn", "endColumn"].map(|name| region[name].as_u64().unwrap());
        assert!(line >= 1 && from >= 1 && to > from, "{region}");
    }
    for rule in rules {
        assert!(rule["shortDescription"]["text"].is_string() && rule["defaultConfiguration"]["level"].is_string());
    }
}

#[test]
fn help_shows_how_it_is_used() {
    let shown = text(&check_status(&["policy", "check", "--help"], "", 0).stdout);
    assert!(shown.contains("Examples:") && shown.contains("Exit status:"), "{shown}");
}

/// An example of the documents.
fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy/examples").join(name).display().to_string()
}

const FRONT: &str = "spiffe://cluster.local/ns/shop/sa/front";

fn shop<'a>(verb: &'a str, policies: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let head = ["policy", verb, policies, "--workload", "shop/cart", "--port", "8080"];
    head.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn every_example_of_the_documents_holds_and_covers_every_rule() {
    let output = check_status(&["policy", "test", &example(""), "--min-coverage", "100"], "", 0);
    assert!(text(&output.stdout).contains("  ok    the front reads a cart"), "{}", text(&output.stdout));
    assert_eq!(text(&output.stderr), "5 cases, 0 failed; 2 of 2 rules covered\n");
    check_status(&["policy", "check", &example(""), "--fail-on", "error"], "", 0);
}

#[test]
fn decide_says_yes_no_and_why() {
    let policies = example("shop");
    let output = check_status(&shop("decide", &policies, &["--from", FRONT, "--path", "/cart"]), "", 0);
    assert!(text(&output.stdout).starts_with("allow: rule 0 of ALLOW shop/cart matches\n"), "{}", text(&output.stdout));
    let output =
        check_status(&shop("decide", &policies, &["--from", FRONT, "--path", "/x/../admin", "-o", "json"]), "", 1);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["verdict"], &answer["policy"]), (&"deny".into(), &"shop/no-admin".into()));
    assert_eq!(answer["rule"]["index"], 0);
    let output = check_status(&shop("decide", &policies, &["--path", "/cart"]), "", 1);
    assert!(text(&output.stdout).contains("takes no plaintext: STRICT by shop/default"), "{}", text(&output.stdout));
}

#[test]
fn decide_tells_what_a_point_cannot_enforce() {
    let policies = example("shop");
    let output =
        check_status(&shop("decide", &policies, &["--at", "sidecar-tcp", "--from", FRONT, "-o", "json"]), "", 1);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["notEnforceable"].as_array().is_some_and(|list| list.len() >= 2), "{answer}");
    assert_eq!(answer["policy"], "shop/no-admin", "on bytes the refusal loses its path");
}

#[test]
fn a_request_may_stand_in_a_file() {
    let folder = folder(&[(
        "request.yaml",
        "to: {namespace: shop, labels: {app: cart}, port: 8080}\nfrom: {identity: spiffe://cluster.local/ns/shop/sa/front}\nhttp: {path: /cart}\n",
    )]);
    let request = folder.path().join("request.yaml").display().to_string();
    check_status(&["policy", "decide", &example("shop"), "--request", &request], "", 0);
}

#[test]
fn what_cannot_be_decided_is_neither_yes_nor_no() {
    let policies = example("shop");
    check_status(&shop("decide", &policies, &["--from", FRONT]), "", 2);
    check_status(&["policy", "decide", &policies, "--workload", "shop/nobody", "--port", "80"], "", 2);
    check_status(&["policy", "decide", "-", "--to-namespace", "a", "--port", "80"], "kind: [", 2);
    check_status(&["policy", "decide", &policies, "--workload", "shop/cart"], "", 2);
    check_status(&shop("decide", &policies, &["--from", FRONT, "--path", "/a%00"]), "", 2);
    let unreadable =
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec: {action: BLAH}\n";
    let output =
        check_status(&["policy", "decide", "-", "--to-namespace", "a", "--port", "80", "--path", "/"], unreadable, 2);
    assert_eq!(text(&output.stdout), "", "half a set of policies decides nothing");
}

#[test]
fn explain_tells_what_each_condition_saw_and_the_nearest_rule() {
    let policies = example("shop");
    let other = "spiffe://cluster.local/ns/shop/sa/other";
    let output = check_status(&shop("explain", &policies, &["--from", other, "--path", "/cart"]), "", 1);
    let shown = text(&output.stdout);
    for wanted in [
        "deny: there are ALLOW policies, and no rule of theirs matches",
        "no  principals: wants `cluster.local/ns/shop/sa/front`, saw `spiffe://cluster.local/ns/shop/sa/other`",
        "yes paths: wants `/cart`, `/cart/*`, saw `/cart`",
        "nearest: 1 condition keeps rule 0 of shop/cart from matching",
    ] {
        assert!(shown.contains(wanted), "{wanted}\n{shown}");
    }
    let output = check_status(&shop("explain", &policies, &["--from", other, "--path", "/cart", "-o", "json"]), "", 1);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["nearest"]["policy"], &answer["nearest"]["missing"]), (&"shop/cart".into(), &1.into()));
    let policies = answer["policies"].as_array().unwrap();
    assert_eq!(policies.len(), 2);
    assert!(policies.iter().any(|policy| policy["rules"][0]["from"][0]["held"] == false), "{answer}");
}

#[test]
fn a_case_that_does_not_hold_is_told_here_and_in_the_report() {
    let cases = "cases:\n- name: a <b>\n  request: {to: {namespace: x, port: 80}, http: {}}\n  expect: deny\n";
    let folder = folder(&[("a.yaml", GOOD), ("a.test.yaml", cases)]);
    let junit = folder.path().join("report.xml").display().to_string();
    let output = check_status(&["policy", "test", &path(&folder), "--junit", &junit], "", 1);
    assert!(text(&output.stdout).contains("  FAIL  a <b>: expected deny, found allow"), "{}", text(&output.stdout));
    let report = std::fs::read_to_string(&junit).unwrap();
    assert!(
        report.contains("tests=\"1\" failures=\"1\"")
            && report.contains("name=\"a &lt;b&gt;\"><failure message=\"expected deny"),
        "{report}"
    );
}

#[test]
fn a_file_of_cases_that_is_too_long_is_refused_and_not_cut() {
    let case = |expect: &str| {
        format!("- {{name: {expect}, request: {{to: {{namespace: shop, port: 80}}, http: {{}}}}, expect: {expect}}}\n")
    };
    let comment = format!("# {}\n", "x".repeat(5 * 1024 * 1024));
    let suite = ["cases:\n", &case("allow"), &comment, &case("deny")].concat();
    let folder = folder(&[("a.yaml", GOOD), ("b.test.yaml", &suite)]);
    let output = check_status(&["policy", "test", &path(&folder)], "", 2);
    assert!(text(&output.stderr).contains("more than 4194304 bytes"), "{}", text(&output.stderr));
}

#[test]
fn rules_that_no_case_reaches_are_told_and_may_be_a_failure() {
    let cases = "cases:\n- name: a\n  request: {to: {namespace: x, port: 80}, http: {}}\n  expect: allow\n";
    let folder = folder(&[("a.yaml", TRAP), ("a.test.yaml", cases)]);
    let output = check_status(&["policy", "test", &path(&folder)], "", 0);
    assert!(text(&output.stdout).contains("never matched: rule 0 of default/b"), "{}", text(&output.stdout));
    check_status(&["policy", "test", &path(&folder), "--min-coverage", "50"], "", 1);
    let empty = tempfile::tempdir().unwrap();
    check_status(&["policy", "test", &path(&empty)], "", 2);
    let broken = self::folder(&[("a.yaml", TRAP), ("a.test.yaml", "cases: []\n")]);
    check_status(&["policy", "test", &path(&broken)], "", 2);
}

#[test]
fn render_shows_what_proxies_are_told_the_same_each_time() {
    let policies = example("shop");
    let render = |more: &[&str]| {
        let arguments: Vec<&str> = ["policy", "render", &policies, "--workload", "shop/cart"]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        text(&check_status(&arguments, "", 0).stdout)
    };
    let shown: Value = serde_json::from_str(&render(&[])).unwrap();
    let filters = shown["filters"].as_array().unwrap();
    let actions: Vec<&Value> = filters.iter().map(|filter| &filter["typedConfig"]["rules"]["action"]).collect();
    assert_eq!(actions, [&Value::from("DENY"), &Value::Null], "DENY stands before ALLOW");
    assert_eq!(render(&[]), render(&[]));
    assert!(render(&["-o", "yaml"]).contains("ns[shop]-policy[cart]-rule[0]"));
    assert!(render(&["--per-route"]).contains("typedPerFilterConfig"));
    assert!(render(&["--at", "ztunnel"]).contains("istio_converted_static_strict"));
}

#[test]
fn a_provider_that_cannot_be_asked_is_rendered_as_a_refusal_and_told() {
    let custom = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: x}\nspec: {action: CUSTOM, provider: {name: nobody}, rules: [{}]}\n";
    let output = check_status(&["policy", "render", "-", "--to-namespace", "x"], custom, 1);
    assert!(text(&output.stdout).contains("deny-due-to-bad-CUSTOM-action"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("nobody"), "{}", text(&output.stderr));
}

/// What the reference shows with the example in it is run, from the root of the project, as it stands there.
#[test]
fn every_command_of_the_reference_on_the_example_can_be_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let reference = std::fs::read_to_string(root.join("docs/reference/signet.md")).unwrap();
    let target = tempfile::tempdir().unwrap();
    let report = target.path().join("report.xml").display().to_string();
    let shown =
        reference.lines().filter(|line| line.starts_with("signet policy ") && line.contains("docs/policy/examples"));
    let commands: Vec<String> = shown.map(|line| line.replace("report.xml", &report)).collect();
    for command in &commands {
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_signet")).args(&arguments).current_dir(&root).output().unwrap();
        let status = if command.contains("sa/other") { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(status), "{command}\n{}", text(&output.stderr));
        assert!(!output.stdout.is_empty(), "{command}");
    }
    assert_eq!(commands.len(), 6, "{commands:#?}");
}

/// The request file of the reference, with a token that is really verified and one that is not.
#[test]
fn tokens_are_verified_against_the_keys_that_are_given() {
    let policies = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: x}\nspec: {jwtRules: [{issuer: me}]}\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: x}\nspec: {rules: [{from: [{source: {requestPrincipals: ['me/*']}}]}]}\n";
    let key = signet_identity::PrivateKey::generate_p256().unwrap();
    let jwk = signet_identity::jwk::to_json(key.public(), "k").unwrap();
    let folder = folder(&[("p.yaml", policies), ("keys.jwks", &format!("{{\"keys\":[{jwk}]}}"))]);
    let keys = folder.path().join("keys.jwks").display().to_string();
    let sign = |issuer: &str| {
        let claims = serde_json::json!({ "iss": issuer, "sub": "s", "exp": 4_000_000_000_u64 });
        format!("authorization: Bearer {}", signet_identity::jws::sign(&key.signer().unwrap(), "k", &claims).unwrap())
    };
    let folder = path(&folder);
    let ask = |header: &str, status: i32, more: &[&str]| {
        let head = ["policy", "decide", &folder, "--to-namespace", "x", "--port", "80", "--header", header];
        let arguments: Vec<&str> = head.into_iter().chain(more.iter().copied()).collect();
        text(&check_status(&arguments, "", status).stdout)
    };
    let good = ask(&sign("me"), 0, &["--jwks", &keys]);
    assert!(good.contains("token: verified"), "{good}");
    assert!(ask(&sign("other"), 1, &["--jwks", &keys]).contains("token: refused: the token is of another issuer"));
    assert!(ask(&sign("me"), 1, &[]).contains("the keys of the issuer are not known"));
    assert!(ask("x: y", 1, &["--jwks", &keys]).contains("no rule of theirs matches"));
}

#[test]
fn cases_that_lie_too_deep_to_be_found_are_said_and_end_the_run() {
    let cases = "cases:\n- name: a\n  request: {to: {namespace: x, port: 80}, http: {}}\n  expect: allow\n";
    let deep = format!("{}b.test.yaml", "d/".repeat(66));
    let folder = folder(&[("a.yaml", GOOD), ("a.test.yaml", cases), (&deep, cases)]);
    let output = check_status(&["policy", "test", &path(&folder)], "", 2);
    assert!(text(&output.stderr).contains("more than 64 directories deep"), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "", "cases that nobody ran are no success");
}
