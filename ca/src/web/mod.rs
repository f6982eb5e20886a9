//! Small public documents over HTTPS: what verifiers of tokens and other trust domains read.
//!
//! Knows how documents are served, and nothing of what stands in them. There are no secrets here, nobody is asked who
//! it is, and nothing can be changed.

mod answer;
mod certificate;
mod endpoint;
mod server;

pub use certificate::CertificateError;
pub use endpoint::EndpointError;
pub use server::WebError;

pub(crate) use answer::{Document, Site};
pub(crate) use endpoint::Endpoint;
