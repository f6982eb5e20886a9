//! Logs: structured, on stderr, as text for people or JSON lines for machines.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line of text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{word}` is no log format, use `text` or `json`")),
        }
    }
}

/// Starts logging for the whole process; call it once. `filter` is a level (`info`) or a list of
/// `target=level` pairs.
///
/// # Errors
/// When `filter` cannot be read.
pub fn start(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("`{filter}` is no log filter: {error}"))?;
    let lines =
        tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter).with_span_events(FmtSpan::NONE);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}
