//! `istio_agent_cert_expiry_seconds`: time left, reckoned at the moment of scraping.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use signet_identity::Timestamp;
use signet_runtime::Clock;

/// When each served certificate ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Expiry {
    ends: Arc<Mutex<BTreeMap<&'static str, Timestamp>>>,
}

impl Expiry {
    pub(super) fn set(&self, resource: &'static str, at: Timestamp) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(resource, at);
    }

    pub(super) fn collector(&self, clock: Clock) -> Scraped {
        Scraped { expiry: self.clone(), clock }
    }
}

/// Reckons at each scrape.
#[derive(Debug)]
pub(super) struct Scraped {
    expiry: Expiry,
    clock: Clock,
}

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = Timestamp::from(self.clock.now()).unix_secs();
        let mut family = encoder.encode_descriptor(
            "istio_agent_cert_expiry_seconds",
            "Seconds left, negative when expired",
            None,
            MetricType::Gauge,
        )?;
        let ends = self.expiry.ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (resource, at) in ends {
            let left = ConstGauge::new(at.unix_secs().saturating_sub(now));
            left.encode(family.encode_family(&[("resource_name", resource)])?)?;
        }
        Ok(())
    }
}
