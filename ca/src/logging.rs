//! What can be asked about this process's log over the control socket.

use serde::Deserialize;
use serde_json::{Value, json};
use signet_runtime::telemetry::{self, LogFilter};

use crate::control::{Answer, Subject};

/// The word that questions about the log begin with.
pub(crate) const SUBJECT: &str = "log";

/// Asks for the level, or with `{"level": …}` changes it.
pub(crate) const LEVEL: &str = "level";

/// The log's ear.
pub(crate) struct LogVerbs;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    level: String,
}

#[tonic::async_trait]
impl Subject for LogVerbs {
    async fn answer(&self, verb: &str, arguments: Value) -> Answer {
        if verb != LEVEL {
            return Answer::Failed(format!("`{verb}` is not known, use `{LEVEL}`"));
        }
        let Some(now) = telemetry::level() else { return Answer::Failed(telemetry::NotLogging.to_string()) };
        if arguments.is_null() {
            return told(&now, &now);
        }
        let wanted = match serde_json::from_value::<Wanted>(arguments) {
            Ok(wanted) => wanted.level,
            Err(error) => return Answer::Failed(format!("arguments cannot be read: {error}")),
        };
        let filter: LogFilter = match wanted.parse() {
            Ok(filter) => filter,
            Err(why) => return Answer::Refused(why),
        };
        match telemetry::set_level(&filter) {
            Ok(before) => told(&filter, &before),
            Err(error) => Answer::Failed(error.to_string()),
        }
    }
}

fn told(level: &LogFilter, before: &LogFilter) -> Answer {
    Answer::Done(json!({ "level": level.to_string(), "before": before.to_string() }))
}
