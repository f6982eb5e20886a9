//! The issuance pipeline: one certificate request from arrival to answer.
//!
//! Each step consumes what the step before it proved, so their order is fixed by types, not by care. Nothing here knows
//! about gRPC, files or Kubernetes; those live behind the fields of [`Issuer`]. A chain is returned only after the
//! ledger has confirmed its record.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use signet_identity::{CsrError, KeyAlgorithm, Lifetime, Serial, SpiffeId, Timestamp, VerifiedCsr};
use signet_runtime::Clock;
use tokio::sync::watch;
use tokio::time::Instant as Deadline;

use std::sync::Arc;

use crate::admission::{Admission, Applicant, Permit, ShedError};
use crate::authenticate::{Authenticator, Caller, Credential, IdentifyError};
use crate::authority::{Authority, SignError};
use crate::authorize::{AuthorizeError, Authorizer, Grant};
use crate::ledger::{Issued, Ledger, LedgerError};
use crate::metrics::{Metrics, Stage};
use crate::otlp;
use crate::profile::{Profile, ProfileError};

/// What a request asks for.
#[derive(Clone, Copy)]
pub struct IssueRequest<'a> {
    /// Who sends it.
    pub credential: Credential<'a>,
    /// The certificate request, PEM.
    pub csr_pem: &'a str,
    /// The wanted life in seconds; zero or less means that there is no wish.
    pub asked_secs: i64,
    /// The identity that the caller wants to be instead of its own.
    pub impersonated: Option<&'a str>,
    /// What the request is called in answer, log and ledger.
    pub request_id: &'a str,
    /// Where it came from.
    pub peer: Option<SocketAddr>,
    /// When its caller stops waiting for the answer.
    pub deadline: Option<Deadline>,
}

/// A chain that was issued, with what its record says.
#[derive(Debug)]
pub struct IssuedChain {
    /// PEM: the leaf, each intermediate alone, all roots together.
    pub chain: Vec<String>,
    /// Who asked.
    pub caller: Caller,
    /// Whom the leaf names.
    pub id: SpiffeId,
    /// The leaf's serial.
    pub serial: Serial,
    /// The leaf's validity.
    pub lifetime: Lifetime,
    /// What kind of key it holds.
    pub key: KeyAlgorithm,
    /// SHA-256 over the leaf's SubjectPublicKeyInfo, hexadecimal.
    pub key_fingerprint: String,
    /// Time granted from now on.
    pub granted: Duration,
}

