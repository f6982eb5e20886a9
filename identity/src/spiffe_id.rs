//! SPIFFE ids and trust domains (SPIFFE-ID standard, section 2), parsed strictly and never folded.
//!
//! Works on bytes: no URL library stands between the caller's text and the rules, so nothing is decoded,
//! normalised or trimmed. Equality is byte equality, as it is for the proxies that compare these names.

use std::fmt;
use std::str::FromStr;

/// Longest trust domain name, in bytes (RFC 3986 host).
pub const TRUST_DOMAIN_MAX_BYTES: usize = 255;

/// Longest SPIFFE id, scheme included, in bytes (SPIFFE-ID, 2.3).
pub const SPIFFE_ID_MAX_BYTES: usize = 2048;

const SCHEME: &str = "spiffe://";

/// Which rule a text broke. Positions count bytes from the start of the text that was parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// Nothing was given.
    #[error("SPIFFE id is empty")]
    Empty,
    /// The text does not begin with `spiffe://`.
    #[error("SPIFFE id does not begin with `spiffe://`")]
    Scheme,
    /// The whole id is too long.
    #[error("SPIFFE id has {actual} bytes, at most {SPIFFE_ID_MAX_BYTES} are accepted")]
    TooLong {
        /// Bytes given.
        actual: usize,
    },
    /// There is no trust domain.
    #[error("trust domain is empty")]
    TrustDomainEmpty,
    /// The trust domain is too long.
    #[error("trust domain has {actual} bytes, at most {TRUST_DOMAIN_MAX_BYTES} are accepted")]
    TrustDomainTooLong {
        /// Bytes given.
        actual: usize,
    },
    /// A character that no trust domain may hold: only `a-z 0-9 . - _` may stand there.
    #[error("trust domain holds {character:?} at byte {position}, only a-z, 0-9, `.`, `-` and `_` are accepted")]
    TrustDomainCharacter {
        /// The first refused character.
        character: char,
        /// Its offset in the parsed text.
        position: usize,
    },
    /// A character that no path segment may hold: only `A-Z a-z 0-9 . - _` may stand there.
    #[error("path holds {character:?} at byte {position}, only letters, digits, `.`, `-` and `_` are accepted")]
    PathCharacter {
        /// The first refused character.
        character: char,
        /// Its offset in the parsed text.
        position: usize,
    },
    /// Two slashes in a row.
    #[error("path has an empty segment at byte {position}")]
    EmptySegment {
        /// Where the empty segment stands.
        position: usize,
    },
    /// A slash at the end, the bare root path included.
    #[error("path ends with a slash")]
    TrailingSlash,
    /// A segment that is `.` or `..`.
    #[error("path has a dot segment at byte {position}")]
    DotSegment {
        /// Where the segment begins.
        position: usize,
    },
}

/// The name of a trust domain: 1 to 255 bytes of `a-z 0-9 . - _`, without scheme.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain {
    name: Box<str>,
}

impl TrustDomain {
    /// The name, for instance `cluster.local`.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The trust domain's own id: no path, so it can name an authority but never a workload.
    pub fn id(&self) -> SpiffeId {
        SpiffeId { text: format!("{SCHEME}{}", self.name).into(), path_at: SCHEME.len() + self.name.len() }
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        check_trust_domain(name, 0)?;
        Ok(Self { name: name.into() })
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A SPIFFE id that keeps every rule of the standard.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: Box<str>,
    /// Byte offset of the path, which is the text's length when there is none.
    path_at: usize,
}

impl SpiffeId {
    /// An id from a trust domain and path segments, each checked alone before they are joined.
    ///
    /// # Errors
    /// A segment that breaks a rule, or an id over [`SPIFFE_ID_MAX_BYTES`].
    pub fn from_segments(trust_domain: &TrustDomain, segments: &[&str]) -> Result<Self, SpiffeIdError> {
        let mut text = trust_domain.id().text.into_string();
        let path_at = text.len();
        for segment in segments {
            check_segment(segment, text.len() + 1)?;
            text.push('/');
            text.push_str(segment);
        }
        check_length(text.len())?;
        Ok(Self { text: text.into(), path_at })
    }

    /// The whole id, for instance `spiffe://cluster.local/ns/shop/sa/web`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the trust domain this id belongs to.
    pub fn trust_domain_name(&self) -> &str {
        self.text.get(SCHEME.len()..self.path_at).unwrap_or_default()
    }

