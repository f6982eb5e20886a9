//! What is told of Istio's mesh config.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Value = Gauge<i64, AtomicI64>;

/// Cheap to clone; clones tell together.
#[derive(Debug, Clone, Default)]
pub(crate) struct MeshMetrics {
    broken: Value,
    differs: Value,
    followed: Value,
}

impl MeshMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "signet_ca_mesh_config_broken",
            "1 while the mesh config cannot be read and what it said before stays",
            self.broken.clone(),
        );
        registry.register(
            "signet_ca_mesh_config_differs",
            "1 while the mesh config's trust domain is another than our own",
            self.differs.clone(),
        );
        registry.register(
            "signet_ca_mesh_config_followed",
            "1 while identities are granted in the mesh config's trust domain and not in our own",
            self.followed.clone(),
        );
    }

    /// Whether it could be read, whether it names another trust domain, and whether that is followed.
    pub(crate) fn told(&self, is_good: bool, differs: bool, followed: bool) {
        self.followed.set(i64::from(followed));
        self.broken.set(i64::from(!is_good));
        self.differs.set(i64::from(differs));
    }
}
