//! Kubernetes names and the workload form of a SPIFFE id, `spiffe://<td>/ns/<namespace>/sa/<service account>`.

use std::fmt;
use std::str::FromStr;

use crate::{SpiffeId, TrustDomain};

/// Longest namespace name in bytes (RFC 1123 label).
const LABEL_MAX_BYTES: usize = 63;

/// Longest service account name in bytes (RFC 1123 subdomain).
const SUBDOMAIN_MAX_BYTES: usize = 253;

/// Why a text is not a Kubernetes name or a workload id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// Not an RFC 1123 label.
    #[error("namespace is not a lower-case RFC 1123 label of at most {LABEL_MAX_BYTES} bytes")]
    Namespace,
    /// Not an RFC 1123 subdomain.
    #[error("service account is not a lower-case RFC 1123 subdomain of at most {SUBDOMAIN_MAX_BYTES} bytes")]
    ServiceAccount,
    /// A SPIFFE id of another form.
    #[error("SPIFFE id is not of the form `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`")]
    Form,
}

/// A Kubernetes namespace name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Box<str>);

/// A Kubernetes service account name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAccount(Box<str>);

/// A service account in its namespace: what a Kubernetes token proves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadName {
    /// The namespace.
    pub namespace: Namespace,
    /// The service account within it.
    pub service_account: ServiceAccount,
}

impl WorkloadName {
    /// The id that this workload has in `trust_domain`.
    pub fn spiffe_id(&self, trust_domain: &TrustDomain) -> SpiffeId {
        let segments = ["ns", self.namespace.as_str(), "sa", self.service_account.as_str()];
        SpiffeId::from_segments(trust_domain, &segments)
            .expect("Kubernetes names use a subset of the segment alphabet, and the parts' bounds add up to under 2048")
    }

    /// The workload that `id` names.
    ///
    /// # Errors
    /// [`WorkloadError::Form`] for another path, or the part that is no Kubernetes name.
    pub fn from_spiffe_id(id: &SpiffeId) -> Result<Self, WorkloadError> {
        let mut parts = id.path().split('/').skip(1);
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("ns"), Some(namespace), Some("sa"), Some(account), None) => {
                Ok(Self { namespace: namespace.parse()?, service_account: account.parse()? })
            }
            _ => Err(WorkloadError::Form),
        }
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service_account)
    }
}

impl Namespace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ServiceAccount {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = WorkloadError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if is_label(name) { Ok(Self(name.into())) } else { Err(WorkloadError::Namespace) }
    }
}

impl FromStr for ServiceAccount {
    type Err = WorkloadError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.len() <= SUBDOMAIN_MAX_BYTES && name.split('.').all(is_label_of_any_length) {
            Ok(Self(name.into()))
        } else {
            Err(WorkloadError::ServiceAccount)
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(name: &str) -> bool {
    name.len() <= LABEL_MAX_BYTES && is_label_of_any_length(name)
}

fn is_label_of_any_length(name: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_round_trip(id: &str, wanted: Result<&str, WorkloadError>) {
        let id: SpiffeId = id.parse().unwrap();
        let got = WorkloadName::from_spiffe_id(&id);
        assert_eq!(got.clone().map(|name| name.to_string()), wanted.map(str::to_owned), "{id}");
        if let Ok(name) = got {
            assert_eq!(name.spiffe_id(&id.trust_domain()), id);
        }
    }

    #[test]
    fn workload_ids_parse_to_namespace_and_service_account_and_back() {
        check_round_trip("spiffe://td/ns/shop/sa/web", Ok("shop/web"));
        check_round_trip("spiffe://td/ns/shop/sa/a.b-c.d", Ok("shop/a.b-c.d"));
    }

    #[test]
    fn ids_of_another_form_are_refused() {
        check_round_trip("spiffe://td/ns/shop", Err(WorkloadError::Form));
        check_round_trip("spiffe://td/ns/shop/sa/web/x", Err(WorkloadError::Form));
        check_round_trip("spiffe://td/NS/shop/sa/web", Err(WorkloadError::Form));
        check_round_trip("spiffe://td/ns/Shop/sa/web", Err(WorkloadError::Namespace));
        check_round_trip("spiffe://td/ns/a.b/sa/web", Err(WorkloadError::Namespace));
        check_round_trip("spiffe://td/ns/shop/sa/-web", Err(WorkloadError::ServiceAccount));
        check_round_trip("spiffe://td/ns/shop/sa/a..b", Err(WorkloadError::ServiceAccount));
        check_round_trip("spiffe://td", Err(WorkloadError::Form));
    }
}
