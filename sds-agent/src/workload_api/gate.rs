//! The security header of SPIFFE Workload Endpoint, section 4: a program that is tricked into calling the socket does
//! not know it.

use tonic::{Request, Status};

/// The header, and the only value it may have.
const HEADER: (&str, &str) = ("workload.spiffe.io", "true");

/// Refuses calls without the header, as the standard says.
pub(super) fn check(call: Request<()>) -> Result<Request<()>, Status> {
    let mut values = call.metadata().get_all(HEADER.0).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value == HEADER.1 => Ok(call),
        _ => Err(Status::invalid_argument("security header missing from request")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_header(values: &[&'static str], accepted: bool) {
        let mut call = Request::new(());
        for value in values {
            call.metadata_mut().append(HEADER.0, value.parse().unwrap());
        }
        assert_eq!(check(call).map(|_| ()).map_err(|status| status.code()).is_ok(), accepted, "{values:?}");
    }

    #[test]
    fn only_one_header_with_the_one_value_lets_in() {
        check_header(&["true"], true);
        for values in [&[][..], &["True"], &["false"], &[""], &["true", "true"], &["true", "false"]] {
            check_header(values, false);
        }
    }
}
