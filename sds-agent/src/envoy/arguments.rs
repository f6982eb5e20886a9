//! Envoy's command line: what the agent adds to what the operator gives. Pure.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use serde_json::Value;

/// What is given unless the operator gives it: names, and the value that goes with them.
const DEFAULTS: [(&[&str], Option<&str>); 5] = [
    (&["--drain-time-s"], Some("45")),
    (&["--drain-strategy"], Some("immediate")),
    (&["--file-flush-interval-msec"], Some("1000")),
    (&["--log-level", "-l"], Some("warning")),
    // Two Envoys on one machine would otherwise collide.
    (&["--disable-hot-restart", "--base-id", "--base-id-path", "--use-dynamic-base-id", "--restart-epoch"], None),
];

const CONFIG_PATH: &[&str] = &["--config-path", "-c"];
const CONFIG_YAML: &[&str] = &["--config-yaml"];

/// Whether the operator brings a configuration, so that there is nothing to be written.
pub fn bring_configuration(given: &[OsString]) -> bool {
    has(given, CONFIG_PATH) || has(given, CONFIG_YAML)
}

/// The whole command line. `bootstrap` is the file that was written, if one was; `overlay` is laid over whatever file
/// Envoy reads, unless the operator lays something there.
pub fn arguments(given: &[OsString], bootstrap: Option<&Path>, overlay: Option<&Value>) -> Vec<OsString> {
    let mut all = Vec::new();
    if let Some(path) = bootstrap {
        all.extend(["--config-path".into(), path.into()]);
    }
    if let Some(overlay) = overlay.filter(|_| !has(given, CONFIG_YAML)) {
        all.extend(["--config-yaml".into(), overlay.to_string().into()]);
    }
    for (names, value) in DEFAULTS.into_iter().filter(|(names, _)| !has(given, names)) {
        all.extend(names.iter().take(1).chain(value.iter()).map(OsString::from));
    }
    all.extend_from_slice(given);
    all
}

fn has(given: &[OsString], names: &[&str]) -> bool {
    let is = |argument: &OsStr, name: &str| {
        let argument = argument.to_string_lossy();
        argument == name || argument.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))
    };
    given.iter().any(|argument| names.iter().any(|name| is(argument, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[&str], bootstrap: Option<&str>, all: &str) {
        let given: Vec<OsString> = given.iter().map(OsString::from).collect();
        let overlay = serde_json::json!({});
        let made = arguments(&given, bootstrap.map(Path::new), Some(&overlay));
        let words: Vec<_> = made.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(words.join(" "), all);
    }

    #[test]
    fn what_the_operator_gives_is_given_once_and_wins() {
        let rest = "--file-flush-interval-msec 1000 --log-level warning --disable-hot-restart";
        let all = format!("--config-path b --config-yaml {{}} --drain-time-s 45 --drain-strategy immediate {rest}");
        check(&[], Some("b"), &all);
        check(
            &["--drain-time-s=3", "-l", "info", "--use-dynamic-base-id", "--config-yaml", "x"],
            Some("b"),
            "--config-path b --drain-strategy immediate --file-flush-interval-msec 1000 --drain-time-s=3 -l info \
             --use-dynamic-base-id --config-yaml x",
        );
    }

    #[test]
    fn a_configuration_may_come_from_the_operator() {
        let brings = |given: &[&str]| bring_configuration(&given.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(brings(&["-c", "own.yaml"]));
        assert!(brings(&["--config-path=own.yaml"]));
        assert!(brings(&["--config-yaml", "{}"]));
        assert!(!brings(&["--concurrency", "2"]));
    }
}
