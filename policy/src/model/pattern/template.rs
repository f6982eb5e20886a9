//! Patterns on the path of a request: strings with a star, or templates with `{*}` and `{**}`.
//!
//! A template that Envoy cannot read makes Envoy abort, so what parses here is a template for Envoy too.

use super::{PatternError, StringPattern};

/// A pattern on the path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPattern {
    /// Exact, prefix, suffix or presence.
    Text(StringPattern),
    /// With `{*}` or `{**}`.
    Template(PathTemplate),
}

impl PathPattern {
    /// Parses the value of `paths` or `notPaths`.
    ///
    /// # Errors
    /// Braces that are no operator, an operator after `{**}`, and in a template characters that it may not hold.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let is_template = text.contains("{*}") || text.contains("{**}");
        check(text, is_template)?;
        if is_template {
            Ok(Self::Template(PathTemplate::new(text)?))
        } else {
            Ok(Self::Text(StringPattern::parse(text)))
        }
    }

    /// Whether `path` (normalised, without query) matches.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Text(pattern) => pattern.matches_non_empty(path),
            Self::Template(template) => template.matches(path),
        }
    }
}

/// The rules that hold for every value of `paths`.
fn check(text: &str, is_template: bool) -> Result<(), PatternError> {
    let trimmed = text.trim_matches('/');
    let mut found_rest = false;
    for segment in trimmed.split('/') {
        let is_rest = segment == "{**}";
        if is_rest || segment == "{*}" {
            if found_rest {
                return Err(PatternError::TemplateOrder);
            }
            found_rest = is_rest;
        } else if segment.contains(['{', '}']) {
            return Err(PatternError::TemplateSegment { segment: segment.into() });
        } else if is_template && (segment.is_empty() || !segment.bytes().all(is_literal)) {
            return Err(PatternError::TemplateLiteral { segment: segment.into() });
        }
    }
    Ok(())
}

/// What a literal of a template may hold, and what its operators match.
fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&byte)
}

/// A path template: literal text with operators between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathTemplate {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// This text, slashes included.
    Literal(Box<str>),
    /// `{*}`: one or more characters of a segment.
    Segment,
    /// `{**}`: any number of characters, slashes among them.
    Rest,
}

impl PathTemplate {
    fn new(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError::TemplateStart);
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        for (index, segment) in text.split('/').enumerate() {
            if index > 0 {
                literal.push('/');
            }
            let operator = match segment {
                "{*}" => Part::Segment,
                "{**}" => Part::Rest,
                segment => {
                    literal.push_str(segment);
                    continue;
                }
            };
            parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            parts.push(operator);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self { parts })
    }

    /// The pieces in order. The first is literal and begins with a slash.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The template as Envoy writes it: `*` and `**` for the operators.
    pub fn envoy(&self) -> String {
        let piece = |part: &Part| match part {
            Part::Literal(text) => text.to_string(),
            Part::Segment => "*".to_owned(),
            Part::Rest => "**".to_owned(),
        };
        self.parts.iter().map(piece).collect()
    }

    /// Whether the whole of `path` matches.
    pub fn matches(&self, path: &str) -> bool {
        matches(&self.parts, path.as_bytes())
    }
}

/// There is one `{**}` at most and a `{*}` ends at its slash, so nothing is tried twice: before `{**}` the match is
/// forced from the left, behind it only literals stand, forced from the right.
fn matches(parts: &[Part], path: &[u8]) -> bool {
    match parts {
        [] => path.is_empty(),
        [Part::Literal(text), rest @ ..] => path.strip_prefix(text.as_bytes()).is_some_and(|path| matches(rest, path)),
        [Part::Segment, rest @ ..] => {
            let length = path.iter().take_while(|byte| is_literal(**byte)).count();
            length > 0 && path.get(length..).is_some_and(|path| matches(rest, path))
        }
        [Part::Rest] => all_free(path),
        [Part::Rest, Part::Literal(text), ..] => path.strip_suffix(text.as_bytes()).is_some_and(all_free),
        [Part::Rest, ..] => false,
    }
}

fn all_free(path: &[u8]) -> bool {
    path.iter().all(|byte| *byte == b'/' || is_literal(*byte))
}
