//! Callers that no Kubernetes cluster vouches for: tokens of issuers that speak OpenID Connect.
//!
//! Each issuer has its own keys, audiences and rule about names. Nobody can ask such an issuer whether a token's holder
//! still exists, so its tokens are good until they end; what they may lead to is the operator's to bound.

mod claims;
mod naming;

pub use claims::RequiredClaim;
pub use naming::{Naming, NamingError, PathTemplate};

use signet_identity::{SpiffeId, Timestamp, TrustDomain, UnverifiedJws, WorkloadName, jws};

use super::caller::{AuthenticatorKind, Caller};
use super::claims::issuer;
use super::jwks::IssuerKeys;
use super::refusal::Refusal;
use super::token::{TokenError, check_times};
use super::verdicts::Refused;
use crate::patterns::{NamePattern, any_matches};
use claims::OidcClaims;

/// Why a token whose signature is good was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// It does not say what it must.
    #[error("token's claim `{claim}` is not what is required")]
    Required {
        /// The claim.
        claim: String,
    },
    /// It names nobody.
    #[error("token does not name a caller")]
    Naming(#[from] NamingError),
    /// It names a workload of a namespace that its issuer may not vouch for.
    #[error("issuer may not vouch for namespace `{namespace}`")]
    Namespace {
        /// The namespace.
        namespace: String,
    },
}

impl OidcError {
    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Required { .. } => "token_claim_required",
            Self::Naming(_) => "token_identity",
            Self::Namespace { .. } => "namespace_not_vouched_for",
        }
    }
}

/// The operator's rules for one issuer.
#[derive(Debug, Clone)]
pub struct OidcRules {
    /// Who must have issued its tokens.
    pub issuer: String,
    /// One of these must be among a token's audiences.
    pub audiences: Vec<String>,
    /// What a token must say beside.
    pub required: Vec<RequiredClaim>,
    /// How its claims name the caller.
    pub naming: Naming,
    /// Namespaces of workloads that it may name.
    pub namespaces: Vec<NamePattern>,
    /// Where the names live.
    pub trust_domain: TrustDomain,
}

impl OidcRules {
    /// Whether tokens of two issuers could name one caller, so that either issuer could be the other's callers.
    pub fn may_name_alike(&self, other: &Self) -> bool {
        let shares = |one: &NamePattern| other.namespaces.iter().any(|other| one.overlaps(other));
        self.trust_domain == other.trust_domain
            && self.naming.may_give_alike(&other.naming)
            && (!self.naming.names_workloads() || self.namespaces.iter().any(shares))
    }
}

/// One issuer.
#[derive(Debug)]
pub struct OidcIssuer {
    rules: OidcRules,
    keys: IssuerKeys,
    refused: Refused<Refusal>,
}

impl OidcIssuer {
    /// An issuer that keeps `rules` and signs with `keys`.
    pub fn new(rules: OidcRules, keys: IssuerKeys) -> Self {
        Self { rules, keys, refused: Refused::new() }
    }

    /// Whether it could name `id` to us today.
    pub(super) fn may_name(&self, id: &SpiffeId) -> bool {
        let workload = WorkloadName::from_spiffe_id(id).ok();
        let vouches = |workload: &WorkloadName| any_matches(&self.rules.namespaces, workload.namespace.as_str());
        id.is_member_of(&self.rules.trust_domain)
            && self.rules.naming.may_give(id)
            && workload.as_ref().is_none_or(vouches)
    }

    async fn identify(&self, token: &str, now: Timestamp) -> Result<Caller, Refusal> {
        if let Some(refusal) = self.refused.get(token, now) {
            return Err(refusal);
        }
        let proved = self.prove(token, now).await;
        if let Err(refusal) = &proved
            && refusal.stays_so()
        {
            self.refused.put(token, refusal.clone(), now);
        }
        proved
    }

    async fn prove(&self, token: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let token = UnverifiedJws::parse(token).map_err(TokenError::from)?;
        let keys = self.keys.for_token(&token, now).await?;
        let payload = token.verify(&keys).map_err(TokenError::from)?;
        let claims = OidcClaims::from_json(&payload).map_err(TokenError::from)?;
        self.check(&claims, now)?;
        let (id, workload) = self.name(&claims)?;
        Ok(Caller {
            id,
            workload,
            authenticator: AuthenticatorKind::Oidc,
            cluster: None,
            service_account_uid: None,
            pod: None,
            node: None,
            token_id: claims.token_id(),
            known_since: None,
        })
    }

    fn check(&self, claims: &OidcClaims, now: Timestamp) -> Result<(), Refusal> {
        if claims.text("iss") != Some(self.rules.issuer.as_str()) {
            return Err(TokenError::Issuer.into());
        }
        if !self.rules.audiences.iter().any(|audience| claims.is_meant_for(audience)) {
            return Err(TokenError::Audience.into());
        }
        let [expires_at, not_before, issued_at] = ["exp", "nbf", "iat"].map(|name| claims.time(name));
        check_times(expires_at, [not_before, issued_at], now, || claims.subject())?;
        match self.rules.required.iter().find(|required| !required.is_met(claims)) {
            Some(required) => Err(OidcError::Required { claim: required.claim().to_owned() }.into()),
            None => Ok(()),
        }
    }

    fn name(&self, claims: &OidcClaims) -> Result<(SpiffeId, Option<WorkloadName>), OidcError> {
        let id = self.rules.naming.id(claims, &self.rules.trust_domain)?;
        let workload = WorkloadName::from_spiffe_id(&id).ok();
        match workload.as_ref().map(|workload| workload.namespace.as_str()) {
            Some(namespace) if !any_matches(&self.rules.namespaces, namespace) => {
                Err(OidcError::Namespace { namespace: namespace.to_owned() })
            }
            _ => Ok((id, workload)),
        }
    }
}

/// The caller that `token` proves by one of `issuers`; a token of none of them is somebody else's.
pub(super) async fn identify(issuers: &[OidcIssuer], token: &str, now: Timestamp) -> Result<Caller, Refusal> {
    let named = jws::unproven_payload(token).ok().and_then(|payload| issuer(&payload));
    let known = named.and_then(|named| issuers.iter().find(|issuer| issuer.rules.issuer == named));
    match known {
        Some(issuer) => issuer.identify(token, now).await,
        None => Err(TokenError::Issuer.into()),
    }
}
