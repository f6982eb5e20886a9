//! The settings of a token: what is refused, and why.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::config::{LEAST, read};

/// What is told of a token in `rest`, beside a directory of certificates and a PIN file with `mode`.
fn told(rest: &str, mode: u32) -> Vec<String> {
    let dir = signet_testkit::temp_dir();
    let pin = dir.path().join("pin");
    fs::write(&pin, "1234").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(mode)).unwrap();
    let rest = rest.replace("PIN", pin.to_str().unwrap());
    let (result, _dir) = read(&format!("{LEAST}[authority]\n{rest}"), &[], &[]);
    result.err().into_iter().flat_map(|error| error.problems).map(|problem| problem.to_string()).collect()
}

const WHOLE: &str = "plugged_in_dir = 'DIR'\npkcs11.module = '/bin/true'\npkcs11.token_label = 'mesh'\n\
    pkcs11.pin_file = 'PIN'\n";

const WITHOUT_FEATURE: &str = "this program was built without the feature `pkcs11`";

fn check(rest: &str, why: &str) {
    let told = told(rest, 0o600);
    assert!(told.iter().any(|problem| problem.contains(why)), "{rest}: {told:#?}");
}

#[test]
fn a_whole_section_is_accepted_where_it_was_compiled_in_and_refused_elsewhere() {
    let told = told(WHOLE, 0o600);
    let others: Vec<_> = told.iter().filter(|problem| !problem.contains(WITHOUT_FEATURE)).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(told.is_empty(), cfg!(feature = "pkcs11"));
}

#[test]
fn what_is_missing_or_does_not_go_together_is_told() {
    let without = |line: &str| WHOLE.lines().filter(|one| !one.starts_with(line)).collect::<Vec<_>>().join("\n");
    check(&without("plugged_in_dir"), "needs `authority.plugged_in_dir`, where the certificates of its key stand");
    check(&without("pkcs11.token_label"), "needs `authority.pkcs11.token_label` or `authority.pkcs11.token_serial`");
    check(&without("pkcs11.pin_file"), "needs `authority.pkcs11.pin_file`");
    check(&without("pkcs11.module"), "needs `authority.pkcs11.module`");
    check(&format!("{WHOLE}pkcs11.token_serial = '1'"), "does not go with `authority.pkcs11.token_label`");
    check(&format!("{WHOLE}pkcs11.key_id = 'xy'"), "must be pairs of hexadecimal digits");
    for sessions in [0, 65] {
        check(&format!("{WHOLE}pkcs11.sessions = {sessions}"), "must be from 1 to 64");
    }
    for timeout in ["99ms", "61s"] {
        check(&format!("{WHOLE}pkcs11.timeout = '{timeout}'"), "must be from 100ms to 1m");
    }
    check(&WHOLE.replace("/bin/true", "/bin/none"), "`/bin/none` is not a file");
    let secret = format!("{WHOLE}secret = 'istio-ca-secret'");
    check(&secret, "does not go with `authority.secret`");
}

#[test]
fn a_pin_that_everybody_may_read_is_refused_before_anything_starts() {
    let told = told(WHOLE, 0o644);
    assert!(told.iter().any(|problem| problem.contains("(mode 644): make it 600")), "{told:#?}");
}
