//! What was tried, what happened, what was expected: a table that grows as the demo goes, and its JSON summary.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::output;

const WIDTH_TIME: usize = 7;
const WIDTH_TRIED: usize = 36;
const WIDTH_HAPPENED: usize = 44;
const WIDTH_EXPECTED: usize = 30;

/// The figures of one run. Their names are a contract with whoever reads the JSON.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) rotations: usize,
    pub(crate) rotations_by_identity: std::collections::BTreeMap<String, usize>,
    pub(crate) ca_kills: u32,
    pub(crate) agent_kills: u32,
    pub(crate) intruder_refused: bool,
    pub(crate) plaintext_refused: bool,
    pub(crate) expired_token_refused: bool,
    pub(crate) envoy_version: String,
    /// As the two Envoys saw each other.
    pub(crate) peer_identities: Vec<String>,
    pub(crate) seconds: f64,
    pub(crate) ok: bool,
}

/// The growing table.
pub(crate) struct Report {
    started: Instant,
    failures: usize,
    pub(crate) figures: Figures,
}

impl Report {
    /// Prints the head of the table.
    pub(crate) fn begin(envoy_version: &str) -> Self {
        output::talk(&format!("signet demo with Envoy {envoy_version}: about 45 seconds"));
        let report = Self {
            started: Instant::now(),
            failures: 0,
            figures: Figures { envoy_version: envoy_version.to_owned(), ..Figures::default() },
        };
        report.line(["TIME", "TRIED", "HAPPENED", "EXPECTED"], "");
        report
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, tried: &str, happened: &str, expected: &str, ok: bool) {
        if !ok {
            self.failures += 1;
        }
        let time = format!("{:.1}s", self.started.elapsed().as_secs_f64());
        self.line([&time, tried, happened, expected], if ok { "ok" } else { "NOT AS EXPECTED" });
    }

    /// Ends the table and says whether all went as expected.
    pub(crate) fn end(&mut self, took: Duration) -> bool {
        self.figures.ok = self.failures == 0;
        self.figures.seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
        output::data("");
        output::data(&match self.failures {
            0 => format!("Everything went as expected, in {:.1} s.", self.figures.seconds),
            failures => format!("{failures} row(s) NOT AS EXPECTED."),
        });
        self.figures.ok
    }

    /// The summary on one line.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.figures).unwrap_or_else(|error| error.to_string())
    }

    fn line(&self, cells: [&str; 4], verdict: &str) {
        let widths = [WIDTH_TIME, WIDTH_TRIED, WIDTH_HAPPENED, WIDTH_EXPECTED];
        let columns: Vec<Vec<String>> = cells.iter().zip(widths).map(|(cell, width)| wrap(cell, width)).collect();
        let height = columns.iter().map(Vec::len).max().unwrap_or(0);
        for row in 0..height {
            let mut text = String::new();
            for (column, width) in columns.iter().zip(widths) {
                let cell = column.get(row).map_or("", String::as_str);
                text.push_str(&format!("{cell:width$}  "));
            }
            if row == 0 {
                text.push_str(verdict);
            }
            output::data(text.trim_end());
        }
    }
}

/// Breaks text at spaces into lines of at most `width`; a longer word stands alone and is not cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_cells_break_at_spaces_and_words_stay_whole() {
        assert_eq!(wrap("kill the CA now", 8), ["kill the", "CA now"]);
        assert_eq!(wrap("spiffe://cluster.local/x a", 5), ["spiffe://cluster.local/x", "a"]);
    }

    #[test]
    fn one_row_that_differs_makes_the_whole_not_ok() {
        let mut report = Report::begin("0");
        report.row("a", "b", "b", true);
        report.row("a", "c", "b", false);
        assert!(!report.end(Duration::from_secs(1)));
        assert!(report.json().contains("\"ok\":false"));
    }
}
