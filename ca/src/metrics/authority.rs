//! What can be measured of the authority's keys: which generations there are, when they end, who knows their roots, and
//! what became of the files of a plugged-in one.
//!
//! Labels are numbers of generations and fingerprints of roots, both bounded by what one authority can hold.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::authority::{Authority, Overview, Reload};
use crate::trust_bundle::Acknowledgements;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GenerationLabels {
    generation: u64,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RootLabels {
    root: String,
    known: &'static str,
}

/// Counts reloads. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct AuthorityMetrics {
    reloads: Family<ReloadLabels, Counter>,
}

impl AuthorityMetrics {
    pub(crate) fn reloaded(&self, reload: Reload) {
        let (result, reason) = match reload {
            Reload::Taken => ("taken", ""),
            Reload::Same => ("same", ""),
            Reload::Refused(reason) => ("refused", reason),
        };
        self.reloads.get_or_create(&ReloadLabels { result, reason }).inc();
    }

    /// Shows the counters, and what is in force at each scrape.
    pub(crate) fn register(
        &self,
        registry: &mut Registry,
        overview: watch::Receiver<Arc<Overview>>,
        authority: watch::Receiver<Arc<Authority>>,
        acknowledgements: Acknowledgements,
    ) {
        let help = "Contents of the plugged-in directory that were judged";
        registry.register("signet_ca_authority_reloads", help, self.reloads.clone());
        registry.register_collector(Box::new(InForce { overview, authority, acknowledgements }));
    }
}

#[derive(Debug)]
struct InForce {
    overview: watch::Receiver<Arc<Overview>>,
    authority: watch::Receiver<Arc<Authority>>,
    acknowledgements: Acknowledgements,
}

impl Collector for InForce {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let overview = self.overview.borrow().clone();
        self.generations(&mut encoder, &overview)?;
        self.bundle(&mut encoder, &overview)?;
        if let Some(directory) = &overview.directory {
            let help = "Whether what stands in the plugged-in directory is in force or waits to be";
            gauge(&mut encoder, "signet_ca_authority_directory_in_force", help, directory.is_in_force.into())?;
        }
        Ok(())
    }
}

impl InForce {
    fn generations(&self, encoder: &mut DescriptorEncoder<'_>, overview: &Overview) -> fmt::Result {
        let help = "Unix time at which a generation's leaves cease to be trusted";
        let name = "signet_ca_authority_generation_expiry_timestamp";
        let mut expiry = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for found in overview.generations.iter().filter(|found| !found.is_over) {
            let labels = GenerationLabels { generation: found.id, phase: found.phase };
            prometheus_client::metrics::gauge::ConstGauge::new(found.not_after_unix)
                .encode(expiry.encode_family(&labels)?)?;
        }
        let active = self.authority.borrow().generation();
        let help = "The generation that signs";
        gauge(encoder, "signet_ca_authority_active_generation", help, number(active))
    }

    fn bundle(&self, encoder: &mut DescriptorEncoder<'_>, overview: &Overview) -> fmt::Result {
        let published = self.authority.borrow().published().clone();
        let watching = self.acknowledgements.watching();
        let help = "The published trust bundle's number";
        gauge(encoder, "signet_ca_trust_bundle_generation", help, number(published.generation))?;
        let help = "Agents that watch the trust bundle";
        let watchers = u64::try_from(watching.watchers()).unwrap_or(u64::MAX);
        gauge(encoder, "signet_ca_trust_bundle_watchers", help, number(watchers))?;
        let help = "Watching agents that have the published trust bundle";
        let reached = u64::try_from(watching.reached(published.generation)).unwrap_or(u64::MAX);
        gauge(encoder, "signet_ca_trust_bundle_acknowledged", help, number(reached))?;

        let help = "Unix time at which a published root ends";
        let mut expiry = encoder.encode_descriptor("signet_ca_root_expiry_timestamp", help, None, MetricType::Gauge)?;
        for (id, root) in published.roots_by_id() {
            let is_known = overview.bundle.roots.get(&id).is_some_and(|root| root.is_known);
            let labels = RootLabels { root: id, known: if is_known { "true" } else { "false" } };
            prometheus_client::metrics::gauge::ConstGauge::new(root.lifetime().not_after().unix_secs())
                .encode(expiry.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
