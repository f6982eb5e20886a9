//! Callers that present a certificate that was issued here, to have it renewed without a token.
//!
//! The TLS library has proved that the peer holds the key, and nothing else. Everything is judged here and at each
//! request: by the roots that are published now, the clock now, and what is known now of the certificate's holder. A
//! certificate says itself since when its holder is known (`known_since`), so that however often it is renewed, a token
//! is needed again in the end.

use std::sync::Arc;
use std::time::Duration;

use signet_identity::certificate::LeafError;
use signet_identity::{
    BundleError, Certificate, CertificateError, SpiffeId, Timestamp, TrustBundle, TrustDomain, VerifyError,
    WorkloadName, hex,
};
use tokio::sync::watch;

use super::caller::{AuthenticatorKind, Caller};
use super::claims::TokenId;
use super::cluster::Cluster;
use super::clusters::Clusters;
use super::liveness::has_ended;
use super::oidc::OidcIssuer;
use super::refusal::Refusal;
use super::token::CLOCK_SKEW_MAX;
use crate::authority::{Authority, Published};
use crate::kubernetes::{AccountObject, PodObject};

/// Share of the bound before its end in which nothing is renewed any more: each renewal would be cut to what is left, and
/// holders would come ever more often for ever less.
const WORTHLESS_SHARE: u32 = 20;

/// Why a presented certificate proves nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// It cannot be read, or there are too many.
    #[error("presented certificates cannot be used")]
    Malformed(#[from] CertificateError),
    /// It names nobody, or more than one.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// It names somebody of a trust domain that nobody vouches for here.
    #[error("certificate of `{id}` is of another trust domain")]
    TrustDomain {
        /// Whom it names.
        id: SpiffeId,
    },
    /// It has ended, or not begun.
    #[error("certificate of `{id}` is not valid now")]
    NotValidNow {
        /// Whom it names.
        id: SpiffeId,
    },
    /// An authority that is not believed any more stands above it.
    #[error("certificate is of an authority that is not believed any more")]
    Distrusted,
    /// Nobody is left to believe.
    #[error("no published root is believed")]
    Roots(#[from] BundleError),
    /// The published roots do not vouch for it.
    #[error("certificate is not of an authority whose root is published: {0}")]
    Untrusted(#[from] VerifyError),
    /// It was not issued for renewal: its holder was somebody else's proxy, or renewal was off.
    #[error("certificate of `{id}` does not say since when its holder is known")]
    NotRenewable {
        /// Whom it names.
        id: SpiffeId,
    },
    /// The last token was too long ago.
    #[error("holder of the certificate of `{id}` has shown no token since {since}")]
    TooOld {
        /// Whom it names.
        id: SpiffeId,
        /// When it last showed one.
        since: Timestamp,
    },
    /// Nobody here may vouch for it any more.
    #[error("nobody may vouch for `{id}` any more")]
    NotVouchedFor {
        /// Whom it names.
        id: SpiffeId,
    },
    /// Its service account, or the pods it may have been in, are gone.
    #[error("holder of the certificate of `{id}` does not exist any more")]
    HolderGone {
        /// Whom it names.
        id: SpiffeId,
    },
}

impl CertificateRefusal {
    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "certificate_malformed",
            Self::Leaf(_) => "certificate_identity",
            Self::TrustDomain { .. } => "certificate_trust_domain",
            Self::NotValidNow { .. } => "certificate_not_valid_now",
            Self::Distrusted => "certificate_distrusted",
            Self::Roots(_) | Self::Untrusted(_) => "certificate_untrusted",
            Self::NotRenewable { .. } => "certificate_not_renewable",
            Self::TooOld { .. } => "certificate_too_old",
            Self::NotVouchedFor { .. } => "namespace_not_vouched_for",
            Self::HolderGone { .. } => "certificate_holder_gone",
        }
    }
}

/// What a peer presented in its handshake, leaf first; proof only that it holds the leaf's key. Read when a request is
/// judged by it, and not before: the peer may never make one, and its connection would hold what was read.
#[derive(Debug)]
pub struct Presented {
    chain: Vec<Box<[u8]>>,
}

impl Presented {
    /// The certificates of a handshake, DER, which has bounded them.
    pub fn new<'a>(chain: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self { chain: chain.into_iter().map(Into::into).collect() }
    }

    /// The leaf, and what stands above it.
    fn read(&self) -> Result<(Certificate, Vec<Certificate>), CertificateRefusal> {
        let (leaf, above) = self.chain.split_first().ok_or(CertificateRefusal::Untrusted(VerifyError::Empty))?;
        let above = above.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>()?;
        Ok((Certificate::from_der(leaf)?, above))
    }
}

/// Judges presented certificates.
#[derive(Debug)]
pub struct Renewal {
    authority: watch::Receiver<Arc<Authority>>,
    clusters: Arc<Clusters>,
    max_age: Duration,
}

impl Renewal {
    /// By the roots of `authority`, for holders whom `clusters` may vouch for, until `max_age` after their last token.
    pub fn new(authority: watch::Receiver<Arc<Authority>>, clusters: Arc<Clusters>, max_age: Duration) -> Self {
        Self { authority, clusters, max_age }
    }

