//! Generated wire types of the Istio CA API, of Signet's own API and of the SPIFFE Workload API, and nothing else.
//!
//! No type from here goes further than the module that speaks the protocol: rooms turn them into their own words.

/// Istio's CA API: package `istio.v1.auth`.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod istio_ca {
    tonic::include_proto!("istio.v1.auth");
}

/// Signet's own API: package `signet.ca.v1`.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod signet_ca {
    tonic::include_proto!("signet.ca.v1");
}

/// The SPIFFE Workload API, which has no package.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the standard says what the fields are"
)]
pub mod workload_api {
    tonic::include_proto!("_");
}

/// The encoded `FileDescriptorSet` of the Workload API, for gRPC server reflection.
pub const WORKLOAD_API_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/workload_api.bin"));

/// The encoded `FileDescriptorSet` of the other two packages, for gRPC server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
