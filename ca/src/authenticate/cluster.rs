//! One cluster: how its tokens are proved and what may come from it.

use std::sync::Arc;

use signet_identity::{JwsError, Namespace, Timestamp, TrustDomain, UnverifiedJws, WorkloadName, jws};

use super::caller::{AuthenticatorKind, Caller};
use super::claims::{Claims, issuer};
use super::granted::Granted;
use super::jwks::IssuerKeys;
use super::liveness::Bound;
use super::refusal::Refusal;
use super::review::{Reviewer, TokenReviews};
use super::token::{TokenError, TokenRules};
use super::verdicts::Refused;
use crate::kubernetes::Knowledge;
use crate::patterns::{NamePattern, any_matches};
use crate::voice::Voice;

/// How a cluster's tokens are proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenMode {
    /// Here, with the issuer's keys and what is known of the cluster's objects.
    Local,
    /// By the API server.
    Review,
    /// Here, and by the API server where it cannot be decided here.
    LocalThenReview,
    /// Not at all: its tokens are nobody's.
    Off,
}

impl TokenMode {
    /// Whether tokens are proved with the issuer's keys.
    pub fn proves_here(self) -> bool {
        matches!(self, Self::Local | Self::LocalThenReview)
    }

    fn reviews(self) -> bool {
        matches!(self, Self::Review | Self::LocalThenReview)
    }
}

impl std::str::FromStr for TokenMode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "local" => Ok(Self::Local),
            "review" => Ok(Self::Review),
            "local-then-review" => Ok(Self::LocalThenReview),
            "off" => Ok(Self::Off),
            _ => Err(format!("`{word}` is not `local`, `review`, `local-then-review` or `off`")),
        }
    }
}

/// The operator's rules for one cluster.
#[derive(Debug, Clone)]
pub struct ClusterRules {
    /// Its own name.
    pub id: String,
    /// Other names that callers may use for it.
    pub aliases: Vec<String>,
    /// Where its workloads' identities live.
    pub trust_domain: TrustDomain,
    /// The namespaces that it may vouch for.
    pub namespaces: Vec<NamePattern>,
    /// What its tokens must say.
    pub tokens: TokenRules,
    /// How they are proved.
    pub mode: TokenMode,
    /// Most reviews in a second.
    pub reviews_per_second: u32,
    /// Whose pods may ask for identities of other pods on their node.
    pub node_proxies: Vec<WorkloadName>,
    /// Whether only of pods that are enrolled in the mesh.
    pub enrolled_only: bool,
}

/// What a cluster is proved and known by.
#[derive(Debug, Default)]
pub struct ClusterMeans {
    /// The keys of its issuer.
    pub keys: Option<IssuerKeys>,
    /// Its API server's reviews.
    pub reviews: Option<Arc<dyn TokenReviews>>,
    /// Its live objects.
    pub knowledge: Option<Knowledge>,
    /// In which trust domain its identities are granted, if that is not for ever its own.
    pub granted: Option<Granted>,
    /// Told when reviews fail, where nobody is identified without them.
    pub reviews_health: Option<Voice>,
}

/// Something that a cluster's mode needs is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cluster `{id}` proves tokens by way of its {means}, and has none")]
pub struct MissingMeans {
    /// The cluster.
    pub id: String,
    /// What is missing.
    pub means: &'static str,
}

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    id: Arc<str>,
    rules: ClusterRules,
    granted: Granted,
    keys: Option<IssuerKeys>,
    reviewer: Option<Reviewer>,
    knowledge: Option<Knowledge>,
    refused: Refused<Refusal>,
}

impl Cluster {
    /// A cluster that keeps `rules`, by `means`.
    ///
    /// # Errors
    /// [`MissingMeans`].
    pub fn new(rules: ClusterRules, means: ClusterMeans) -> Result<Self, MissingMeans> {
        let missing = |means| MissingMeans { id: rules.id.clone(), means };
        if rules.mode.proves_here() && means.keys.is_none() {
            return Err(missing("issuer's keys"));
        }
        if rules.mode.reviews() && means.reviews.is_none() {
            return Err(missing("API server"));
        }
        Ok(Self {
            id: rules.id.as_str().into(),
            granted: means.granted.unwrap_or_else(|| Granted::own(rules.trust_domain.clone())),
            keys: means.keys,
            reviewer: means
                .reviews
                .map(|reviews| Reviewer::new(reviews, rules.reviews_per_second, means.reviews_health)),
            knowledge: means.knowledge,
            refused: Refused::new(),
            rules,
        })
    }

