//! The watch on the CA's roots: whether there is one, what it brought.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;

#[derive(Debug, Default)]
pub(super) struct Roots {
    watched: Gauge,
    generation: Gauge,
    refused: Counter,
    hastened: Counter,
}

impl Roots {
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("roots_watched", "1 while the CA would tell new roots at once", self.watched.clone());
        to.register("roots_generation", "Generation of the CA's roots in force", self.generation.clone());
        to.register("roots_refused", "Roots told by the CA that were not taken", self.refused.clone());
        to.register("renewals_hastened", "Identities to be replaced before their time", self.hastened.clone());
    }
}

impl Metrics {
    /// Whether the CA would tell new roots at once.
    pub fn roots_watched(&self, watched: bool) {
        self.all.roots.watched.set(i64::from(watched));
    }

    /// This generation of the CA's roots is in force.
    pub fn roots_generation(&self, generation: u64) {
        self.all.roots.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    /// Roots that the CA told were not taken.
    pub fn roots_refused(&self) {
        self.all.roots.refused.inc();
    }

    /// An identity is to be replaced before its time.
    pub fn renewal_hastened(&self) {
        self.all.roots.hastened.inc();
    }
}
