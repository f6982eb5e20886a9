//! Values of settings in the words of protobuf JSON and of Envoy's enumerations.

use std::fmt::Write as _;

/// Longest duration that protobuf knows, in seconds.
const SECONDS_MAX: u64 = 315_576_000_000;

/// A duration as protobuf JSON writes it: seconds with no digits behind the point, or three, six or nine.
pub(super) fn duration(text: &str) -> Option<String> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds: u64 = whole.parse().ok().filter(|seconds| *seconds <= SECONDS_MAX)?;
    let fraction = fraction.trim_end_matches('0');
    let mut text = seconds.to_string();
    if !fraction.is_empty() {
        let width = fraction.len().next_multiple_of(3);
        write!(text, ".{fraction:0<width$}").ok()?;
    }
    text.push('s');
    Some(text)
}

/// The name of a status in `envoy.type.v3.StatusCode`.
pub(super) fn status_name(code: u16) -> Option<&'static str> {
    const NAMES: [(u16, &str); 56] = [
        (100, "Continue"),
        (200, "OK"),
        (201, "Created"),
        (202, "Accepted"),
        (203, "NonAuthoritativeInformation"),
        (204, "NoContent"),
        (205, "ResetContent"),
        (206, "PartialContent"),
        (207, "MultiStatus"),
        (208, "AlreadyReported"),
        (226, "IMUsed"),
        (300, "MultipleChoices"),
        (301, "MovedPermanently"),
        (302, "Found"),
        (303, "SeeOther"),
        (304, "NotModified"),
        (305, "UseProxy"),
        (307, "TemporaryRedirect"),
        (308, "PermanentRedirect"),
        (400, "BadRequest"),
        (401, "Unauthorized"),
        (402, "PaymentRequired"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (405, "MethodNotAllowed"),
        (406, "NotAcceptable"),
        (407, "ProxyAuthenticationRequired"),
        (408, "RequestTimeout"),
        (409, "Conflict"),
        (410, "Gone"),
        (411, "LengthRequired"),
        (412, "PreconditionFailed"),
        (413, "PayloadTooLarge"),
        (414, "URITooLong"),
        (415, "UnsupportedMediaType"),
        (416, "RangeNotSatisfiable"),
        (417, "ExpectationFailed"),
        (421, "MisdirectedRequest"),
        (422, "UnprocessableEntity"),
        (423, "Locked"),
        (424, "FailedDependency"),
        (426, "UpgradeRequired"),
        (428, "PreconditionRequired"),
        (429, "TooManyRequests"),
        (431, "RequestHeaderFieldsTooLarge"),
        (500, "InternalServerError"),
        (501, "NotImplemented"),
        (502, "BadGateway"),
        (503, "ServiceUnavailable"),
        (504, "GatewayTimeout"),
        (505, "HTTPVersionNotSupported"),
        (506, "VariantAlsoNegotiates"),
        (507, "InsufficientStorage"),
        (508, "LoopDetected"),
        (510, "NotExtended"),
        (511, "NetworkAuthenticationRequired"),
    ];
    NAMES.iter().find(|(number, _)| *number == code).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_written_as_protobuf_does() {
        for (given, want) in [
            ("10s", Some("10s")),
            ("0.002s", Some("0.002s")),
            ("0.25s", Some("0.250s")),
            ("1.0000001s", Some("1.000000100s")),
            ("1m", None),
            ("s", None),
            ("-1s", None),
        ] {
            assert_eq!(duration(given).as_deref(), want, "{given}");
        }
    }
}
