//! Second opinions on certificates: OpenSSL's chain verification and a linter for RFC 5280.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::programs::installed;

/// The Python that `SIGNET_TOOLS_PYTHON` names, or else the one that `cargo xtask tools` installed.
/// It has `cryptography`, `pyOpenSSL` and `pkilint`.
///
/// # Panics
/// When there is none, with what to run.
#[track_caller]
pub fn python() -> PathBuf {
    installed("SIGNET_TOOLS_PYTHON", "tools", "tools-venv/bin/python")
}

/// Whether OpenSSL, under its strict rules and now, accepts `chain` (leaf first) with `roots`. Both
/// are PEM files.
///
/// # Errors
/// OpenSSL's reason when it does not.
///
/// # Panics
/// When a file cannot be read as certificates.
#[track_caller]
pub fn openssl_verify(chain: &Path, roots: &Path) -> Result<(), String> {
    let output = run(&["-c", include_str!("verify_chain.py")], &[chain, roots]);
    match (output.status.success(), text(&output.stdout)) {
        (true, _) => Ok(()),
        (false, reason) if !reason.is_empty() => Err(reason),
        _ => panic!("OpenSSL could not judge {}: {}", chain.display(), text(&output.stderr)),
    }
}

/// What the linter finds in a certificate (PEM or DER file): `SEVERITY code at place`, from notices
/// up. The expected answer is an empty list.
///
/// # Panics
/// When the file cannot be read as a certificate.
#[track_caller]
pub fn lint(certificate: &Path) -> Vec<String> {
    findings("pkilint.bin.lint_pkix_cert", &[certificate])
}

/// What the linter finds between a certificate and the one that signed it, as for [`lint`].
///
/// # Panics
/// As for [`lint`].
#[track_caller]
pub fn lint_pair(issuer: &Path, subject: &Path) -> Vec<String> {
    findings("pkilint.bin.lint_pkix_signer_signee_cert_chain", &[issuer, subject])
}

#[track_caller]
fn findings(linter: &str, files: &[&Path]) -> Vec<String> {
    let output = run(&["-m", linter, "lint", "--format", "JSON", "--severity", "NOTICE"], files);
    let report: Value = match serde_json::from_slice(&output.stdout) {
        Ok(report) => report,
        Err(_) => panic!("`{linter}` could not judge {files:?}: {}", text(&output.stderr)),
    };
    let places = report["results"].as_array().into_iter().flatten();
    places.flat_map(findings_at).collect()
}

fn findings_at(place: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let at = word(&place["node_path"]);
    let found = place["finding_descriptions"].as_array().into_iter().flatten();
    found.map(|one| format!("{} {} at {at}", word(&one["severity"]), word(&one["code"]))).collect()
}

/// Runs `script` with `asked` as JSON on its stdin.
///
/// # Panics
/// When Python cannot be started, or does not read.
#[track_caller]
pub fn ask(script: &str, asked: &Value) -> Output {
    let mut command = Command::new(python());
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = command.spawn().expect("Python should start");
    let mut stdin = program.stdin.take().expect("stdin is a pipe");
    stdin.write_all(asked.to_string().as_bytes()).expect("the script should read");
    drop(stdin);
    program.wait_with_output().expect("the script should end")
}

#[track_caller]
fn run(arguments: &[&str], files: &[&Path]) -> Output {
    match Command::new(python()).args(arguments).args(files).output() {
        Ok(output) => output,
        Err(error) => panic!("Python could not be started: {error}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use signet_identity::{Lifetime, Timestamp};
    use signet_testkit::TestCa;

    use super::{lint, lint_pair, openssl_verify};
    use crate::Workdir;

    /// A root, and a leaf under it that names its issuer's key or does not.
    fn chain(workdir: &Workdir, names_issuer_key: bool) -> [PathBuf; 2] {
        let ca = TestCa::root("cluster.local");
        let begin = Timestamp::from_unix_secs(1_577_836_800);
        let end = begin.plus(Duration::from_hours(24 * 365 * 60));
        let leaf = ca.leaf("spiffe://cluster.local/web", Lifetime::new(begin, end).unwrap());
        let leaf = leaf.with(|params| {
            params.use_authority_key_identifier_extension = names_issuer_key;
        });
        let leaf = workdir.write("leaf.pem", leaf.issue().chain_pem());
        [leaf, workdir.write("root.pem", ca.root_pem())]
    }

    #[test]
    fn openssl_accepts_a_chain_and_says_why_it_refuses_one() {
        let workdir = Workdir::new();
        let [leaf, root] = chain(&workdir, true);
        assert_eq!(openssl_verify(&leaf, &root), Ok(()));

        let elsewhere = Workdir::new();
        let [_, another_root] = chain(&elsewhere, true);
        let reason = openssl_verify(&leaf, &another_root).unwrap_err();

        assert_eq!(reason, "unable to get local issuer certificate");
    }

    #[test]
    #[should_panic(expected = "OpenSSL could not judge")]
    fn a_file_without_certificates_is_no_verdict() {
        let workdir = Workdir::new();
        let empty = workdir.write("empty.pem", "");

        let _ = openssl_verify(&empty, &empty);
    }

    #[test]
    #[should_panic(expected = "could not judge")]
    fn a_file_without_a_certificate_is_not_clean() {
        let workdir = Workdir::new();

        lint(&workdir.write("empty.pem", ""));
    }

    #[test]
    fn the_linter_names_what_it_finds_and_where() {
        let workdir = Workdir::new();
        let [leaf, root] = chain(&workdir, true);
        assert_eq!(lint_pair(&root, &leaf), Vec::<String>::new());

        let [leaf, root] = chain(&workdir, false);

        let is_told = |findings: Vec<String>| {
            let told = "ERROR pkix.authority_key_identifier_extension_absent at certificate";
            findings.iter().any(|finding| finding.starts_with(told))
        };
        assert!(is_told(lint(&leaf)), "{:?}", lint(&leaf));
        assert!(!is_told(lint(&root)));
    }
}
