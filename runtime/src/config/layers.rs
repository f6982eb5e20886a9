//! Gathering raw settings, layer on layer.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::reader::Problem;
use super::setting::{Origin, Value};
use crate::files;

/// Largest configuration file, in bytes.
const CONFIG_MAX_BYTES: usize = 256 * 1024;

/// Most tables of one name, as in `[[name]]`.
const TABLES_MAX: usize = 256;

/// Raw settings by dotted key. A later layer replaces what an earlier one said.
#[derive(Debug, Default)]
pub struct Layers {
    pub(super) settings: BTreeMap<String, (Value, Origin)>,
    /// Where each of the tables of one name stands.
    pub(super) tables: BTreeMap<String, Vec<Origin>>,
    pub(super) problems: Vec<Problem>,
    /// What is no problem and still should not be overlooked.
    pub(super) remarks: Vec<Problem>,
    /// Whether a file could not be read, so that nobody knows what it says.
    pub(super) unread: bool,
}

impl Layers {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file. A file that cannot be read or parsed becomes a problem, told with all others.
    pub fn file(&mut self, path: &Path) {
        let at = |line| Origin::File { path: path.to_owned(), line };
        let text = match files::read(path, CONFIG_MAX_BYTES) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                self.unread = true;
                return self.problems.push(Problem::new("", at(1), error.to_string()));
            }
        };
        let line_of = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        match DeTable::parse(&text) {
            Ok(table) => self.table("", table.get_ref(), &|offset| at(line_of(offset))),
            Err(error) => {
                let origin = at(error.span().map_or(1, |span| line_of(span.start)));
                self.problems.push(Problem::new("", origin, format!("not valid TOML: {}", error.message())));
            }
        }
    }

    /// Adds what an environment variable says about `key`, if it is set and not empty.
    pub fn environment(&mut self, name: &str, key: &str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.set(key, Value::Text(value), Origin::Environment(name.to_owned()));
        }
    }

    /// Adds what a flag says about `key`, if it was given.
    pub fn flag(&mut self, name: &str, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.set(key, Value::Text(value), Origin::Flag(name.to_owned()));
        }
    }

    /// Adds what holds where nobody has said anything about `key`, in place of the default that is written beside it.
    pub fn otherwise(&mut self, key: &str, value: &str) {
        let default = || (Value::Text(value.to_owned()), Origin::Default);
        self.settings.entry(key.to_owned()).or_insert_with(default);
    }

    pub(super) fn set(&mut self, key: &str, value: Value, origin: Origin) {
        self.settings.insert(key.to_owned(), (value, origin));
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) {
        for (name, value) in table {
            let name = name.get_ref();
            let key = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            match value.get_ref() {
                DeValue::Table(inner) => self.table(&key, inner, origin),
                DeValue::Array(values) if is_tables(values) => self.tables(&key, values, origin),
                other => self.set(&key, scalar(other), origin(value.span().start)),
            }
        }
    }

    fn tables(&mut self, key: &str, values: &DeArray<'_>, origin: &dyn Fn(usize) -> Origin) {
        let mut places: Vec<_> = values.iter().map(|value| origin(value.span().start)).collect();
        if let Some(surplus) = places.get(TABLES_MAX) {
            let message = format!("has {} tables, at most {TABLES_MAX} are accepted", values.len());
            self.problems.push(Problem::new(key, surplus.clone(), message));
        }
        places.truncate(TABLES_MAX);
        for (number, value) in values.iter().take(TABLES_MAX).enumerate() {
            if let DeValue::Table(inner) = value.get_ref() {
                self.table(&table_key(key, number), inner, origin);
            }
        }
        self.tables.insert(key.to_owned(), places);
    }
}

/// What the keys of one table among several begin with.
pub(super) fn table_key(name: &str, number: usize) -> String {
    format!("{name}[{number}]")
}

fn is_tables(values: &DeArray<'_>) -> bool {
    !values.is_empty() && values.iter().all(|value| matches!(value.get_ref(), DeValue::Table(_)))
}

fn scalar(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Other("large integer"), Value::Integer)
        }
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Other("float"), Value::Float),
        DeValue::Array(values) => Value::List(values.iter().map(Spanned::get_ref).map(scalar).collect()),
        DeValue::Datetime(_) => Value::Other("date"),
        DeValue::Table(_) => Value::Other("table"),
    }
}
