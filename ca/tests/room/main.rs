//! The room's public face: a server in this process on loopback, real TLS, a gRPC client, and what comes back.

#[cfg(test)]
mod cacerts;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod config;
#[cfg(test)]
mod door;
#[cfg(test)]
mod events;
#[cfg(test)]
mod federation;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod holders;
#[cfg(test)]
mod https;
#[cfg(test)]
mod impersonation;
#[cfg(test)]
mod issuing;
#[cfg(test)]
mod istio_names;
#[cfg(test)]
mod jwt;
#[cfg(test)]
mod key_types;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod kubernetes;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod leaf_profile;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod lifetimes;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod oidc;
#[cfg(test)]
mod open_files;
#[cfg(test)]
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(test)]
#[cfg(feature = "pkcs11")]
mod pkcs11;
#[cfg(test)]
mod pkcs11_settings;
#[cfg(test)]
mod plugged_in;
#[cfg(test)]
mod process;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod renewal_places;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod replica_processes;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod reviews;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod serving;
#[cfg(test)]
#[cfg(feature = "pkcs11")]
mod softhsm;
#[cfg(test)]
mod spread;
#[cfg(test)]
mod state_dir;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod trust_bundle;
#[cfg(test)]
mod unheard;
#[cfg(test)]
mod watcher;
#[cfg(test)]
mod web;
