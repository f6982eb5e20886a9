//! Segments of a ledger: as they are, and with every line given the hash that it should have, so that what stands behind
//! the hashes is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ring::digest::{SHA256, digest};
use signet_ca::ledger::read_segment;

fuzz_target!(|bytes: &[u8]| {
    let (records, _) = read_segment(bytes, 1).expect("memory can be read");
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(records < lines as u64, "there are no more records than lines behind a header");

    let sealed = sealed(bytes);
    let (records, flaw) = read_segment(sealed.as_slice(), 1).expect("memory can be read");
    let mut cut = sealed.clone();
    cut.pop();
    let (fewer, _) = read_segment(cut.as_slice(), 1).expect("memory can be read");
    assert!(fewer == records || (flaw.is_none() && fewer + 1 == records), "only the last record was cut");
});

/// The lines of `bytes`, each closed with its hash. The first follows the hash that 64 zeros stand for.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let (mut previous, mut segment) = (vec![0; 32], Vec::new());
    for line in bytes.split(|byte| *byte == b'\n') {
        previous = digest(&SHA256, &[previous.as_slice(), line].concat()).as_ref().to_vec();
        let hash: String = previous.iter().map(|octet| format!("{octet:02x}")).collect();
        segment.extend([line, b",\"hash\":\"", hash.as_bytes(), b"\"}\n"].concat());
    }
    segment
}
