//! Turning raw settings into types, gathering every problem on the way.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::layers::{Layers, table_key};
use super::setting::{FromSetting, Origin, Value};

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key; empty when a whole file is meant.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    pub(super) fn new(key: &str, origin: Origin, message: String) -> Self {
        Self { key: key.to_owned(), origin, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.origin, self.message),
            key => write!(f, "`{key}` ({}): {}", self.origin, self.message),
        }
    }
}

/// Everything wrong with the configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order in which they were met.
    pub problems: Vec<Problem>,
    /// Whether the file of settings could not be read at all, so that the rest may be wrong only for lack of it.
    pub unread: bool,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration has {} problem(s)", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The dotted key.
    pub key: String,
    /// Its value as text; empty when it is not set and has no default.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// The settings in force, in the order in which they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective {
    settings: Vec<EffectiveSetting>,
    /// What is allowed and still should not be overlooked.
    pub remarks: Vec<Problem>,
}

impl Deref for Effective {
    type Target = [EffectiveSetting];

    fn deref(&self) -> &[EffectiveSetting] {
        &self.settings
    }
}

/// Reads settings by key and remembers what it was asked for.
#[derive(Debug)]
pub struct Reader {
    settings: BTreeMap<String, (Value, Origin)>,
    tables: BTreeMap<String, Vec<Origin>>,
    /// Where tables stand that were asked for.
    places: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
    unread: bool,
    effective: Effective,
}

impl Reader {
    /// A reader over `layers`.
    pub fn new(layers: Layers) -> Self {
        let Layers { settings, tables, problems, remarks, unread } = layers;
        let effective = Effective { settings: Vec::new(), remarks };
        Self { settings, tables, places: BTreeMap::new(), problems, unread, effective }
    }

    /// The tables written as `[[name]]`, in order: what the keys of each begin with, to be followed by a dot. Only a
    /// file can hold them.
    pub fn tables(&mut self, name: &str) -> Vec<String> {
        // An empty list of tables looks like an empty list of anything.
        if matches!(self.settings.get(name), Some((Value::List(values), _)) if values.is_empty()) {
            self.settings.remove(name);
        }
        if let Some((value, origin)) = self.settings.remove(name) {
            self.problem(name, origin, format!("`{value}` is not a list of tables, written as [[{name}]]"));
        }
        let places = self.tables.remove(name).unwrap_or_default();
        let keys: Vec<_> = (0..places.len()).map(|number| table_key(name, number)).collect();
        self.places.extend(keys.iter().cloned().zip(places));
        keys
    }

    /// The setting at `key`, if it was set.
    pub fn optional<T: FromSetting>(&mut self, key: &str) -> Option<T> {
        let (value, origin) = self.take(key)?;
        let read = T::from_setting(&value);
        if read.is_none() {
            self.problem(key, origin, format!("`{value}` is not {}", T::WANTED));
        }
        read
    }

    /// The setting at `key`, or `default` written as text. `None` only after a problem.
    pub fn or<T: FromSetting>(&mut self, key: &str, default: &str) -> Option<T> {
        self.default(key, default);
        self.optional(key)
    }

    /// The setting at `key`, which must be set. `None` only after a problem.
    pub fn required<T: FromSetting>(&mut self, key: &str) -> Option<T> {
        if !self.settings.contains_key(key) {
            let wanted = T::WANTED;
            self.problem(key, Origin::Default, format!("must be set to {wanted}"));
        }
        self.optional(key)
    }

    /// The setting at `key` parsed into a type of the domain, if it was set.
    pub fn parsed<T>(&mut self, key: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let origin = self.origin(key);
        let text: String = self.optional(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(key, origin, error.to_string());
                None
            }
        }
    }

    /// As [`Reader::parsed`] with a default written as text. `None` only after a problem.
    pub fn parsed_or<T>(&mut self, key: &str, default: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.default(key, default);
        self.parsed(key)
    }

    /// Whether `key` was set by anybody and not yet read.
    pub fn is_set(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }

    /// Notes a problem with `key`, a setting's or a table's, that only the caller can see, such as two settings that do
    /// not go together.
    pub fn refuse(&mut self, key: &str, message: impl Into<String>) {
        let setting = self.effective.iter().rev().find(|s| s.key == key).map(|s| &s.origin);
        let origin = setting.or_else(|| self.places.get(key)).cloned().unwrap_or(Origin::Default);
        self.problem(key, origin, message.into());
    }

    /// Ends the reading: the value and the settings in force, or everything that is wrong. Keys that were set and
    /// never asked for are wrong.
    ///
    /// # Errors
    /// All problems.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<(T, Effective), ConfigError> {
        let tables = std::mem::take(&mut self.tables).into_iter();
        let mut unread: Vec<_> = tables.filter_map(|(name, places)| Some((name, places.into_iter().next()?))).collect();
        let mut settings = std::mem::take(&mut self.settings);
        // The keys of tables that nobody wants need not be told one by one.
        settings.retain(|key, _| !unread.iter().any(|(name, _)| is_inside(key, name)));
        unread.extend(settings.into_iter().map(|(key, (_, origin))| (key, origin)));
        for (key, origin) in unread {
            let hint = self.nearest(&key).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            self.problem(&key, origin, format!("unknown key{hint}"));
        }
        match value {
            Some(value) if self.problems.is_empty() => Ok((value, self.effective)),
            _ => Err(ConfigError { problems: self.problems, unread: self.unread }),
        }
    }

    fn default(&mut self, key: &str, default: &str) {
        self.settings.entry(key.to_owned()).or_insert_with(|| (Value::Text(default.to_owned()), Origin::Default));
    }

    fn take(&mut self, key: &str) -> Option<(Value, Origin)> {
        let found = self.settings.remove(key);
        let (value, origin) = match &found {
            Some((value, origin)) => (value.to_string(), origin.clone()),
            None => (String::new(), Origin::Default),
        };
        self.effective.settings.push(EffectiveSetting { key: key.to_owned(), value, origin });
        found
    }

    fn origin(&self, key: &str) -> Origin {
        self.settings.get(key).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    fn problem(&mut self, key: &str, origin: Origin, message: String) {
        self.problems.push(Problem::new(key, origin, message));
    }

    fn nearest(&self, key: &str) -> Option<String> {
        let scored = self.effective.iter().map(|known| (strsim::normalized_levenshtein(key, &known.key), &known.key));
        scored.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.6).map(|(_, known)| known.clone())
    }
}

fn is_inside(key: &str, tables: &str) -> bool {
    key.strip_prefix(tables).is_some_and(|rest| rest.starts_with('['))
}
