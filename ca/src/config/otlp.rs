//! The section `otlp`: where traces are sent.

use std::path::PathBuf;

use http::Uri;
use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_runtime::Reader;

use super::sections::{check_url, readable};

/// Where traces are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// The collector's URL for traces.
    pub endpoint: Uri,
    /// PEM roots for `https`; read afresh for each request.
    pub ca_file: Option<PathBuf>,
    /// How many of a hundred requests are traced whose caller does not say.
    pub sampled_percent: u8,
}

/// Reads the section; the inner `None` says that no traces are wanted.
pub(super) fn otlp(reader: &mut Reader) -> Option<Option<OtlpConfig>> {
    let endpoint: Option<Uri> = reader.parsed("otlp.endpoint");
    let ca_file: Option<PathBuf> = reader.optional("otlp.ca_file");
    let percent: Option<u64> = reader.or("otlp.sampled_percent", "100");
    if let Some(path) = &ca_file {
        readable(reader, "otlp.ca_file", path, BUNDLE_PEM_MAX_BYTES);
    }
    let sampled_percent = percent.and_then(|percent| u8::try_from(percent).ok()).filter(|percent| *percent <= 100);
    if percent.is_some() && sampled_percent.is_none() {
        reader.refuse("otlp.sampled_percent", "must be from 0 to 100");
    }
    let Some(endpoint) = endpoint else { return Some(None) };
    if !cfg!(feature = "otlp") {
        reader.refuse("otlp.endpoint", "this program was built without the feature `otlp`");
    }
    if let Err(message) = check_url(&endpoint, ca_file.is_some(), "otlp.ca_file") {
        reader.refuse("otlp.endpoint", message);
    }
    Some(Some(OtlpConfig { endpoint, ca_file, sampled_percent: sampled_percent? }))
}
