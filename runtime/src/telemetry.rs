//! Logs: structured, on stderr, as text for people or JSON lines for machines.
//!
//! Logging never makes anyone wait: lines go through a bounded memory, and a line that finds it full is lost and
//! counted.

mod level;
mod writer;

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

pub use level::{NotLogging, level, set_level};
pub use writer::lines_lost;
use writer::{LogThread, LogWriter};

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

/// What is logged: a level (`info`), or a list of `target=level` pairs, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        for part in &parts {
            // The library takes a word that is no level for a target, which would silence everything else.
            let is_level = !part.is_empty() && part.parse::<LevelFilter>().is_ok();
            if !is_level && !part.contains(['=', '[']) {
                return Err(format!(
                    "`{part}` is no log level, use `error`, `warn`, `info`, `debug`, `trace` or `off`"
                ));
            }
        }
        let text = parts.join(",");
        EnvFilter::try_new(&text).map_err(|error| format!("`{text}` is no log filter: {error}"))?;
        Ok(Self(text))
    }
}

/// The log of this process. Dropping it, or [`Logging::finish`], writes out what is left.
#[derive(Debug)]
pub struct Logging {
    thread: Option<LogThread>,
}

impl Logging {
    /// Writes out what is left, for a bounded time, and says whether all of it could be written: if not, nobody reads
    /// stderr, and writing more to it would block.
    pub fn finish(mut self) -> bool {
        self.thread.take().is_none_or(LogThread::finish)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.finish();
        }
    }
}

/// Starts logging for the whole process; call it once, and keep what it gives to the end.
///
/// # Errors
/// When the thread that writes cannot be started.
pub fn start(format: LogFormat, filter: &LogFilter) -> io::Result<Logging> {
    let (writer, thread) = LogWriter::start(io::stderr())?;
    let lines = tracing_subscriber::fmt().with_writer(writer).with_env_filter(EnvFilter::new(filter.as_str()));
    let lines = lines.with_span_events(FmtSpan::NONE);
    // A second start in one process (tests) keeps the first.
    match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
            let handle = lines.reload_handle();
            if lines.try_init().is_ok() {
                level::reached_by(handle, filter);
            }
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            if lines.try_init().is_ok() {
                level::reached_by(handle, filter);
            }
        }
    }
    thread.before_panics();
    Ok(Logging { thread: Some(thread) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: Option<&str>) {
        let refused = text.parse::<LogFilter>().err();
        assert_eq!(refused.is_some(), wanted.is_some(), "{text}: {refused:?}");
        assert!(refused.unwrap_or_default().starts_with(wanted.unwrap_or_default()), "{text}");
    }

    #[test]
    fn levels_and_pairs_are_understood_and_everything_else_is_refused() {
        check("info", None);
        check("WARN", None);
        check("off", None);
        check("warn,signet_ca=debug, h2=off", None);
        check("signet_ca[{reason}]=trace", None);
        check("", Some("`` is no log level"));
        check("inof", Some("`inof` is no log level"));
        check("info,signet_ca", Some("`signet_ca` is no log level"));
        check("signet_ca=loud", Some("`signet_ca=loud` is no log filter"));
    }
}
