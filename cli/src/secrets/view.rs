//! What is shown of a secret, in each form of output.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use signet_identity::{Certificate, Timestamp};

use super::client::Secret;
use crate::output::{self, Format};

/// Largest secret that is shown, in bytes of PEM.
const SHOWN_MAX_BYTES: usize = 1024 * 1024;

/// A secret without its key.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SecretView {
    name: String,
    kind: &'static str,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    certificates: Vec<CertificateView>,
}

#[derive(Debug, Clone, Serialize)]
struct CertificateView {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    serial: String,
    key: String,
    not_before: String,
    not_after: String,
    seconds_left: i64,
    sha256_of_key: String,
}

impl SecretView {
    /// Reads what was served; what cannot be read is said, not hidden.
    pub(crate) fn new(secret: &Secret, now: Timestamp) -> Self {
        let parsed = Certificate::list_from_pem(&secret.certificates, SHOWN_MAX_BYTES);
        let (certificates, problem) = match parsed {
            Ok(list) => (list, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let role = |position: usize| match (secret.is_identity, position) {
            (true, 0) => "leaf",
            (true, _) => "intermediate",
            (false, _) => "root",
        };
        Self {
            name: secret.name.clone(),
            kind: if secret.is_identity { "certificate" } else { "roots" },
            version: secret.version.clone(),
            problem,
            certificates: certificates.iter().enumerate().map(|(i, c)| CertificateView::new(role(i), c, now)).collect(),
        }
    }

    /// The serial of the first certificate: the leaf of an identity.
    pub(crate) fn first_serial(&self) -> Option<&str> {
        self.certificates.first().map(|certificate| certificate.serial.as_str())
    }
}

impl CertificateView {
    fn new(role: &'static str, certificate: &Certificate, now: Timestamp) -> Self {
        let life = certificate.lifetime();
        Self {
            role,
            id: certificate.uris().first().cloned(),
            serial: certificate.serial().to_string(),
            key: certificate.public_key().algorithm().to_string(),
            not_before: life.not_before().to_string(),
            not_after: life.not_after().to_string(),
            seconds_left: life.not_after().unix_secs() - now.unix_secs(),
            sha256_of_key: certificate.public_key().fingerprint(),
        }
    }
}

/// All secrets in one form.
pub(crate) fn render(secrets: &[SecretView], format: Format) -> String {
    match format {
        Format::Json => output::pretty(secrets),
        Format::Yaml => serde_saphyr::to_string(&secrets).unwrap_or_else(|error| error.to_string()),
        Format::Table => table(secrets),
    }
}

fn table(secrets: &[SecretView]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header([
        "NAME",
        "ROLE",
        "SPIFFE ID",
        "SERIAL",
        "KEY",
        "VALID UNTIL",
        "LEFT",
    ]);
    for secret in secrets {
        if let Some(problem) = &secret.problem {
            table.add_row([secret.name.as_str(), "unreadable", problem.as_str()]);
        }
        for certificate in &secret.certificates {
            table.add_row([
                &secret.name,
                certificate.role,
                certificate.id.as_deref().unwrap_or("-"),
                &certificate.serial,
                &certificate.key,
                &certificate.not_after,
                &left(certificate.seconds_left),
            ]);
        }
    }
    table.trim_fmt()
}

fn left(seconds: i64) -> String {
    match seconds {
        ..=-1 => "expired".to_owned(),
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_told_in_the_unit_a_person_would_use() {
        assert_eq!([-5, 0, 119, 120, 7_200, 86_400].map(left), ["expired", "0s", "119s", "2m", "2h", "24h"]);
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_shown_as_such() {
        let secret =
            Secret { name: "default".into(), version: "1".into(), certificates: b"junk".to_vec(), is_identity: true };
        let shown = render(&[SecretView::new(&secret, Timestamp::from_unix_secs(0))], Format::Table);
        assert!(shown.contains("unreadable"), "{shown}");
    }
}
