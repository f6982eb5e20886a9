//! The policy engine held against a real Envoy: what is rendered is accepted, and decides as the engine says.
//!
//! `SIGNET_DIFFERENTIAL_PAIRS` says how many pairs of policy set and request are tried (20,000 unless it is set), and
//! `SIGNET_DIFFERENTIAL_SEED` with which seed.

#![cfg(test)]

mod accepted;
mod ask;
mod connections;
mod differential;
mod facts;
mod inspected;
mod mesh;
mod names;
mod sets;
