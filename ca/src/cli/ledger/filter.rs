//! Which records are asked for. Pure but for the clock, which tells what `1h` ago is.

use std::time::Duration;

use clap::{Arg, ArgMatches};
use signet_identity::Timestamp;
use signet_runtime::Clock;
use signet_runtime::config::{FromSetting, Value};

use super::LookError;
use crate::ledger::{Head, Issued, parse_instant};

const ID: &str = "id";
const SERIAL: &str = "serial";
const POD: &str = "pod";
const NODE: &str = "node";
const SINCE: &str = "since";
const UNTIL: &str = "until";

/// What a record must be to be shown; what is not asked for fits.
#[derive(Debug)]
pub(super) struct Filter {
    /// Only records of certificates, none of the writer's notes.
    only_certificates: bool,
    id: Option<String>,
    serial: Option<String>,
    pod: Option<String>,
    node: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// The flags of `show`.
pub(super) fn times() -> [Arg; 2] {
    let time = |name, help| Arg::new(name).long(name).value_name("TIME").help(help);
    [
        time(SINCE, "Written at or after this: RFC 3339, or how long ago, such as 1h"),
        time(UNTIL, "Written at or before this, likewise"),
    ]
}

/// The flags of `find`.
pub(super) fn fields() -> Vec<Arg> {
    let text = |name, value, help| Arg::new(name).long(name).value_name(value).help(help);
    let fields = [
        text(ID, "ID", "The SPIFFE id that was granted"),
        text(SERIAL, "HEX", "The certificate's serial number, with or without colons"),
        text(POD, "POD", "The caller's pod: its name, namespace/name, or UID"),
        text(NODE, "NODE", "The node that the pod ran on"),
    ];
    fields.into_iter().chain(times()).collect()
}

impl Filter {
    pub(super) fn read(matches: &ArgMatches, only_certificates: bool) -> Result<Self, LookError> {
        let text = |name| matches.try_get_one::<String>(name).ok().flatten().cloned();
        let now = Timestamp::from(Clock::system().now());
        let time = |name| text(name).map(|text| instant(&text, now)).transpose();
        let serial = text(SERIAL).map(|serial| serial_number(&serial)).transpose();
        Ok(Self {
            only_certificates,
            id: text(ID),
            serial: serial.map_err(LookError::Question)?,
            pod: text(POD),
            node: text(NODE),
            since: time(SINCE).map_err(LookError::Question)?,
            until: time(UNTIL).map_err(LookError::Question)?,
        })
    }

    pub(super) fn fits_head(&self, head: &Head<'_>) -> bool {
        (head.is_issued() || !self.only_certificates)
            && self.since.is_none_or(|since| since <= head.time)
            && self.until.is_none_or(|until| head.time <= until)
    }

    pub(super) fn fits(&self, record: &Issued<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| found.is_some_and(|found| found == wanted))
        };
        is(&self.id, Some(&record.id))
            && is(&self.serial, Some(record.serial.trim_start_matches('0')))
            && is(&self.node, record.node.as_deref())
            && self.pod.as_deref().is_none_or(|wanted| is_pod(wanted, record))
    }
}

fn is_pod(wanted: &str, record: &Issued<'_>) -> bool {
    let name = match wanted.split_once('/') {
        Some((namespace, name)) if record.namespace.as_deref() == Some(namespace) => name,
        Some(_) => return false,
        None => wanted,
    };
    record.pod.as_deref() == Some(name) || record.pod_uid.as_deref() == Some(wanted)
}

/// As records hold it, without zeros in front.
fn serial_number(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|char| *char != ':').map(|char| char.to_ascii_lowercase()).collect();
    if digits.is_empty() || !digits.chars().all(|char| char.is_ascii_hexdigit()) {
        return Err(format!("`{text}` is not a serial number in hexadecimal"));
    }
    Ok(digits.trim_start_matches('0').to_owned())
}

fn instant(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let ago = || Duration::from_setting(&Value::Text(text.to_owned())).map(|span| now.minus(span));
    parse_instant(text)
        .or_else(ago)
        .ok_or_else(|| format!("`{text}` is neither an instant such as 2026-01-31T08:00:00Z nor a duration such as 1h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_read_as_programs_print_it() {
        for text in ["5f3a01", "5F:3A:01", "005f3a01", "00:5F:3A:01"] {
            assert_eq!(serial_number(text).unwrap(), "5f3a01", "{text}");
        }
        for text in ["", ":", "0x5f", "serial"] {
            assert!(serial_number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_an_instant_or_how_long_ago() {
        let now = Timestamp::from_unix_secs(10_000);
        assert_eq!(instant("1h", now), Ok(Timestamp::from_unix_secs(6_400)));
        assert_eq!(instant("1970-01-01T01:00:00+01:00", now), Ok(Timestamp::from_unix_secs(0)));
        assert!(instant("yesterday", now).is_err());
    }
}
