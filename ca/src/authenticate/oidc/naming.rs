//! How the claims of a token name its holder.
//!
//! Pure. An id is put together from segments that are each checked alone, below a trust domain that no claim can touch,
//! and always under a first segment that the operator wrote. So no claim, whatever it holds, leads to an id of another
//! kind than the operator meant.

use std::fmt;
use std::str::FromStr;

use signet_identity::{SpiffeId, SpiffeIdError, TrustDomain, WorkloadError, WorkloadName};

use super::claims::OidcClaims;
use crate::authenticate::claims::service_account_of;

/// Most segments of a path.
const SEGMENTS_MAX: usize = 16;

/// Where names of Kubernetes workloads begin.
const WORKLOADS: &str = "ns";
const ACCOUNTS: &str = "sa";

/// Where our own names begin.
const OURS: &str = "signet";

/// Why claims name nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    /// A claim that stands in the path is not there, or is no text.
    #[error("token has no claim `{claim}` that is text")]
    Missing {
        /// The claim.
        claim: String,
    },
    /// A claim's text is no path segment, or the id gets too long.
    #[error("claims do not make a SPIFFE id: {0}")]
    Id(#[from] SpiffeIdError),
    /// The path is a workload's and the names are not.
    #[error("claims do not name a workload: {0}")]
    Workload(#[from] WorkloadError),
    /// The subject is not `system:serviceaccount:<namespace>:<name>`.
    #[error("subject is not a service account")]
    Subject,
}

/// How claims name their holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// The subject is a Kubernetes service account's, which is how Istio reads it.
    ServiceAccount,
    /// By a path into which claims are put.
    Path(PathTemplate),
}

impl Naming {
    /// Whether it gives names of Kubernetes workloads.
    pub fn names_workloads(&self) -> bool {
        match self {
            Self::ServiceAccount => true,
            Self::Path(path) => path.is_workloads(),
        }
    }

    /// Whether some claims could lead to `id`.
    pub(super) fn may_give(&self, id: &SpiffeId) -> bool {
        match self {
            Self::ServiceAccount => WorkloadName::from_spiffe_id(id).is_ok(),
            Self::Path(path) => path.may_give(id),
        }
    }

    /// Whether some claims could lead to an id to which some claims lead by `other`, namespaces aside.
    pub(super) fn may_give_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(one), Self::Path(other)) => one.may_give_alike(other),
            (Self::ServiceAccount, _) => other.names_workloads(),
            (_, Self::ServiceAccount) => self.names_workloads(),
        }
    }

    /// The id in `trust_domain` that `claims` name.
    pub(super) fn id(&self, claims: &OidcClaims, trust_domain: &TrustDomain) -> Result<SpiffeId, NamingError> {
        match self {
            Self::ServiceAccount => {
                let subject = claims.text("sub").ok_or(NamingError::Subject)?;
                let (namespace, name) = service_account_of(subject).ok_or(NamingError::Subject)?;
                let workload = WorkloadName { namespace: namespace.parse()?, service_account: name.parse()? };
                Ok(workload.spiffe_id(trust_domain))
            }
            Self::Path(path) => path.id(claims, trust_domain),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Claim(String),
}

/// A path such as `/ci/{repository_owner}/{repository_id}`: each segment is literal, or one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    segments: Vec<Segment>,
}

impl PathTemplate {
    fn is_workloads(&self) -> bool {
        self.segments.first() == Some(&Segment::Literal(WORKLOADS.to_owned()))
    }

    fn may_give(&self, id: &SpiffeId) -> bool {
        let found: Vec<_> = id.path().split('/').skip(1).collect();
        let fits = |(segment, found): (&Segment, &&str)| match segment {
            Segment::Literal(text) => text == found,
            Segment::Claim(_) => true,
        };
        found.len() == self.segments.len() && self.segments.iter().zip(&found).all(fits)
    }

    fn may_give_alike(&self, other: &Self) -> bool {
        let fits = |(one, other): (&Segment, &Segment)| match (one, other) {
            (Segment::Literal(one), Segment::Literal(other)) => one == other,
            _ => true,
        };
        self.segments.len() == other.segments.len() && self.segments.iter().zip(&other.segments).all(fits)
    }

    fn id(&self, claims: &OidcClaims, trust_domain: &TrustDomain) -> Result<SpiffeId, NamingError> {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => Ok(text.as_str()),
            Segment::Claim(claim) => claims.text(claim).ok_or_else(|| NamingError::Missing { claim: claim.clone() }),
        });
        let id = SpiffeId::from_segments(trust_domain, &segments.collect::<Result<Vec<_>, _>>()?)?;
        if self.is_workloads() {
            WorkloadName::from_spiffe_id(&id)?;
        }
        Ok(id)
    }
}

impl FromStr for PathTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.strip_prefix('/').ok_or_else(|| format!("path `{text}` does not begin with a slash"))?;
        let segments = path.split('/').map(segment).collect::<Result<Vec<_>, _>>()?;
        if segments.len() > SEGMENTS_MAX {
            return Err(format!("path has {} segments, at most {SEGMENTS_MAX} are accepted", segments.len()));
        }
        match segments.as_slice() {
            [Segment::Literal(first), ..] if first == OURS => Err(format!("names below `/{OURS}` are our own")),
            [Segment::Literal(first), rest @ ..] if first == WORKLOADS => match rest {
                [_, Segment::Literal(third), _] if third == ACCOUNTS => Ok(Self { segments }),
                _ => Err(format!("a path of workloads must be `/{WORKLOADS}/…/{ACCOUNTS}/…`")),
            },
            [Segment::Literal(_), Segment::Literal(_) | Segment::Claim(_), ..] => Ok(Self { segments }),
            [Segment::Literal(_)] => Err(format!("path `{text}` is the same for every token")),
            _ => Err(format!("path `{text}` does not begin with a literal segment, which keeps its names apart")),
        }
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(claim) if !claim.is_empty() && !claim.contains(['{', '}']) => Ok(Segment::Claim(claim.to_owned())),
        Some(claim) => Err(format!("`{claim}` is no claim's name")),
        None => match text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-_".contains(&octet)) {
            true if !matches!(text, "" | "." | "..") => Ok(Segment::Literal(text.to_owned())),
            _ => Err(format!("`{text}` is neither a path segment of a SPIFFE id nor one claim in braces")),
        },
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(f, "/{text}"),
            Segment::Claim(claim) => write!(f, "/{{{claim}}}"),
        })
    }
}

#[cfg(test)]
mod tests;
