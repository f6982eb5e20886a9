//! The state directory of a self-signed root: one root for ever, or a refusal that says why.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use signet_ca::authority::{Authority, AuthorityError, StateError};
use signet_identity::{PrivateKey, TrustDomain};
use signet_runtime::tasks::chain;
use signet_testkit::{TempDir, temp_dir};

use crate::lab::{HOUR, now};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn trust_domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn open(dir: &Path) -> Result<Authority, AuthorityError> {
    Authority::self_signed(dir, &trust_domain(), YEAR, now())
}

fn error(dir: &Path) -> StateError {
    match open(dir) {
        Err(AuthorityError::SelfSigned(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn root_of(dir: &Path) -> Vec<u8> {
    open(dir).unwrap().certificate().der().to_vec()
}

/// A state directory that has been used, the paths of its two files, and its root.
fn used() -> (TempDir, PathBuf, PathBuf, Vec<u8>) {
    let dir = temp_dir();
    let root = root_of(dir.path());
    let (authority, published) = (dir.path().join("authority.pem"), dir.path().join("root-cert.pem"));
    (dir, authority, published, root)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_root_is_made_once_and_kept_where_only_we_can_read_its_key() {
    let parent = temp_dir();
    let dir = parent.path().join("deep/state");
    let root = root_of(&dir);
    assert_eq!(root_of(&dir), root);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("authority.pem")), 0o600);
    assert_eq!(names(&dir), ["authority.pem", "root-cert.pem", "state.json"]);
    assert!(!fs::read_to_string(dir.join("root-cert.pem")).unwrap().contains("PRIVATE"));
}

#[test]
fn of_many_that_start_at_once_one_makes_the_root_and_all_use_it() {
    let dir = temp_dir();
    let roots: HashSet<Vec<u8>> = thread::scope(|scope| {
        let starts: Vec<_> = (0..16).map(|_| scope.spawn(|| root_of(dir.path()))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(roots.len(), 1);
    assert_eq!(names(dir.path()), ["authority.pem", "root-cert.pem", "state.json"]);
}

#[test]
fn an_authority_file_cut_off_anywhere_is_refused_and_left_as_it_is() {
    let (dir, authority, _, _) = used();
    let whole = fs::read(&authority).unwrap();
    for length in 0..whole.len() - 1 {
        fs::write(&authority, &whole[..length]).unwrap();
        let error = error(dir.path());
        assert!(matches!(error, StateError::Pem { .. } | StateError::Incomplete { .. }), "{length}: {error:?}");
        assert_eq!(fs::read(&authority).unwrap(), &whole[..length]);
    }
}

#[test]
fn whatever_a_killed_start_leaves_behind_the_next_one_works_with_the_same_root() {
    let (full, authority, published, root) = used();
    let (key, cert) = (fs::read(&authority).unwrap(), fs::read(&published).unwrap());
    // The writes of a start, in order, as a crash could leave them.
    type State<'a> = &'a [(&'a str, &'a [u8])];
    let states: [(State<'_>, bool); 7] = [
        (&[], false),
        (&[(".authority.pem.0123456789abcdef.tmp", &key[..100])], false),
        (&[(".authority.pem.0123456789abcdef.tmp", &key)], false),
        (&[(".authority.pem.0123456789abcdef.tmp", &key), ("authority.pem", &key)], true),
        (&[("authority.pem", &key)], true),
        (&[("authority.pem", &key), (".root-cert.pem.0123456789abcdef.tmp", &cert[..50])], true),
        (&[("authority.pem", &key), ("root-cert.pem", &cert)], true),
    ];
    for (files, root_exists) in states {
        let dir = temp_dir();
        files.iter().for_each(|(name, content)| fs::write(dir.path().join(name), content).unwrap());
        let first = root_of(dir.path());
        assert_eq!(first == root, root_exists, "{files:?}");
        assert_eq!(root_of(dir.path()), first);
        assert!(!names(dir.path()).iter().any(|name| name.starts_with(".authority")), "{:?}", names(dir.path()));
    }
    drop(full);
}

#[test]
fn a_key_that_does_not_belong_to_the_certificate_is_refused() {
    let (dir, authority, _, _) = used();
    let text = fs::read_to_string(&authority).unwrap();
    let (_, certificate) = text.split_at(text.find("-----BEGIN CERTIFICATE").unwrap());
    let stranger = PrivateKey::generate_p256().unwrap();
    let mixed = format!("{}{certificate}", stranger.to_pem().as_str());
    fs::write(&authority, &mixed).unwrap();
    let error = error(dir.path());
    assert!(chain(&error).ends_with("signing key does not belong to the signing certificate"), "{error}");
    assert_eq!(fs::read_to_string(&authority).unwrap(), mixed);
}

#[test]
fn more_or_less_than_one_key_and_one_certificate_is_refused() {
    let (dir, authority, _, _) = used();
    let text = fs::read_to_string(&authority).unwrap();
    let (key, certificate) = text.split_at(text.find("-----BEGIN CERTIFICATE").unwrap());
    for (content, keys, certificates) in [
        (key.to_owned(), 1, 0),
        (certificate.to_owned(), 0, 1),
        (format!("{text}{certificate}"), 1, 2),
        (format!("{key}{text}"), 2, 1),
        (format!("{text}-----BEGIN X-----\nAAAA\n-----END X-----\n"), 1, 1),
    ] {
        fs::write(&authority, &content).unwrap();
        let error = error(dir.path());
        let StateError::Incomplete { keys: found, certificates: found_too, .. } = error else { panic!("{error:?}") };
        assert_eq!((found, found_too), (keys, certificates));
        assert_eq!(fs::read_to_string(&authority).unwrap(), content);
    }
}

#[test]
fn a_lost_key_is_not_replaced_by_a_second_root() {
    let (dir, authority, _, _) = used();
    fs::remove_file(&authority).unwrap();
    assert!(matches!(error(dir.path()), StateError::KeyLost { .. }));
    assert_eq!(names(dir.path()), ["root-cert.pem", "state.json"]);
}

#[test]
fn a_published_root_that_was_exchanged_is_refused() {
    let (dir, _, published, _) = used();
    let (other, ..) = used();
    fs::copy(other.path().join("root-cert.pem"), &published).unwrap();
    assert!(matches!(error(dir.path()), StateError::AnotherRoot { .. }));
    fs::remove_file(&published).unwrap();
    open(dir.path()).expect("a root that is not published any more should be published again");
    assert!(published.exists());
}

#[test]
fn a_root_that_has_ended_or_not_begun_is_refused() {
    let dir = temp_dir();
    Authority::self_signed(dir.path(), &trust_domain(), HOUR, now()).unwrap();
    let at = |instant| Authority::self_signed(dir.path(), &trust_domain(), HOUR, instant).unwrap_err();
    assert!(chain(&at(now().plus(2 * HOUR))).contains("signing certificate expired at"));
    assert!(chain(&at(now().minus(HOUR))).contains("signing certificate is not valid before"));
}

#[test]
fn a_root_of_another_trust_domain_is_not_used() {
    let (dir, ..) = used();
    let other: TrustDomain = "example.org".parse().unwrap();
    let error = Authority::self_signed(dir.path(), &other, YEAR, now()).unwrap_err();
    assert!(matches!(error, AuthorityError::SelfSigned(StateError::AnotherTrustDomain { .. })), "{error:?}");
}

#[test]
fn a_trust_domain_too_long_for_an_organization_gets_a_root_without_one() {
    let dir = temp_dir();
    let long: TrustDomain = "a".repeat(255).parse().unwrap();
    let authority = Authority::self_signed(dir.path(), &long, YEAR, now()).unwrap();
    assert_eq!(authority.certificate().uris(), [long.id().to_string()]);
}

#[test]
fn a_clock_beyond_the_calendar_makes_no_root() {
    let dir = temp_dir();
    let end = signet_identity::Timestamp::from_unix_millis(i64::MAX);
    let error = Authority::self_signed(dir.path(), &trust_domain(), YEAR, end).unwrap_err();
    assert!(matches!(error, AuthorityError::SelfSigned(StateError::Clock { .. })), "{error:?}");
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_place_where_nothing_can_be_written_is_named() {
    let parent = temp_dir();
    let file = parent.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for dir in [file.clone(), file.join("state"), PathBuf::from("/proc/state")] {
        let error = error(&dir);
        assert!(matches!(error, StateError::File(_)), "{error:?}");
        assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "in the way");
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named_and_works_once_it_holds_a_root() {
    let dir = temp_dir();
    let locked = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    locked(0o500);
    let is_root = fs::write(dir.path().join("probe"), "").is_ok();
    if is_root {
        // Permissions bind no superuser; a file where the authority should be stands in for them.
        fs::remove_file(dir.path().join("probe")).unwrap();
        fs::create_dir(dir.path().join("authority.pem")).unwrap();
        assert!(matches!(error(dir.path()), StateError::File(_)));
        return;
    }
    assert!(matches!(error(dir.path()), StateError::File(_)));
    locked(0o700);
    let root = root_of(dir.path());
    locked(0o500);
    assert_eq!(root_of(dir.path()), root);
    locked(0o700);
}
