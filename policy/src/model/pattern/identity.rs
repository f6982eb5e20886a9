//! Patterns on the caller's identity other than its whole name, and on the two names in a token.

use super::{PatternError, StringPattern};

/// A text in which every star stands for anything, as Envoy reads namespaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    /// What stands between the stars; one more than there are stars.
    pieces: Vec<Box<str>>,
    /// The same text as ztunnel reads it, with one star at most.
    plain: StringPattern,
}

impl Glob {
    /// The glob that `text` is; any text is one.
    pub fn parse(text: &str) -> Self {
        Self { pieces: text.split('*').map(Box::from).collect(), plain: StringPattern::parse(text) }
    }

    /// What stands between the stars; one more than there are stars.
    pub fn pieces(&self) -> &[Box<str>] {
        &self.pieces
    }

    /// The same text as ztunnel reads it.
    pub fn plain(&self) -> &StringPattern {
        &self.plain
    }
}

/// A service account: its name, and its namespace unless that is the policy's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAccountPattern {
    /// Resolved: the namespace that was written, or the one of the policy.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl ServiceAccountPattern {
    /// Parses `NAME` or `NAMESPACE/NAME`; `own` is the namespace of the policy.
    ///
    /// # Errors
    /// A star, an empty half or a second slash.
    pub fn parse(text: &str, own: &str) -> Result<Self, PatternError> {
        let (namespace, name) = text.split_once('/').unwrap_or((own, text));
        let half_is_empty = name.is_empty() || text.starts_with('/');
        if half_is_empty || name.contains('/') || text.contains('*') {
            return Err(PatternError::ServiceAccount);
        }
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }
}

/// A trust domain with at most one star.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomainPattern(StringPattern);

impl TrustDomainPattern {
    /// Parses a trust domain: `a`, `a*`, `*a` or `*`.
    ///
    /// # Errors
    /// An empty text, a slash, a second star or one in the middle.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let pattern = StringPattern::parse(text);
        let literal = match &pattern {
            StringPattern::Exact(text) | StringPattern::Prefix(text) | StringPattern::Suffix(text) => text,
            StringPattern::Presence => return Ok(Self(pattern)),
        };
        if text.is_empty() {
            Err(PatternError::Empty)
        } else if literal.contains(['*', '/']) {
            Err(PatternError::TrustDomain)
        } else {
            Ok(Self(pattern))
        }
    }

    /// The pattern on the trust domain's name.
    pub fn pattern(&self) -> &StringPattern {
        &self.0
    }
}

/// A pattern on issuer and subject of a token, written as one text and taken apart at its last slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestPrincipal {
    /// On the claim `iss`; presence asks for a non-empty one.
    pub issuer: StringPattern,
    /// On the claim `sub`; presence asks for a non-empty one.
    pub subject: StringPattern,
}

impl RequestPrincipal {
    /// The pattern that `text` is; any text is one. The first star decides, a second is literal.
    pub fn parse(text: &str) -> Self {
        use StringPattern::{Exact, Prefix, Presence, Suffix};
        let (issuer, subject) = text.rsplit_once('/').map_or((text, None), |(issuer, subject)| (issuer, Some(subject)));
        let (issuer, subject) = match (text.strip_prefix('*'), text.strip_suffix('*'), subject) {
            (Some(""), ..) => (Presence, Presence),
            (Some(_), _, Some(subject)) => match issuer.strip_prefix('*') {
                None | Some("") => (Presence, Exact(subject.into())),
                Some(rest) => (Suffix(rest.into()), Exact(subject.into())),
            },
            (Some(rest), _, None) => (Presence, Suffix(rest.into())),
            (None, Some(_), Some(subject)) => match subject.strip_suffix('*') {
                None | Some("") => (Exact(issuer.into()), Presence),
                Some(rest) => (Exact(issuer.into()), Prefix(rest.into())),
            },
            (None, Some(rest), None) => (Prefix(rest.into()), Presence),
            (None, None, subject) => (Exact(issuer.into()), Exact(subject.unwrap_or_default().into())),
        };
        Self { issuer, subject }
    }
}
