//! What a scalar means: the reading of `kubectl`, whose YAML still has the booleans of version 1.1.

use super::Value;

/// The value of a scalar written without quotes.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.into()),
        _ => Value::Text(text.into()),
    }
}

/// Decimal, `0x`, `0o`, `0b`, with a fraction or an exponent, `_` between digits, `.inf` and `.nan`.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)];
    if let Some((digits, radix)) = radix.iter().find_map(|(mark, radix)| Some((unsigned.strip_prefix(mark)?, *radix))) {
        return !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix) || c == '_');
    }
    let starts = unsigned.starts_with(|c: char| c.is_ascii_digit())
        || unsigned.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    starts && unsigned.replace('_', "").parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, number: bool) {
        assert_eq!(is_number(text), number, "{text:?}");
    }

    #[test]
    fn numbers_are_told_from_names_and_addresses() {
        for text in ["0", "80", "-1", "1.5", "1e3", "0x1f", "0o17", "1_000", ".5", ".inf", "007"] {
            check(text, true);
        }
        for text in ["", "-", "1.2.3.4", "v1", "1/2", "0x", "inf", "NaN", "e3", "10.0.0.0/8", "80-90", "_1"] {
            check(text, false);
        }
    }
}
