//! The pipeline of `issue.rs` as the server runs it, without the server.

use std::error::Error;
use std::sync::Arc;

use signet_ca::admission::Admission;
use signet_ca::authenticate::{Credential, KeyKeeper};
use signet_ca::authority::Authority;
use signet_ca::authorize::Authorizer;
use signet_ca::callers::{Callers, ClusterLinks};
use signet_ca::issue::{IssueRequest, Issuer};
use signet_ca::ledger::Ledger;
use signet_ca::metrics::Metrics;
use signet_identity::Timestamp;
use signet_runtime::{Clock, Health};
use tokio::sync::watch;

use crate::floor::{Floor, Round, Spreads, between, calm_between};
use crate::material::Material;
use crate::stats::{Spread, pin_to, thread_cpu_secs};

/// Rounds of both, one after the other. Many and short, so that a core which changes its speed meets both alike.
const ROUNDS: usize = 601;

/// Certificates, and bare operations of each kind, in a round.
const PER_ROUND: u32 = 32;

/// Calm rounds that are enough to leave the others out.
const CALM_ROUNDS_MIN: usize = 31;

pub(crate) struct Measured {
    /// How many rounds went into these.
    pub(crate) rounds: usize,
    /// Whether they are those that nothing else on the machine disturbed.
    pub(crate) is_calm: bool,
    pub(crate) floor: Spreads,
    /// Seconds of processor time for one certificate.
    pub(crate) certificate: Spread,
    /// The floor over the pipeline, round by round.
    pub(crate) share: Spread,
}

pub(crate) fn measure(material: &Material) -> Result<Measured, Box<dyn Error>> {
    pin_to(0)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let floor = Floor::new(material)?;
        let (issuer, _keeper) = issuer(material).await?;
        round(&issuer, material).await?;
        let (mut floors, mut certificates) = (vec![floor.round(PER_ROUND)], Vec::with_capacity(ROUNDS));
        for _ in 0..ROUNDS {
            certificates.push(round(&issuer, material).await?);
            floors.push(floor.round(PER_ROUND));
        }
        Ok(summary(&floors, &certificates))
    })
}

fn summary(floors: &[Round], certificates: &[f64]) -> Measured {
    let calm = calm_between(floors, CALM_ROUNDS_MIN);
    let is_calm = calm.is_some();
    let calm = calm.unwrap_or_else(|| vec![true; certificates.len()]);
    let pairs = floors.iter().zip(floors.iter().skip(1)).zip(certificates).zip(&calm);
    let kept: Vec<_> = pairs.filter(|(_, calm)| **calm).map(|(pair, _)| pair).collect();
    let kept_floors: Vec<Round> = kept.iter().map(|((before, _), _)| **before).collect();
    Measured {
        rounds: kept.len(),
        is_calm,
        floor: Spreads::of(&kept_floors),
        certificate: Spread::of(kept.iter().map(|(_, certificate)| **certificate).collect()),
        share: Spread::of(kept.iter().map(|((before, after), took)| between(before, after) / **took).collect()),
    }
}

/// An issuer, and what must live as long as it.
async fn issuer(material: &Material) -> Result<(Issuer, KeyKeeper), Box<dyn Error>> {
    let dir = material.dir("pipeline")?;
    let (config, clock, metrics) = (material.config(&dir)?, Clock::system(), Metrics::new());
    let now = Timestamp::from(clock.now());
    let ttl = config.authority.root_ttl;
    let authority = Authority::self_signed(&dir.join("state"), &config.trust_domain, ttl, now)?;
    let (_, authority) = watch::channel(Arc::new(authority));
    let mut callers =
        Callers::new(config.callers, ClusterLinks::new(), authority.clone(), &metrics, &Health::new()).await?;
    let keeper = callers.keepers.pop().ok_or("no keys are configured")?;
    let (authenticator, authorizer) = (callers.authenticator, Authorizer::new(callers.clusters, config.rules, None));
    let profile = config.leaf;
    let ledger = Ledger::open(None, clock.clone(), metrics.ledger(), &Health::new())?.0;
    let admission = Admission::new(&config.admission, metrics.admission());
    Ok((Issuer { clock, authenticator, authorizer, profile, authority, metrics, ledger, admission }, keeper))
}

/// Seconds of processor time for one certificate.
async fn round(issuer: &Issuer, material: &Material) -> Result<f64, Box<dyn Error>> {
    let began = thread_cpu_secs();
    for caller in material.callers.iter().cycle().take(PER_ROUND as usize) {
        let request = IssueRequest {
            credential: Credential { bearer: Some(&caller.token), cluster: None, certificate: None },
            csr_pem: &caller.csr_pem,
            asked_secs: 86_400,
            impersonated: None,
            request_id: "bench",
            peer: None,
            deadline: None,
        };
        std::hint::black_box(issuer.issue(&request).await?);
    }
    Ok((thread_cpu_secs() - began) / f64::from(PER_ROUND))
}
