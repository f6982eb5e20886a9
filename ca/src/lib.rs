//! The certificate authority: a Kubernetes service-account token and a certificate request in, a short-lived SPIFFE
//! certificate out, over the API that Istio's proxies already speak.
//!
//! The way of one request is [`issue`], a page. The modules around it are pure and decide (`authenticate::claims`,
//! `authenticate::token`, [`authorize`], [`profile`], `encode`), or are thin and do the input and output (`authority`'s
//! sources, `authenticate::jwks`, [`serving`], `server`, `service`). [`app`] is the one place where they meet.

pub mod admission;
pub mod app;
pub mod authenticate;
pub mod authority;
pub mod authorize;
mod call;
pub mod callers;
pub mod cli;
pub mod config;
pub mod control;
mod drain;
mod encode;
pub mod federation;
pub mod issue;
pub mod jwt;
pub mod kubernetes;
pub mod ledger;
mod logging;
pub mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "otlp/off.rs"]
mod otlp;
mod outgoing;
pub mod patterns;
pub mod profile;
mod readiness;
mod server;
mod service;
pub mod serving;
pub mod shared;
mod token;
pub mod trust_bundle;
mod voice;
pub mod web;
