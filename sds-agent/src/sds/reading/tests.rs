//! Stamps: what counts as a change. The rest is tested through the keeper.

use super::*;

#[test]
fn a_file_that_is_replaced_by_one_of_the_same_size_and_time_has_another_stamp() {
    let dir = tempfile::tempdir().unwrap();
    let (path, beside) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&path, "one").unwrap();
    let before = Hold::of(&path).unwrap().stamp;
    assert_eq!(Hold::of(&path).unwrap().stamp, before);
    fs::write(&beside, "two").unwrap();
    File::open(&beside).unwrap().set_modified(fs::metadata(&path).unwrap().modified().unwrap()).unwrap();
    fs::rename(&beside, &path).unwrap();
    assert_ne!(Hold::of(&path).unwrap().stamp, before);
}

#[test]
fn the_systems_roots_of_this_machine_are_found_or_it_is_said_that_there_are_none() {
    let found = read(&ResourceName::SystemRoots, &SdsFilesConfig::default(), &[], Timestamp::from_unix_secs(0));
    if SYSTEM_ROOTS.iter().any(|path| Path::new(path).exists()) {
        let content = found.unwrap().unwrap().held.content;
        assert!(matches!(content, Content::Anchors(roots) if roots.roots().len() > 10));
    } else {
        assert!(matches!(found, Err(ReadError::NoSystemRoots)));
    }
}
