//! A place shown as the line it stands on. Texts come from anybody, so nothing in them may steer a terminal.

use std::fmt::Write as _;

use super::{Place, Sources};

/// Characters of a line that are shown; the rest of a long line is left out.
const SHOWN_MAX: usize = 120;

/// `text` with everything that a terminal would obey replaced: control characters, and those that turn the direction.
pub fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

impl Sources {
    /// The line of `at` with its number, and a mark below what is meant.
    pub fn snippet(&self, at: Place) -> String {
        let mut out = format!("  --> {}\n", self.locate(at));
        let index = usize::try_from(at.line).unwrap_or(usize::MAX);
        let Some(line) = index.checked_sub(1).and_then(|index| self.text(at.source).lines().nth(index)) else {
            return out;
        };
        let column = usize::try_from(at.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let from = column.saturating_sub(SHOWN_MAX / 2);
        let shown: String = line.chars().skip(from).take(SHOWN_MAX).collect();
        let shown = printable(&shown.replace('\t', " "));
        let number = at.line.to_string();
        let margin = " ".repeat(number.len());
        let left = column - from;
        let length = usize::try_from(at.length).unwrap_or(1);
        let marks = length.clamp(1, shown.chars().count().saturating_sub(left).max(1));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{margin} |\n{number} | {shown}\n{margin} | {}{}", " ".repeat(left), "^".repeat(marks));
        out
    }
}
