//! How many log lines were lost, read at each scrape: the log belongs to the process and not to this room.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::ConstCounter;
use signet_runtime::telemetry;

#[derive(Debug)]
pub(super) struct LostLines;

impl Collector for LostLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let lost = ConstCounter::new(telemetry::lines_lost());
        let help = "Log lines lost because standard error was not read fast enough";
        lost.encode(encoder.encode_descriptor("signet_ca_log_lines_lost", help, None, ConstCounter::<u64>::TYPE)?)
    }
}