    /// The trust domain this id belongs to.
    pub fn trust_domain(&self) -> TrustDomain {
        TrustDomain { name: self.trust_domain_name().into() }
    }

    /// The path with its leading slash; empty for the trust domain's own id.
    pub fn path(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }

    /// Whether a leaf certificate may carry this id: it must have a path (X509-SVID, 4.1).
    pub fn names_a_workload(&self) -> bool {
        !self.path().is_empty()
    }

    /// Whether this id belongs to `trust_domain`: equality of names, never a prefix of text.
    pub fn is_member_of(&self, trust_domain: &TrustDomain) -> bool {
        self.trust_domain_name() == trust_domain.as_str()
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(SpiffeIdError::Empty);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        check_length(text.len())?;
        let (name, path) = match rest.split_once('/') {
            Some((name, path)) => (name, Some(path)),
            None => (rest, None),
        };
        check_trust_domain(name, SCHEME.len())?;
        let path_at = SCHEME.len() + name.len();
        if let Some(path) = path {
            check_path(path, path_at + 1)?;
        }
        Ok(Self { text: text.into(), path_at })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.text)
    }
}

fn check_length(actual: usize) -> Result<(), SpiffeIdError> {
    if actual > SPIFFE_ID_MAX_BYTES { Err(SpiffeIdError::TooLong { actual }) } else { Ok(()) }
}

fn check_trust_domain(name: &str, offset: usize) -> Result<(), SpiffeIdError> {
    if name.is_empty() {
        return Err(SpiffeIdError::TrustDomainEmpty);
    }
    let refused = |c: char| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_');
    if let Some((at, character)) = name.char_indices().find(|(_, c)| refused(*c)) {
        return Err(SpiffeIdError::TrustDomainCharacter { character, position: offset + at });
    }
    if name.len() > TRUST_DOMAIN_MAX_BYTES {
        return Err(SpiffeIdError::TrustDomainTooLong { actual: name.len() });
    }
    Ok(())
}

/// `path` is what follows the first slash.
fn check_path(path: &str, offset: usize) -> Result<(), SpiffeIdError> {
    let mut at = offset;
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_none() {
            return Err(SpiffeIdError::TrailingSlash);
        }
        check_segment(segment, at)?;
        at += segment.len() + 1;
    }
    Ok(())
}

fn check_segment(segment: &str, offset: usize) -> Result<(), SpiffeIdError> {
    if segment.is_empty() {
        return Err(SpiffeIdError::EmptySegment { position: offset });
    }
    if matches!(segment, "." | "..") {
        return Err(SpiffeIdError::DotSegment { position: offset });
    }
    let refused = |c: char| !matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '-' | '_');
    match segment.char_indices().find(|(_, c)| refused(*c)) {
        Some((at, character)) => Err(SpiffeIdError::PathCharacter { character, position: offset + at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_names_the_character_and_where_it_stands() {
        let error = "spiffe://example.org/a/b c".parse::<SpiffeId>().unwrap_err();
        assert_eq!(error, SpiffeIdError::PathCharacter { character: ' ', position: 24 });
    }

    #[test]
    fn membership_is_equality_not_a_prefix() {
        let home: TrustDomain = "example.org".parse().unwrap();
        let member = |id: &str| id.parse::<SpiffeId>().unwrap().is_member_of(&home);
        assert!(member("spiffe://example.org/x"));
        assert!(!member("spiffe://example.org.evil/x"));
        assert!(!member("spiffe://example.orgx"));
    }

    #[test]
    fn a_segment_cannot_smuggle_a_slash() {
        let home: TrustDomain = "example.org".parse().unwrap();
        let error = SpiffeId::from_segments(&home, &["ns", "a/sa/b"]).unwrap_err();
        assert_eq!(error, SpiffeIdError::PathCharacter { character: '/', position: 25 });
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_prints_as_it_was(text in "(spiffe://)?[a-z0-9./_%: A-Z-]{0,60}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.to_string(), text);
                prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), id.as_str());
            }
        }

        #[test]
        fn ids_built_from_parts_parse_to_themselves(
            name in "[a-z0-9._-]{1,40}",
            segments in prop::collection::vec("[A-Za-z0-9._-]{1,20}", 0..8),
        ) {
            let home: TrustDomain = name.parse().unwrap();
            let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
            if let Ok(id) = SpiffeId::from_segments(&home, &parts) {
                prop_assert_eq!(id.as_str().parse::<SpiffeId>().unwrap(), id);
            }
        }
    }
}