/// Why no certificate was issued. Sorted by who has to act.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The caller: its credential.
    #[error("caller could not be identified")]
    Unidentified(#[from] IdentifyError),
    /// The caller: what it wants to be.
    #[error("identity was not granted")]
    NotGranted(#[from] AuthorizeError),
    /// The caller: its request.
    #[error("certificate request is unusable")]
    Csr(#[from] CsrError),
    /// The caller or the operator: what a leaf may say.
    #[error("leaf would break the profile")]
    Profile(#[from] ProfileError),
    /// The operator.
    #[error("certificate could not be signed")]
    Sign(#[from] SignError),
    /// The operator: what is issued cannot be recorded.
    #[error("certificate could not be recorded")]
    Ledger(#[from] LedgerError),
    /// Nobody: the server is busy.
    #[error("request was turned away")]
    Shed(#[from] ShedError),
}

impl IssueError {
    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unidentified(error) => error.reason(),
            Self::NotGranted(error) => error.reason(),
            Self::Csr(_) => "csr",
            Self::Profile(ProfileError::Key { .. }) => "csr_key",
            Self::Profile(ProfileError::Lifetime { .. }) => "lifetime",
            Self::Profile(ProfileError::IssuerDomain) => "issuer_trust_domain",
            Self::Profile(ProfileError::IssuerNotValid) => "issuer_not_valid",
            Self::Sign(SignError::Key(_)) => "sign",
            Self::Sign(SignError::Token(_)) => "token",
            Self::Ledger(error) => error.reason(),
            Self::Shed(error) => error.reason(),
        }
    }

    /// When the caller should try again, if the same request may then be answered otherwise.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Shed(error) => error.retry_after(),
            Self::Unidentified(error) if error.is_undecided() => Some(try_again_after()),
            Self::NotGranted(error) if error.is_undecided() => Some(try_again_after()),
            Self::Ledger(LedgerError::TooLong) => None,
            Self::Ledger(_) | Self::Sign(SignError::Token(_)) => Some(try_again_after()),
            _ => None,
        }
    }
}

/// When to try again, in milliseconds, where nobody knows when it helps.
const TRY_AGAIN_MILLIS: std::ops::RangeInclusive<u64> = 1_000..=5_000;

/// When to try again what could not be decided or recorded; those who ask together do not come back together.
pub(crate) fn try_again_after() -> Duration {
    Duration::from_millis(fastrand::u64(TRY_AGAIN_MILLIS))
}

/// What is counted for itself where a holder gets certificates.
const CERTIFICATE: &str = "x509";

/// Everything that issuing needs.
#[derive(Debug)]
pub struct Issuer {
    /// Tells the time.
    pub clock: Clock,
    /// Who is asking.
    pub authenticator: Authenticator,
    /// Who may have what.
    pub authorizer: Authorizer,
    /// What stands in a leaf.
    pub profile: Profile,
    /// Who signs; each request holds on to the one it began with.
    pub authority: watch::Receiver<Arc<Authority>>,
    /// Where the time goes.
    pub metrics: Metrics,
    /// What confirms that a certificate may leave.
    pub ledger: Ledger,
    /// Who may go on now, and who waits.
    pub admission: Admission,
}

impl Issuer {
    /// Issues one certificate.
    ///
    /// # Errors
    /// Every variant of [`IssueError`]; nothing is kept of a request that failed.
    pub async fn issue(&self, request: &IssueRequest<'_>) -> Result<IssuedChain, IssueError> {
        let now = Timestamp::from(self.clock.now());
        let watch = StageWatch::start(&self.metrics);

        let (caller, grant) = self.admit(request.credential, request.impersonated, now).await?;
        otlp::attribute("signet.identity", grant.id().as_str());
        self.ledger.check()?;
        let watch = watch.end_of(Stage::Authenticate);

        let permit = self.turn(CERTIFICATE, &caller, &grant, request.peer, request.deadline).await?;
        let watch = watch.again();
        let csr = VerifiedCsr::from_pem(request.csr_pem.as_bytes())?;
        let watch = watch.end_of(Stage::Csr);

        let authority = self.authority.borrow().clone();
        let limits = self.authorizer.limits(&caller, &grant, csr.public_key().algorithm(), now);
        let limits = limits.map_err(AuthorizeError::from)?;
        let template = self.profile.leaf(&grant, limits, &csr, request.asked_secs, &authority, now)?;
        let leaf = authority.sign(&template).await?;
        let chain = authority.chain_pem(&leaf);
        let watch = watch.end_of(Stage::Sign);

        let issued = IssuedChain {
            chain,
            caller,
            id: grant.id().clone(),
            granted: leaf.lifetime.remaining(now),
            serial: leaf.serial,
            lifetime: leaf.lifetime,
            key: csr.public_key().algorithm(),
            key_fingerprint: csr.public_key().fingerprint(),
        };
        // Who gives up gives its place up no sooner than its record is written.
        let permit = self.ledger.append(&record(request, &issued, &authority, now), permit).await?;
        watch.end_of(Stage::Record);
        permit.served();
        Ok(issued)
    }

    /// Who asks, and which identity it may have: the same for whatever is issued.
    ///
    /// # Errors
    /// [`IssueError::Unidentified`], [`IssueError::NotGranted`].
    pub(crate) async fn admit(
        &self,
        credential: Credential<'_>,
        impersonated: Option<&str>,
        now: Timestamp,
    ) -> Result<(Caller, Grant), IssueError> {
        let caller = self.authenticator.identify(credential, now).await?;
        let grant = self.authorizer.authorize(&caller, impersonated, now).await?;
        Ok((caller, grant))
    }

    /// Waits until it is the turn of `caller` to get what was granted: the same for whatever is issued. Each `kind` is
    /// counted for itself.
    ///
    /// # Errors
    /// [`IssueError::Shed`].
    pub(crate) async fn turn(
        &self,
        kind: &'static str,
        caller: &Caller,
        grant: &Grant,
        peer: Option<SocketAddr>,
        deadline: Option<Deadline>,
    ) -> Result<Permit, IssueError> {
        let (pod, node) = (caller.pod(), caller.node());
        let holder = pod.map(|pod| pod.uid.as_str()).or(caller.service_account_uid());
        let holder = holder.unwrap_or(caller.id().as_str());
        let token_id = caller.token_id().filter(|_| pod.is_none()).map(ToString::to_string);
        let applicant = Applicant {
            holder,
            voucher: token_id.as_deref().unwrap_or(holder),
            kind,
            cluster: caller.cluster(),
            node: node.map(|node| node.name.as_str()),
            id: grant.id().as_str(),
            peer: peer.map(|peer| peer.ip()),
            deadline,
        };
        Ok(self.admission.enter(&applicant).await?)
    }
}

/// What the ledger is to hold about `issued`.
fn record<'a>(
    request: &IssueRequest<'a>,
    issued: &'a IssuedChain,
    authority: &Authority,
    now: Timestamp,
) -> Issued<'a> {
    let origin = Recorded { request_id: request.request_id, peer: request.peer, now };
    Issued {
        serial: Cow::Owned(issued.serial.to_string()),
        not_before: issued.lifetime.not_before(),
        not_after: issued.lifetime.not_after(),
        asked_secs: request.asked_secs,
        granted_secs: issued.granted.as_secs(),
        key: Cow::Owned(issued.key.to_string()),
        key_sha256: Cow::Borrowed(&issued.key_fingerprint),
        authority: Cow::Owned(authority.key_id()),
        ..origin.by(&issued.caller, &issued.id)
    }
}

