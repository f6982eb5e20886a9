//! One setting: a value as it was written, where it was written, and how it becomes a type.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Most entries of a list setting.
const LIST_MAX_ENTRIES: usize = 1024;

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A command line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A raw value. Text is what environment and flags give, and may stand for any type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text of any meaning.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML float.
    Float(f64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML list of scalars.
    List(Vec<Value>),
    /// A TOML value of a kind that no setting has.
    Other(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::List(values) => {
                let words: Vec<_> = values.iter().map(ToString::to_string).collect();
                f.write_str(&words.join(","))
            }
            Self::Other(kind) => write!(f, "<{kind}>"),
        }
    }
}

/// A type that a setting can become.
pub trait FromSetting: Sized {
    /// What the reader should have written, for the error message.
    const WANTED: &'static str;

    /// Reads `value`; `None` when it is of the wrong type or out of form.
    fn from_setting(value: &Value) -> Option<Self>;
}

impl FromSetting for String {
    const WANTED: &'static str = "text";

    fn from_setting(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromSetting for bool {
    const WANTED: &'static str = "true or false";

    fn from_setting(value: &Value) -> Option<Self> {
        match value {
            Value::Boolean(truth) => Some(*truth),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl FromSetting for u64 {
    const WANTED: &'static str = "a whole number, zero or above";

    fn from_setting(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Self::try_from(*number).ok(),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl FromSetting for f64 {
    const WANTED: &'static str = "a number";

    fn from_setting(value: &Value) -> Option<Self> {
        let number = match value {
            Value::Float(number) => *number,
            Value::Integer(number) => f64::from(i32::try_from(*number).ok()?),
            Value::Text(text) => text.parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }
}

impl FromSetting for Duration {
    const WANTED: &'static str = "a duration such as 500ms, 30s, 24h or 1h30m";

    fn from_setting(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => humantime::parse_duration(text).ok(),
            _ => None,
        }
    }
}

impl FromSetting for PathBuf {
    const WANTED: &'static str = "a path";

    fn from_setting(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) if !text.is_empty() => Some(Self::from(text)),
            _ => None,
        }
    }
}

impl FromSetting for SocketAddr {
    const WANTED: &'static str = "an address with port, such as 0.0.0.0:15012 or [::]:15012";

    fn from_setting(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Self::from_str(text).ok(),
            _ => None,
        }
    }
}

/// A list of words; as text they are separated by commas.
impl FromSetting for Vec<String> {
    const WANTED: &'static str = "a list of texts";

    fn from_setting(value: &Value) -> Option<Self> {
        let words: Self = match value {
            Value::Text(text) => {
                text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
            }
            Value::List(values) => values.iter().map(String::from_setting).collect::<Option<_>>()?,
            _ => return None,
        };
        (words.len() <= LIST_MAX_ENTRIES).then_some(words)
    }
}
