//! RequestAuthentication: whose tokens a workload accepts, and where it finds them.

use super::{Meta, Target, Text};
use crate::source::Place;

/// One RequestAuthentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestAuthentication {
    /// Name, namespace, age.
    pub meta: Meta,
    /// Whom it is for.
    pub target: Target,
    /// `jwtRules`.
    pub rules: Vec<JwtRule>,
}

/// One issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtRule {
    /// Where it stands.
    pub at: Place,
    /// `issuer`; none accepts any.
    pub issuer: Option<Text>,
    /// `audiences`; none accepts any.
    pub audiences: Vec<Text>,
    /// `jwksUri`.
    pub jwks_uri: Option<Text>,
    /// `jwks`.
    pub jwks: Option<Text>,
    /// `fromHeaders`.
    pub from_headers: Vec<FromHeader>,
    /// `fromParams`.
    pub from_params: Vec<Text>,
    /// `fromCookies`.
    pub from_cookies: Vec<Text>,
    /// `outputPayloadToHeader`.
    pub output_payload_to_header: Option<Text>,
    /// `forwardOriginalToken`.
    pub forward_original_token: bool,
    /// `outputClaimToHeaders`.
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    /// `timeout`, as it was written.
    pub timeout: Option<Text>,
    /// `spaceDelimitedClaims`.
    pub space_delimited_claims: Vec<Text>,
    /// `presence`: `OPTIONAL` or `REQUIRED`. No control plane acts on it.
    pub presence: Option<Text>,
}

/// A header that may hold the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromHeader {
    /// The header.
    pub name: Text,
    /// What stands before the token.
    pub prefix: Option<Text>,
}

/// A claim that is copied into a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimToHeader {
    /// The header.
    pub header: Text,
    /// The claim; dots lead into objects.
    pub claim: Text,
}
