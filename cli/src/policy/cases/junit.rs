//! The report that CI systems read.

use std::fmt::Write as _;

use super::Report;

pub(super) fn report(reports: &[Report]) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for report in reports {
        let failed = report.cases.iter().filter(|case| case.failure.is_some()).count();
        let (file, count) = (escape(&report.file), report.cases.len());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  <testsuite name=\"{file}\" tests=\"{count}\" failures=\"{failed}\">");
        for case in &report.cases {
            let name = escape(&case.name);
            let _ = match &case.failure {
                None => writeln!(text, "    <testcase classname=\"{file}\" name=\"{name}\"/>"),
                Some(failure) => writeln!(
                    text,
                    "    <testcase classname=\"{file}\" name=\"{name}\"><failure message=\"{}\"/></testcase>",
                    escape(failure)
                ),
            };
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// XML knows no control characters, not even escaped.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_in_a_name_breaks_the_report() {
        assert_eq!(escape("<a> & \"b\"\u{1}"), "&lt;a&gt; &amp; &quot;b&quot;\u{fffd}");
    }
}