    /// Its own name and its aliases.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.rules.id).chain(&self.rules.aliases).map(String::as_str)
    }

    /// Its own name.
    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Whether its tokens must be bound to pods.
    pub(super) fn requires_pods(&self) -> bool {
        self.rules.tokens.require_pod
    }

    /// Where its workloads' identities live.
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Whose pods may ask for identities of other pods on their node.
    pub fn node_proxies(&self) -> &[WorkloadName] {
        &self.rules.node_proxies
    }

    /// Whether node proxies get identities of pods only that are enrolled in the mesh.
    pub fn serves_enrolled_only(&self) -> bool {
        self.rules.enrolled_only
    }

    /// What is known of its objects, if anything is.
    pub fn knowledge(&self) -> Option<&Knowledge> {
        self.knowledge.as_ref()
    }

    /// Whether it may vouch for workloads of this namespace. A cluster whose tokens are nobody's vouches for none.
    pub fn vouches_for(&self, namespace: &Namespace) -> bool {
        self.rules.mode != TokenMode::Off && any_matches(&self.rules.namespaces, namespace.as_str())
    }

    /// The caller that `token` proves.
    pub(super) async fn identify(&self, token: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let caller = match self.rules.mode {
            TokenMode::Local => self.prove(token, now).await,
            TokenMode::Review => self.review(token, now).await,
            TokenMode::LocalThenReview => match self.prove(token, now).await {
                Err(refusal) if refusal.is_undecided() => self.review(token, now).await,
                proved => proved,
            },
            TokenMode::Off => Err(TokenError::Issuer.into()),
        }?;
        match caller.workload() {
            Some(workload) if self.vouches_for(&workload.namespace) => Ok(caller),
            _ => Err(Refusal::NamespaceNotVouchedFor),
        }
    }

    /// Proves a token without asking anyone, as long as its key and its holder are known.
    async fn prove(&self, token: &str, now: Timestamp) -> Result<Caller, Refusal> {
        if let Some(refusal) = self.refused.get(token, now) {
            return Err(refusal);
        }
        let proved = self.prove_afresh(token, now).await;
        if let Err(refusal) = &proved
            && refusal.stays_so()
        {
            self.refused.put(token, refusal.clone(), now);
        }
        proved
    }

    async fn prove_afresh(&self, token: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let token = UnverifiedJws::parse(token).map_err(TokenError::from)?;
        let payload = self.verified(&token, now).await?;
        let claims = Claims::from_json(&payload).map_err(TokenError::from)?;
        self.rules.tokens.check(&claims, now)?;
        if let Some(knowledge) = &self.knowledge {
            let bound = Bound {
                workload: &claims.workload,
                service_account_uid: &claims.service_account_uid,
                pod: claims.pod.as_ref(),
                node: claims.node.as_ref(),
            };
            bound.check(knowledge, now).await?;
        }
        Ok(Caller {
            id: claims.workload.spiffe_id(&self.granted.current()),
            workload: Some(claims.workload),
            authenticator: AuthenticatorKind::KubernetesToken,
            cluster: Some(self.id.clone()),
            service_account_uid: Some(claims.service_account_uid),
            pod: claims.pod,
            node: claims.node,
            token_id: claims.token_id,
            known_since: None,
        })
    }

    async fn verified(&self, token: &UnverifiedJws<'_>, now: Timestamp) -> Result<Vec<u8>, Refusal> {
        // `new` made sure that there are keys wherever tokens are proved here.
        let keys = self.keys.as_ref().ok_or(TokenError::from(JwsError::UnknownKey))?;
        if !keys.knows(token.kid()) {
            // What others issued is not worth a refresh, and missing keys say nothing about it.
            let issuer = token.unproven_payload().ok().and_then(|payload| issuer(&payload));
            if issuer.is_some_and(|issuer| self.rules.tokens.is_foreign(&issuer)) {
                return Err(TokenError::Issuer.into());
            }
        }
        let keys = keys.for_token(token, now).await?;
        Ok(token.verify(&keys).map_err(TokenError::from)?)
    }

    /// Has the API server judge a token.
    async fn review(&self, token: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let payload = jws::unproven_payload(token).map_err(TokenError::from)?;
        if issuer(&payload).is_some_and(|issuer| self.rules.tokens.is_foreign(&issuer)) {
            return Err(TokenError::Issuer.into());
        }
        self.check_known_signature(token, now)?;
        let reviewer = self.reviewer.as_ref().ok_or(Refusal::NotReviewedHere)?;
        let expires_at = Claims::from_json(&payload).ok().and_then(|claims| claims.expires_at);
        let is_suspect = self.is_suspect(token);
        let user = reviewer.review(token, &self.rules.tokens.audiences, expires_at, is_suspect, now).await?;
        if self.rules.tokens.require_pod && user.pod.is_none() {
            return Err(TokenError::NoPod.into());
        }
        Ok(Caller {
            id: user.workload.spiffe_id(&self.granted.current()),
            workload: Some(user.workload),
            authenticator: AuthenticatorKind::TokenReview,
            cluster: Some(self.id.clone()),
            service_account_uid: Some(user.service_account_uid),
            pod: user.pod,
            node: user.node,
            token_id: user.token_id,
            known_since: None,
        })
    }

    /// Whether the issuer's keys, where they are at hand, do not know the key that a token names. After a change of keys
    /// good ones are like that too.
    fn is_suspect(&self, token: &str) -> bool {
        let keys = self.keys.as_ref().filter(|keys| keys.at_hand().is_some());
        keys.is_some_and(|keys| UnverifiedJws::parse(token).map_or(true, |token| !keys.knows(token.kid())))
    }

    /// Refuses a token that its issuer's keys, where they are at hand, say is forged, so that forgeries do not reach the
    /// API server. Says nothing about any other.
    fn check_known_signature(&self, token: &str, now: Timestamp) -> Result<(), Refusal> {
        let Some(keys) = self.keys.as_ref().filter(|_| self.rules.mode == TokenMode::Review) else { return Ok(()) };
        if let Some(refusal) = self.refused.get(token, now) {
            return Err(refusal);
        }
        let Ok(jws) = UnverifiedJws::parse(token) else { return Ok(()) };
        let refusal = Refusal::from(TokenError::from(JwsError::Signature));
        let is_forged = |jws: &UnverifiedJws<'_>| {
            keys.at_hand().is_some_and(|keys| jws.verify(&keys).is_err_and(|error| error == JwsError::Signature))
        };
        if is_forged(&jws) {
            self.refused.put(token, refusal.clone(), now);
            return Err(refusal);
        }
        Ok(())
    }
}
