//! When the authority's certificates end, computed at each scrape, so that the figure is never stale.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use signet_identity::{Certificate, Timestamp};
use signet_runtime::Clock;
use tokio::sync::watch;

use crate::authority::Authority;

#[derive(Debug)]
pub(super) struct Expiry {
    authority: watch::Receiver<Arc<Authority>>,
    clock: Clock,
}

impl Expiry {
    pub(super) fn new(authority: watch::Receiver<Arc<Authority>>, clock: Clock) -> Self {
        Self { authority, clock }
    }
}

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let authority = self.authority.borrow().clone();
        let now = Timestamp::from(self.clock.now()).unix_secs();
        let mut show = |name: &str, of: &str, certificate: Option<&Certificate>| {
            let Some(end) = certificate.map(|cert| cert.lifetime().not_after().unix_secs()) else { return Ok(()) };
            gauge(&mut encoder, &format!("{name}_timestamp"), &format!("Unix time at which {of} ends"), end)?;
            gauge(
                &mut encoder,
                &format!("{name}_seconds"),
                &format!("Seconds until {of} ends"),
                end.saturating_sub(now),
            )
        };
        show("citadel_server_root_cert_expiry", "the first root", authority.roots().roots().first())?;
        show("citadel_server_cert_chain_expiry", "the first certificate of the chain", authority.middle().first())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> Result<(), fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}
