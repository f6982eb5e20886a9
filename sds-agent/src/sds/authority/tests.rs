//! What is mended, what passes as it is, and that it does not matter how the bytes come.

use super::*;
use proptest::prelude::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// A literal that is kept in the table, its name by number, not in Huffman's code.
fn literal(index: u8, value: &[u8]) -> Vec<u8> {
    [&[0x40 | index, u8::try_from(value.len()).unwrap()], value].concat()
}

fn mended(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [PREFACE, &frames.concat()].concat();
    Authority::default().mend(&mut bytes);
    bytes
}

fn check(before: &[Vec<u8>], after: &[Vec<u8>]) {
    assert_eq!(mended(before), [PREFACE, &after.concat()].concat());
}

fn path(value: &[u8]) -> Vec<u8> {
    // :method POST, :scheme http, :path, :authority, te, a name that is new, a size update, a number of several bytes.
    let long = b"\x40\x0agrpc%2Fname\x03%%%".to_vec();
    [
        vec![0x83, 0x86],
        literal(4, b"/S%2FM"),
        literal(AUTHORITY_INDEX, value),
        literal(58, b"%20"),
        long,
        vec![0x3f, 0xe1, 0x1f, 0xff, 0x80, 0x01],
    ]
    .concat()
}

#[test]
fn percent_signs_of_the_authority_become_letters_and_nothing_else_changes() {
    let (before, after) = (path(b"%2Ftmp%2Fsocket"), path(b"x2Ftmpx2Fsocket"));
    check(&[frame(HEADERS, 4, &before)], &[frame(HEADERS, 4, &after)]);
    check(&[frame(HEADERS, 4, &path(b"localhost"))], &[frame(HEADERS, 4, &path(b"localhost"))]);
}

#[test]
fn it_is_found_behind_padding_priority_data_and_in_continuations() {
    let (before, after) = (path(b"%2Ftmp"), path(b"x2Ftmp"));
    let padded = |fields: &[u8]| [&[3, 0, 0, 0, 0, 16], fields, b"%%%"].concat();
    let flags = PADDED | PRIORITY;
    check(&[frame(HEADERS, flags, &padded(&before))], &[frame(HEADERS, flags, &padded(&after))]);
    let others = [frame(4, 0, b"%%%%%%"), frame(0, 0, &[b'%'; 300]), frame(8, 0, b"%%%%")];
    let with = |fields: &[u8]| [others.to_vec(), vec![frame(HEADERS, 4, fields)]].concat();
    check(&with(&before), &with(&after));
    let split = |fields: &[u8]| vec![frame(HEADERS, 0, &fields[..13]), frame(CONTINUATION, 4, &fields[13..])];
    check(&split(&before), &split(&after));
}

#[test]
fn long_values_are_mended_and_huffmans_code_is_left_alone() {
    let long = |byte: u8| [&[0x41, 0x7f, 0xad, 0x01], [byte; 300].as_slice(), b"\x84"].concat();
    check(&[frame(HEADERS, 4, &long(b'%'))], &[frame(HEADERS, 4, &long(INSTEAD))]);
    let coded = b"\x41\x83%%%\x84".to_vec();
    check(&[frame(HEADERS, 4, &coded)], &[frame(HEADERS, 4, &coded)]);
}

#[test]
fn the_name_may_be_spelt_out_as_the_c_core_does() {
    let spelt = |name: &[u8], value: &[u8]| {
        let length = |text: &[u8]| u8::try_from(text.len()).unwrap();
        [&[0x40, length(name)], name, &[length(value)], value, &[0x83], &literal(4, b"/%2F")].concat()
    };
    let check_name = |name: &[u8], after: &[u8]| {
        check(&[frame(HEADERS, 4, &spelt(name, b"tmp%2Fs"))], &[frame(HEADERS, 4, &spelt(name, after))]);
    };
    check_name(b":authority", b"tmpx2Fs");
    for other in [&b":authoritx"[..], b":authorit", b":authority2", b"xauthority", b"", b":path"] {
        check_name(other, b"tmp%2Fs");
    }
}

#[test]
fn a_length_without_end_is_given_up() {
    let endless = [&[0x41, 0x7f], [0xff; 20].as_slice(), b"%%%%"].concat();
    check(&[frame(HEADERS, 4, &endless)], &[frame(HEADERS, 4, &endless)]);
}

proptest! {
    #[test]
    fn it_does_not_matter_in_which_pieces_bytes_come(cuts in proptest::collection::vec(1usize..40, 1..30)) {
        let whole = mended(&[frame(4, 0, b"%%%%%%"), frame(HEADERS, 4, &path(b"%2Ftmp%2Fsocket"))]);
        let mut bytes =
            [PREFACE, &frame(4, 0, b"%%%%%%"), &frame(HEADERS, 4, &path(b"%2Ftmp%2Fsocket"))].concat();
        let (mut authority, mut rest) = (Authority::default(), bytes.as_mut_slice());
        for cut in cuts {
            let (piece, behind) = rest.split_at_mut(cut.min(rest.len()));
            authority.mend(piece);
            rest = behind;
        }
        authority.mend(rest);
        prop_assert_eq!(bytes, whole);
    }

    #[test]
    fn no_bytes_make_it_panic_and_only_percent_signs_ever_change(bytes: Vec<u8>, framed: bool) {
        let mut after = [PREFACE, &if framed { frame(HEADERS, 4, &bytes) } else { bytes }].concat();
        let before = after.clone();
        Authority::default().mend(&mut after);
        prop_assert!(before.iter().zip(&after).all(|(one, other)| one == other || *one == b'%'));
    }
}
