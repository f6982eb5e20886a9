//! Names as rules write them: whole, or by their beginning with a `*` at the end.

use std::fmt;
use std::str::FromStr;

/// Longest name in bytes (RFC 1123 subdomain).
const NAME_MAX_BYTES: usize = 253;

/// Names of one kind: `shop` is that name, `team-*` every name that begins so, `*` every name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    beginning: String,
    is_open: bool,
}

impl NamePattern {
    /// Whether `name` is one of these.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_open { name.starts_with(&self.beginning) } else { name == self.beginning }
    }

    /// Whether some name is one of these and one of `other`'s.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.matches(&other.beginning) || other.matches(&self.beginning)
    }
}

impl FromStr for NamePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (beginning, is_open) = text.strip_suffix('*').map_or((text, false), |beginning| (beginning, true));
        let allowed = |octet: u8| matches!(octet, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        let is_good = beginning.len() <= NAME_MAX_BYTES && beginning.bytes().all(allowed);
        if is_good && !text.is_empty() {
            Ok(Self { beginning: beginning.to_owned(), is_open })
        } else {
            Err(format!("`{text}` is no name, and no beginning of one with `*` at the end"))
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.beginning, if self.is_open { "*" } else { "" })
    }
}

/// Whether `name` is among `patterns`.
pub fn any_matches(patterns: &[NamePattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, names: &[&str], others: &[&str]) {
        let parsed: NamePattern = pattern.parse().unwrap();
        assert_eq!(parsed.to_string(), pattern);
        assert!(names.iter().all(|name| parsed.matches(name)), "{pattern}: {names:?}");
        assert!(!others.iter().any(|name| parsed.matches(name)), "{pattern}: {others:?}");
    }

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_some() {
        check("shop", &["shop"], &["shop2", "sho", ""]);
        check("team-*", &["team-", "team-a", "team-a.b"], &["team", "a-team-"]);
        check("*", &["", "anything"], &[]);
    }

    #[test]
    fn patterns_overlap_where_one_name_is_of_both() {
        for (one, other, wanted) in [
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("team-*", "team-a", true),
            ("team-*", "team", false),
            ("team-*", "team-a*", true),
            ("team-*", "other-*", false),
            ("*", "shop", true),
        ] {
            let (first, second): (NamePattern, NamePattern) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((first.overlaps(&second), second.overlaps(&first)), (wanted, wanted), "{one} {other}");
        }
    }

    #[test]
    fn a_star_stands_at_the_end_or_nowhere() {
        for text in ["", "a*b", "**", "*-a", "a b", "a,b", "a/b", &"a".repeat(254)] {
            assert!(text.parse::<NamePattern>().is_err(), "{text}");
        }
    }
}
