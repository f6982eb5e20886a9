//! What a proxy makes of a path before any policy sees it, by the mesh's setting.
//!
//! Never normalised, whatever the setting: case, `;parameters`, escapes of escapes, `...`, overlong UTF-8. A policy on
//! such paths is as good as the server's own reading of them.
//!
//! One corner is open: Envoy 1.40 takes a segment `..;x` for `..`, and the table of Istio's own tests, which this keeps to,
//! does not.

use std::borrow::Cow;

use crate::model::Normalization;

/// Why a request is refused with status 400 before any policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path holds an escaped NUL")]
pub struct BadPath;

/// The path as the policy sees it and the server receives it; its query is kept. Allocates only for a path that changes.
///
/// # Errors
/// An escaped NUL, in every mode but `NONE`.
pub fn normalize(path: &str, mode: Normalization) -> Result<Cow<'_, str>, BadPath> {
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    if mode == Normalization::None {
        return Ok(Cow::Borrowed(path));
    }
    let (bare, query) = path.find('?').and_then(|at| path.split_at_checked(at)).unwrap_or((path, ""));
    if bare.contains("%00") {
        return Err(BadPath);
    }
    if is_normal(bare) {
        return Ok(Cow::Borrowed(path));
    }
    let mut bytes = decode(bare.as_bytes(), mode == Normalization::DecodeAndMergeSlashes);
    resolve_dots(&mut bytes);
    if mode != Normalization::Base {
        merge_slashes(&mut bytes);
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    text.push_str(query);
    Ok(Cow::Owned(text))
}

/// The part of a path that policies match: what stands before the query.
pub fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// Whether no mode changes anything: no escape, no backslash, and no empty or dotted segment.
fn is_normal(path: &str) -> bool {
    let bytes = path.as_bytes();
    let pairs = bytes.windows(2).all(|pair| pair != b"//" && pair != b"/.");
    pairs && path.starts_with('/') && !bytes.iter().any(|byte| matches!(byte, b'%' | b'\\') || is_escaped(*byte))
}

/// Decodes escapes of unreserved characters (and of slashes, when asked for), turns backslashes, and escapes what may not
/// stand in a path.
fn decode(path: &[u8], slashes: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        let decoded = escape.filter(|byte| is_unreserved(*byte) || (slashes && matches!(byte, b'/' | b'\\')));
        let byte = decoded.unwrap_or(*byte);
        match byte {
            b'\\' => out.push(b'/'),
            byte if is_escaped(byte) => out.extend(format!("%{byte:02X}").bytes()),
            byte => out.push(byte),
        }
        rest = if decoded.is_some() { rest.get(3..).unwrap_or_default() } else { tail };
    }
    out
}

/// What Envoy escapes. The list is that of browsers' URLs.
fn is_escaped(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || b"\"<>^`{|}".contains(&byte)
}

/// Makes one slash of many. Where there is nothing else, Envoy keeps two: the one in front and the one behind.
fn merge_slashes(path: &mut Vec<u8>) {
    let was_longer = path.len() > 1;
    path.dedup_by(|next, before| *next == b'/' && *before == b'/');
    if was_longer && path == b"/" {
        path.push(b'/');
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `.` goes, `..` takes the segment before it along (an empty one counts), and either at the end leaves a slash.
fn resolve_dots(path: &mut Vec<u8>) {
    let Some(rest) = path.strip_prefix(b"/") else { return };
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_in_dots = false;
    for segment in rest.split(|byte| *byte == b'/') {
        ends_in_dots = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    if ends_in_dots {
        segments.push(b"");
    }
    let mut resolved = b"/".to_vec();
    resolved.extend_from_slice(&segments.join(&b'/'));
    *path = resolved;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_query_is_kept_and_never_normalised() {
        assert_eq!(normalize("/a/../b?x=/../%41", Normalization::Base).unwrap(), "/b?x=/../%41");
        assert_eq!(without_query("/b?x#y"), "/b");
    }

    #[test]
    fn a_path_that_does_not_change_is_borrowed() {
        for path in ["/", "/a/b;x=1/...", "/a.b/c?d"] {
            let same = normalize(path, Normalization::DecodeAndMergeSlashes).unwrap();
            assert!(matches!(same, Cow::Borrowed(_)) || path.contains("/."), "{path}");
            assert_eq!(same, path);
        }
    }

    #[test]
    fn what_may_not_stand_in_a_path_is_escaped_unless_nothing_is_done() {
        assert_eq!(normalize("/\"{|}^<>`é\\", Normalization::Base).unwrap(), "/%22%7B%7C%7D%5E%3C%3E%60%C3%A9/");
        assert_eq!(normalize("/\"{", Normalization::None).unwrap(), "/\"{");
    }

    #[test]
    fn a_path_of_slashes_only_keeps_two() {
        for path in ["//", "///", "//.", "/a/..//"] {
            assert_eq!(normalize(path, Normalization::MergeSlashes).unwrap(), "//", "{path}");
        }
        assert_eq!(normalize("/a/..", Normalization::MergeSlashes).unwrap(), "/");
    }

    proptest! {
        #[test]
        fn the_short_cut_for_normal_paths_changes_nothing(path in "/[ab./%2eF\\\\;]{0,10}") {
            if is_normal(&path) {
                let mut bytes = decode(path.as_bytes(), true);
                resolve_dots(&mut bytes);
                merge_slashes(&mut bytes);
                prop_assert_eq!(String::from_utf8(bytes).unwrap(), path);
            }
        }

        #[test]
        fn a_merged_path_has_no_two_slashes_in_a_row(path in "/[ab./%25cF\\\\]{0,12}") {
            let normal = normalize(&path, Normalization::MergeSlashes).unwrap();
            prop_assert!(normal == "//" || !normal.contains("//"), "{}", normal);
        }
    }
}