/// Where and when something is issued, for its record.
pub(crate) struct Recorded<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) now: Timestamp,
}

impl<'a> Recorded<'a> {
    /// A record of who got which identity. What was issued is still to be told.
    pub(crate) fn by(&self, caller: &'a Caller, id: &'a SpiffeId) -> Issued<'a> {
        let (workload, pod, node) = (caller.workload(), caller.pod(), caller.node());
        let is_impersonated = id != caller.id();
        Issued {
            time: self.now,
            request: Cow::Borrowed(self.request_id),
            id: Cow::Borrowed(id.as_str()),
            kind: None,
            serial: Cow::default(),
            not_before: self.now,
            not_after: self.now,
            asked_secs: 0,
            granted_secs: 0,
            key: Cow::default(),
            key_sha256: Cow::default(),
            authority: Cow::default(),
            audience: Vec::new(),
            authenticator: Cow::Borrowed(caller.authenticator().as_str()),
            caller: is_impersonated.then(|| Cow::Borrowed(caller.id().as_str())),
            cluster: caller.cluster().map(Cow::Borrowed),
            namespace: workload.map(|workload| Cow::Borrowed(workload.namespace.as_str())),
            service_account: workload.map(|workload| Cow::Borrowed(workload.service_account.as_str())),
            pod: pod.map(|pod| Cow::Borrowed(pod.name.as_str())),
            pod_uid: pod.map(|pod| Cow::Borrowed(pod.uid.as_str())),
            node: node.map(|node| Cow::Borrowed(node.name.as_str())),
            token_id: caller.token_id().map(|id| Cow::Owned(id.to_string())),
            peer: self.peer.map(|peer| Cow::Owned(peer.to_string())),
            impersonated: is_impersonated,
        }
    }
}

/// Measures one stage after another. A stage that fails is not measured: it would make failing look fast.
struct StageWatch<'a> {
    metrics: &'a Metrics,
    began: Instant,
}

impl<'a> StageWatch<'a> {
    fn start(metrics: &'a Metrics) -> Self {
        Self { metrics, began: Instant::now() }
    }

    /// What went by since is no stage's.
    fn again(self) -> Self {
        Self { began: Instant::now(), ..self }
    }

    fn end_of(self, stage: Stage) -> Self {
        let now = Instant::now();
        self.metrics.stage(stage, now.duration_since(self.began));
        otlp::stage(stage.as_str(), self.began, now);
        Self { began: now, ..self }
    }
}
