//! What a request has where a condition looks, as text for people.

use crate::model::Test;
use crate::request::Request;

/// Longest text that is told, in characters.
const SAW_MAX: usize = 512;

pub(super) fn saw(test: &Test, request: &Request<'_>) -> Option<String> {
    let http = request.http.as_ref();
    let text = match test {
        Test::Principal(_) | Test::Namespace(_) | Test::ServiceAccount(_) | Test::TrustDomain(_) => {
            request.identity().map(str::to_owned)
        }
        Test::RequestPrincipal(_) => {
            let claims = request.claims();
            let names = claims.and_then(|claims| claims.text("iss").zip(claims.text("sub")));
            names.map(|(issuer, subject)| format!("{issuer}/{subject}"))
        }
        Test::RemoteIp(_) => Some(request.remote_ip.to_string()),
        Test::SourceIp(_) => Some(request.source_ip.to_string()),
        Test::DestinationIp(_) => Some(request.destination_ip.to_string()),
        Test::DestinationPort(_) => Some(request.destination_port.to_string()),
        Test::Sni(_) => Some(request.sni.to_owned()).filter(|sni| !sni.is_empty()),
        Test::Host(_) => http.map(|http| http.host().to_owned()),
        Test::Method(_) => http.map(|http| http.method.to_owned()),
        Test::Path(_) => http.map(|http| http.path().to_owned()),
        Test::Header(name, _) => {
            let value = http.and_then(|http| http.header(&name.to_ascii_lowercase()));
            // Whoever reads an explanation need not learn a secret by it.
            value.map(|value| if is_secret(name) { "(not shown)".to_owned() } else { value.to_owned() })
        }
        Test::Claim(path, _) => request.claims().and_then(|claims| claims.get(path)).map(ToString::to_string),
        Test::Metadata { filter, key, .. } => {
            let found = request.metadata.iter().find(|(of, name, _)| *of == &**filter && *name == &**key);
            found.map(|(_, _, value)| value.to_string())
        }
    };
    text.map(|text| text.chars().take(SAW_MAX).collect())
}

fn is_secret(header: &str) -> bool {
    ["authorization", "cookie", "proxy-authorization"].iter().any(|secret| header.eq_ignore_ascii_case(secret))
}
