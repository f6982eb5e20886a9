//! Taking a mapping apart field by field, so that no key is overlooked and every wrong type is told.

use crate::model::{Labels, PatternError, Spotted, Text, Written};
use crate::problem::{Code, Problem};
use crate::source::{Entry, Node, Place, Value};

/// Problems that one reading tells; a broken generator would otherwise make millions.
const PROBLEMS_MAX: usize = 10_000;

/// What is wrong so far.
#[derive(Default)]
pub(super) struct Log {
    problems: Vec<Problem>,
}

impl Log {
    pub(super) fn push(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else if self.problems.len() == PROBLEMS_MAX {
            let message = format!("more than {PROBLEMS_MAX} problems; the rest is not told");
            self.problems.push(Problem::new(Code::TooManyProblems, problem.at, message));
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    fn wrong_type(&mut self, node: &Node, name: &str, wanted: &str) {
        let message = format!("`{name}` wants {wanted}, and this is {}", node.kind());
        let mut problem = Problem::new(Code::WrongType, node.at, message);
        if wanted == "a string" && matches!(node.value, Value::Number(_) | Value::Bool(_)) {
            problem = problem.with_hint("put it into quotes");
        }
        self.push(problem);
    }

    fn null(&mut self, node: &Node, name: &str) {
        let message = format!("`{name}` is there but has no value; it counts as absent");
        self.push(Problem::new(Code::NullValue, node.at, message));
    }
}

/// The fields of one mapping, less those that were taken.
pub(super) struct Fields<'n> {
    left: Vec<&'n Entry>,
    /// Where the mapping stands.
    pub(super) at: Place,
}

impl<'n> Fields<'n> {
    /// The fields of `node`; none, and a problem, when it is no mapping. Null counts as a mapping without fields.
    pub(super) fn open(node: &'n Node, name: &str, log: &mut Log) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { left: entries.iter().collect(), at: node.at }),
            Value::Null => {
                log.null(node, name);
                None
            }
            _ => {
                log.wrong_type(node, name, "a mapping");
                None
            }
        }
    }

    /// Takes one field out, whatever it holds; null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<&'n Node> {
        let index = self.left.iter().position(|entry| &*entry.key == name)?;
        Some(&self.left.swap_remove(index).node)
    }

    /// A field that must hold a string.
    pub(super) fn text(&mut self, name: &str, log: &mut Log) -> Option<Text> {
        let node = self.take(name)?;
        text(node, name, log)
    }

    /// A field that must hold a boolean; false where it is absent.
    pub(super) fn boolean(&mut self, name: &str, log: &mut Log) -> bool {
        match self.take(name) {
            Some(Node { value: Value::Bool(value), .. }) => *value,
            Some(node) => {
                log.wrong_type(node, name, "a boolean");
                false
            }
            None => false,
        }
    }

    /// The items of a field that must hold a list; none where it is absent.
    pub(super) fn list(&mut self, name: &str, log: &mut Log) -> &'n [Node] {
        match self.take(name) {
            Some(Node { value: Value::List(items), .. }) => items,
            Some(node) => {
                if node.value == Value::Null {
                    log.null(node, name);
                } else {
                    log.wrong_type(node, name, "a list");
                }
                &[]
            }
            None => &[],
        }
    }

    /// A field that must hold a list of strings.
    pub(super) fn texts(&mut self, name: &str, log: &mut Log) -> Vec<Text> {
        self.list(name, log).iter().filter_map(|node| text(node, name, log)).collect()
    }

    /// A field that must hold a list of patterns.
    pub(super) fn patterns<T>(
        &mut self,
        name: &str,
        parse: &dyn Fn(&str) -> Result<T, PatternError>,
        log: &mut Log,
    ) -> Vec<Written<T>> {
        let texts = self.texts(name, log).into_iter();
        let written = texts.map(|Spotted { value, at }| Written { pattern: parse(&value), text: value, at });
        written.collect()
    }

    /// A field that must hold labels.
    pub(super) fn labels(&mut self, name: &str, log: &mut Log) -> Labels {
        let Some(node) = self.take(name) else { return Labels::default() };
        let Value::Map(entries) = &node.value else {
            if node.value == Value::Null {
                log.null(node, name);
            } else {
                log.wrong_type(node, name, "a mapping");
            }
            return Labels::default();
        };
        let label = |entry: &'n Entry| text(&entry.node, &entry.key, log).map(|text| (entry.key.clone(), text.value));
        entries.iter().filter_map(label).collect()
    }

    /// Tells every field that nobody took.
    pub(super) fn finish(self, log: &mut Log) {
        for entry in self.left {
            let message = format!("`{}` is not a field that is known here; it will be dropped", entry.key);
            log.push(Problem::new(Code::UnknownField, entry.key_at, message));
        }
    }
}

/// The string of a node.
pub(super) fn text(node: &Node, name: &str, log: &mut Log) -> Option<Text> {
    match &node.value {
        Value::Text(value) => Some(Spotted { value: value.clone(), at: node.at }),
        Value::Null => {
            log.null(node, name);
            None
        }
        _ => {
            log.wrong_type(node, name, "a string");
            None
        }
    }
}

/// One of the values that a type lists. Protobuf's JSON takes the number of a value as well.
pub(super) fn one_of<T: Copy>(node: &Node, name: &str, values: &[(&str, T)], log: &mut Log) -> Option<T> {
    let found = match &node.value {
        Value::Text(text) => values.iter().find(|(value, _)| *value == &**text).map(|(_, value)| *value),
        Value::Null => {
            log.null(node, name);
            return None;
        }
        _ => {
            log.wrong_type(node, name, "a string");
            return None;
        }
    };
    if found.is_none() {
        let known: Vec<String> = values.iter().map(|(value, _)| format!("`{value}`")).collect();
        let given = node.as_text().unwrap_or_default();
        let message = format!("`{given}` is no `{name}`; it may be {}", known.join(", "));
        let refusal = format!("Unsupported value: \"{given}\"");
        log.push(Problem::new(Code::UnknownValue, node.at, message).with_refusal(refusal));
    }
    found
}