    /// The caller that `presented` proves. Waits for nothing.
    pub(super) fn identify(
        &self,
        presented: &Presented,
        oidc: &[OidcIssuer],
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let (leaf, above) = presented.read()?;
        let published = self.authority.borrow().published().clone();
        let id = self.verified(&leaf, &above, &published, now)?;
        let since = self.known_since(&leaf, &id, now)?;
        let workload = WorkloadName::from_spiffe_id(&id).ok();
        let cluster = self.home(&id, workload.as_ref(), oidc, since, now)?;
        Ok(Caller {
            id,
            workload,
            authenticator: AuthenticatorKind::ClientCertificate,
            cluster,
            service_account_uid: None,
            pod: None,
            node: None,
            token_id: TokenId::new(&leaf.serial().to_string()).ok(),
            known_since: Some(since),
        })
    }

    /// Whom the chain names, if roots that are published and believed vouch for it now.
    fn verified(
        &self,
        leaf: &Certificate,
        above: &[Certificate],
        published: &Published,
        now: Timestamp,
    ) -> Result<SpiffeId, CertificateRefusal> {
        let id = leaf.workload_id()?;
        let trust_domain =
            self.trust_domain_of(&id).ok_or_else(|| CertificateRefusal::TrustDomain { id: id.clone() })?;
        if !leaf.lifetime().contains(now) {
            return Err(CertificateRefusal::NotValidNow { id });
        }
        // What the leaf says of its authority may be a lie, so the path must not touch a distrusted one either.
        if leaf.authority_key_id().is_some_and(|id| published.distrusted_key_ids.contains(&hex(id))) {
            return Err(CertificateRefusal::Distrusted);
        }
        let is_believed = |certificate: &&Certificate| !is_distrusted(certificate, published);
        let roots = published.roots.roots().iter().filter(is_believed).cloned().collect();
        let above = above.iter().filter(|certificate| !certificate.is_self_issued()).filter(is_believed);
        Ok(TrustBundle::new(trust_domain, roots)?.verify(std::iter::once(leaf).chain(above), now)?)
    }

    fn trust_domain_of(&self, id: &SpiffeId) -> Option<TrustDomain> {
        self.clusters.all().into_iter().find_map(|cluster| cluster.granted().of(id)).map(|domain| (*domain).clone())
    }

    fn known_since(&self, leaf: &Certificate, id: &SpiffeId, now: Timestamp) -> Result<Timestamp, CertificateRefusal> {
        let since = leaf.key_used_from().filter(|since| *since <= now.plus(CLOCK_SKEW_MAX));
        let since = since.ok_or_else(|| CertificateRefusal::NotRenewable { id: id.clone() })?;
        if now >= since.plus(self.max_age.saturating_sub(self.max_age / WORTHLESS_SHARE)) {
            return Err(CertificateRefusal::TooOld { id: id.clone(), since });
        }
        Ok(since)
    }

    /// The cluster that the holder lives in, where that can be said. Somebody must be able to vouch for it today, and
    /// clusters whose objects are watched must know it.
    fn home(
        &self,
        id: &SpiffeId,
        workload: Option<&WorkloadName>,
        oidc: &[OidcIssuer],
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Arc<str>>, Refusal> {
        let vouches = |cluster: &Cluster| {
            cluster.granted().holds(id) && workload.is_some_and(|workload| cluster.vouches_for(&workload.namespace))
        };
        let vouching: Vec<_> = self.clusters.all().filter(|cluster| vouches(cluster)).collect();
        let may_be_outside = oidc.iter().any(|issuer| issuer.may_name(id));
        let (Some(workload), [first, others @ ..]) = (workload, vouching.as_slice()) else {
            return if may_be_outside {
                Ok(None)
            } else {
                Err(CertificateRefusal::NotVouchedFor { id: id.clone() }.into())
            };
        };
        let mut undecided = None;
        let mut is_known = vouching.iter().any(|cluster| cluster.knowledge().is_none());
        for cluster in &vouching {
            match lives_in(cluster, workload, since, now) {
                Ok(lives) => is_known |= lives,
                Err(error) => undecided = Some(error),
            }
        }
        match undecided {
            _ if is_known => Ok((others.is_empty() && !may_be_outside).then(|| first.id().clone())),
            Some(error) => Err(error),
            None => Err(CertificateRefusal::HolderGone { id: id.clone() }.into()),
        }
    }
}

/// Whether a certificate is a distrusted authority's: by its key identifier, or by its key where that one had none.
fn is_distrusted(certificate: &Certificate, published: &Published) -> bool {
    let distrusted = &published.distrusted_key_ids;
    !distrusted.is_empty()
        && (certificate.subject_key_id().is_some_and(|id| distrusted.contains(&hex(id)))
            || distrusted.contains(&certificate.public_key().fingerprint()))
}

/// Whether a cluster knows of a service account, and where its tokens are bound to pods of a pod, that may have held the
/// certificate: both there since the holder last showed a token.
fn lives_in(cluster: &Cluster, workload: &WorkloadName, since: Timestamp, now: Timestamp) -> Result<bool, Refusal> {
    let Some(knowledge) = cluster.knowledge() else { return Ok(false) };
    let was_there = |created_at: Option<Timestamp>, deleted_at: Option<Timestamp>| {
        created_at.is_some_and(|at| at <= since.plus(CLOCK_SKEW_MAX)) && !has_ended(deleted_at, now)
    };
    let account = |account: &AccountObject| was_there(account.created_at, account.deleted_at);
    let pod = |pod: &PodObject| was_there(pod.created_at, pod.deleted_at) && !pod.phase.is_over();
    let (namespace, name) = (workload.namespace.as_str(), workload.service_account.as_str());
    let pod = cluster.requires_pods().then_some(pod);
    Ok(knowledge.knows(namespace, name, now, account, pod).map_err(super::LivenessError::from)?)
}
