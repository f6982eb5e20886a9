//! The schema of the three kinds, as the API server holds it, and the walk that finds what does not fit.
//!
//! A value of the wrong type, an unknown field and an unknown value are told when the model is read, and are passed over
//! here.

mod shapes;

use super::findings::Findings;
use crate::model::ObjectKind;
use crate::problem::{Code, Problem};
use crate::source::{Node, Value};

/// What a value must look like.
enum Shape {
    /// A string: at least and at most so many characters, and its form.
    Text(usize, usize, Form),
    /// A list of at most so many items.
    List(usize, &'static Shape),
    /// A mapping with these fields; others are not looked at.
    Map(&'static [Field]),
}

/// One field of a mapping.
struct Field {
    name: &'static str,
    is_required: bool,
    shape: Shape,
}

/// Forms that a string may have to have, each with the pattern of the API server.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Any,
    /// Empty or a DNS subdomain.
    Group,
    /// A letter, then letters, digits and hyphens.
    Kind,
    /// What a header may be called here.
    Header,
    /// Nothing: references cross no namespaces.
    Empty,
    /// `http` or `https`.
    Url,
}

pub(super) fn check(kind: ObjectKind, spec: &Node, findings: &mut Findings) {
    let fields = match kind {
        ObjectKind::AuthorizationPolicy => shapes::AUTHORIZATION,
        ObjectKind::RequestAuthentication => shapes::REQUEST,
        _ => return,
    };
    let mut walk = Walk { path: "spec".to_owned(), findings };
    walk.map(spec, fields);
}

struct Walk<'a> {
    /// As the API server writes it: `spec.jwtRules[0].issuer`.
    path: String,
    findings: &'a mut Findings,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, shape: &Shape) {
        match (shape, &node.value) {
            (Shape::Text(min, max, form), Value::Text(text)) => self.text(node, text, (*min, *max), *form),
            (Shape::List(max, item), Value::List(items)) => self.list(node, items, *max, item),
            (Shape::Map(fields), Value::Map(_)) => self.map(node, fields),
            _ => {}
        }
    }

    fn map(&mut self, node: &Node, fields: &[Field]) {
        for field in fields {
            let length = self.path.len();
            self.path.push('.');
            self.path.push_str(field.name);
            match node.get(field.name).filter(|value| value.value != Value::Null) {
                Some(value) => self.node(value, &field.shape),
                None if field.is_required => {
                    let problem = Problem::new(Code::Missing, node.at, format!("`{}` is missing here", field.name));
                    self.findings.push(problem.with_refusal(format!("{}: Required value", self.path)));
                }
                None => {}
            }
            self.path.truncate(length);
        }
    }

    fn list(&mut self, node: &Node, items: &[Node], max: usize, shape: &Shape) {
        if items.len() > max {
            let count = items.len();
            let message = format!("{count} items, and at most {max} are accepted");
            let refusal = format!("{}: Too many: {count}: must have at most {max} items", self.path);
            self.findings.push(Problem::new(Code::TooLong, node.at, message).with_refusal(refusal));
        }
        for (index, item) in items.iter().enumerate() {
            let length = self.path.len();
            self.path.push_str(&format!("[{index}]"));
            self.node(item, shape);
            self.path.truncate(length);
        }
    }

    fn text(&mut self, node: &Node, text: &str, (min, max): (usize, usize), form: Form) {
        let length = text.chars().count();
        if length < min {
            let refusal = format!("{} in body should be at least {min} chars long", self.path);
            let problem = Problem::new(Code::TooShort, node.at, "the value is empty, and something is wanted");
            self.findings.push(problem.with_refusal(refusal));
        } else if length > max {
            let message = format!("{length} characters, and at most {max} are accepted");
            let refusal = format!("{}: Too long: may not be more than {max} bytes", self.path);
            self.findings.push(Problem::new(Code::TooLong, node.at, message).with_refusal(refusal));
        } else if !form.holds(text) {
            let problem = Problem::new(Code::BadForm, node.at, format!("`{text}` is not {}", form.wanted()));
            self.findings.push(problem.with_refusal(form.refusal(&self.path)));
        }
    }
}

impl Form {
    fn holds(self, text: &str) -> bool {
        let mut bytes = text.bytes();
        match self {
            Self::Any => true,
            Self::Group => text.is_empty() || text.split('.').all(is_label),
            Self::Kind => {
                bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
                    && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    && !text.ends_with('-')
            }
            Self::Header => bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
            Self::Empty => text.is_empty(),
            Self::Url => ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)),
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Group => "an API group: empty, or a DNS name in lower case",
            Self::Kind => "a kind: a letter, then letters, digits and `-`",
            Self::Header => "a header: letters, digits, `-` and `_`",
            Self::Empty => "empty: a policy is attached in its own namespace only",
            Self::Url => "a URL with `http://` or `https://`",
        }
    }

    fn refusal(self, path: &str) -> String {
        match self {
            Self::Any => String::new(),
            Self::Group => {
                let label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
                format!("{path} in body should match '^$|^{label}(\\.{label})*$'")
            }
            Self::Kind => format!("{path} in body should match '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$'"),
            Self::Header => format!("{path} in body should match '^[-_A-Za-z0-9]+$'"),
            Self::Empty => format!("{path}: cross namespace referencing is not currently supported"),
            Self::Url => format!("{path}: url must have scheme http:// or https://"),
        }
    }
}

/// A DNS label (RFC 1123) of any length.
pub(super) fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = label.as_bytes();
    bytes.first().is_some_and(|byte| plain(*byte))
        && bytes.last().is_some_and(|byte| plain(*byte))
        && bytes.iter().all(|byte| plain(*byte) || *byte == b'-')
}
