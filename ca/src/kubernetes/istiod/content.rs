//! What istiod's Secret holds: whether that is good, and how it is made anew.
//!
//! No client and no clock.

use std::collections::BTreeSet;
use std::net::IpAddr;

use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::der::AltName;
use signet_identity::{Certificate, PrivateKey, Timestamp, pem};
use zeroize::Zeroizing;

use super::IstiodTlsConfig;
use crate::authority::Authority;
use crate::serving::{self, ServingError};
use crate::shared::Entries;

/// The entries of a Secret of type `kubernetes.io/tls`, and the one that istiod takes its CA from.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const ROOTS: &str = "ca.crt";

/// The certificate in `entries`, if istiod can serve with it for a while longer: with its key, under the key that signs
/// now, for all names and no others, with the roots that are published now, and more than a third of its life left.
pub(super) fn good(
    entries: &Entries,
    config: &IstiodTlsConfig,
    authority: &Authority,
    now: Timestamp,
) -> Option<Certificate> {
    let entry = |name: &str| entries.get(name).map(|text| text.as_slice()).unwrap_or_default();
    let chain = Certificate::list_from_pem(entry(CERTIFICATE), BUNDLE_PEM_MAX_BYTES).ok()?;
    let leaf = chain.into_iter().next()?;
    let is_key = PrivateKey::from_pem(entry(KEY)).is_ok_and(|key| key.public() == leaf.public_key());
    let issuer = authority.certificate();
    let is_ours = leaf.issuer_der() == issuer.subject_der() && leaf.authority_key_id() == issuer.subject_key_id();
    let (life, left) = (leaf.lifetime(), leaf.lifetime().remaining(now));
    let is_fresh = life.contains(now) && left > life.not_after().since(life.not_before()) / 3;
    let has_roots = entry(ROOTS) == authority.roots_pem().as_bytes();
    (is_key && is_ours && is_fresh && has_roots && names(&leaf) == wanted(&config.names)).then_some(leaf)
}

type Names = (BTreeSet<String>, BTreeSet<IpAddr>);

fn names(leaf: &Certificate) -> Names {
    (leaf.dns_names().iter().cloned().collect(), leaf.ip_addresses().iter().copied().collect())
}

fn wanted(names: &[AltName]) -> Names {
    let mut wanted = Names::default();
    for name in names {
        match name {
            AltName::Dns(name) => drop(wanted.0.insert(name.clone())),
            AltName::Ip(address) => drop(wanted.1.insert(*address)),
            AltName::Uri(_) => {}
        }
    }
    wanted
}

/// A fresh key with its certificate and the published roots, and when the certificate ends.
pub(super) async fn issue(
    config: &IstiodTlsConfig,
    authority: &Authority,
    now: Timestamp,
) -> Result<(Entries, Timestamp), ServingError> {
    let signed = serving::sign(&config.names, config.ttl, authority, now).await?;
    let (serial, not_after) = (&signed.serial, signed.lifetime.not_after());
    // Nobody asked for it, so it stands in no record.
    tracing::info!(%serial, %not_after, names = ?config.names, secret = config.secret, "issued to istiod");
    let chain: String = signed.chain.iter().map(|der| pem::encode("CERTIFICATE", der)).collect();
    let texts = [
        (CERTIFICATE, Zeroizing::new(chain.into_bytes())),
        (KEY, Zeroizing::new(signed.key.to_pem().as_bytes().to_vec())),
        (ROOTS, Zeroizing::new(authority.roots_pem().as_bytes().to_vec())),
    ];
    Ok((texts.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(), not_after))
}
