//! Generations kept in a Secret that all replicas share, beside the keys under which Istio keeps its own authority.
//!
//! Istio's keys always hold the generation that signs, so that istiod can take over again; what is ours stands beside
//! them. A Secret in which Istio's keys are not what we wrote, or in which a key is missing or exchanged, is refused as
//! a whole and never overwritten.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use signet_identity::bundle::BUNDLE_PEM_MAX_BYTES;
use signet_identity::{Certificate, PrivateKey, Timestamp, TrustDomain};
use signet_runtime::tasks::chain;
use zeroize::Zeroizing;

use super::journal;
use super::material::{Material, MaterialError};
use super::rotation::{Generation, Origin, Rotation};
use super::signing_key::Key;
use super::store::{Patience, StateError, Store};
use crate::shared::{Changes, Share, SharedError, SharedObject};

/// Istio's keys: the certificate that signs, its key, the roots, and what stands between.
const ISTIO_CERTIFICATE: &str = "ca-cert.pem";
const ISTIO_KEY: &str = "ca-key.pem";
const ISTIO_ROOTS: &str = "root-cert.pem";
const ISTIO_CHAIN: &str = "cert-chain.pem";

/// A key of Istio's that is always empty.
const ISTIO_EMPTY: &str = "key.pem";

/// Our entry that says which generations there are.
const JOURNAL: &str = "signet-state.json";

/// What our entries with generations begin and end with; between stands the number.
const MATERIAL: (&str, &str) = ("signet-authority-", ".pem");

/// How long a start waits for the API server, for a lease of a leader that was killed, and for a leader that makes the
/// first root; and how often it looks. With one request after it, the reason is told before a startup probe of a minute
/// ends the process.
pub(crate) const PATIENCE: Patience = Patience { deadline: Duration::from_secs(45), poll: Duration::from_millis(250) };

/// A Secret with generations.
pub(crate) struct SecretStore {
    share: Share,
    trust_domain: TrustDomain,
    /// The bundle before the first.
    numbered_from: u64,
    patience: Patience,
    /// Whether keys that are over could not be removed.
    is_sweep_due: bool,
}

impl SecretStore {
    /// Keeps generations in `object`. Bundles of a fresh one are numbered from `now`, so that one that was lost is not
    /// counted from the beginning again. A start waits as `patience` says, which is [`PATIENCE`] but for tests.
    pub(crate) fn new(
        object: Arc<dyn SharedObject>,
        trust_domain: TrustDomain,
        now: Timestamp,
        patience: Patience,
    ) -> Self {
        let numbered_from = u64::try_from(now.unix_secs()).unwrap_or(0);
        Self { share: Share::new(object), trust_domain, numbered_from, patience, is_sweep_due: false }
    }

    fn entry_of(id: u64) -> String {
        let (before, after) = MATERIAL;
        format!("{before}{id}{after}")
    }

    /// The material under our own entry.
    fn own(&self, id: u64, roots_pem: Option<&str>) -> Result<Option<Material>, StateError> {
        let name = Self::entry_of(id);
        let Some(text) = self.share.entry(&name) else { return Ok(None) };
        let place = self.share.place_of(&name);
        Material::from_pem(text, roots_pem).map(Some).map_err(|error| StateError::of_material(place, error))
    }

    /// The self-signed root under Istio's keys, with every other root that is published there.
    fn istios(&self) -> Result<Option<Material>, StateError> {
        let (key, certificate) = (self.share.entry(ISTIO_KEY), self.share.entry(ISTIO_CERTIFICATE));
        if key.is_none() && certificate.is_none() {
            return Ok(None);
        }
        let unusable = |name: &str, error| StateError::of_material(self.share.place_of(name), error);
        let certificates = self.istio_certificates()?;
        let (Some(key), Some(certificate)) = (key, certificates.first()) else {
            let (keys, certificates) = (usize::from(key.is_some()), certificates.len());
            return Err(StateError::Incomplete { path: self.share.place(), keys, certificates });
        };
        let is_own_issuer = certificate.authority_key_id().is_none_or(|id| certificate.subject_key_id() == Some(id));
        if !certificate.is_self_issued() || !is_own_issuer {
            return Err(StateError::NotRoot { place: self.share.place_of(ISTIO_CERTIFICATE) });
        }
        let key = PrivateKey::from_pem(key).map_err(|error| unusable(ISTIO_KEY, MaterialError::Key(error)))?;
        // After a rotation by Istio, the file of roots still holds the root before.
        let others = self.certificates(ISTIO_ROOTS)?;
        let others = others.iter().filter(|root| *root != certificate);
        let roots_pem = std::iter::once(certificate).chain(others).map(Certificate::to_pem).collect();
        Ok(Some(Material { key: Key::Held(key), certificate: certificate.clone(), middle: Vec::new(), roots_pem }))
    }

    fn istio_certificates(&self) -> Result<Vec<Certificate>, StateError> {
        self.certificates(ISTIO_CERTIFICATE)
    }

    /// The certificates in an entry; none where there is nothing.
    fn certificates(&self, name: &str) -> Result<Vec<Certificate>, StateError> {
        let Some(text) = self.share.entry(name).filter(|text| !text.trim_ascii().is_empty()) else {
            return Ok(Vec::new());
        };
        Certificate::list_from_pem(text, BUNDLE_PEM_MAX_BYTES)
            .map_err(|source| StateError::Certificate { path: self.share.place_of(name), source })
    }

    /// Whether something stands under Istio's keys.
    fn has_istios(&self) -> bool {
        [ISTIO_CERTIFICATE, ISTIO_KEY].iter().any(|name| self.share.entry(name).is_some())
    }

    /// Whether Istio's keys hold what `material` is made of.
    fn is_istios(&self, material: &Material) -> bool {
        let key = self.share.entry(ISTIO_KEY).and_then(|text| PrivateKey::from_pem(text).ok());
        let is_key = key.is_some_and(|key| Some(key.public()) == material.key.held().map(PrivateKey::public));
        is_key && self.istio_certificates().is_ok_and(|found| found.first() == Some(&material.certificate))
    }

    /// Every key that is still needed must be there, and Istio's keys must be one of them.
    fn check(&self, rotation: &Rotation) -> Result<(), StateError> {
        let live = rotation.generations().iter().filter(|found| !found.phase.is_over());
        let materials: Vec<Material> = live.map(|found| self.material(found)).collect::<Result<_, _>>()?;
        if self.has_istios() && !materials.is_empty() && !materials.iter().any(|material| self.is_istios(material)) {
            return Err(StateError::Exchanged { path: self.share.place_of(ISTIO_CERTIFICATE) });
        }
        Ok(())
    }

    fn set(changes: &mut Changes, name: &str, text: impl Into<Vec<u8>>) {
        changes.insert(name.to_owned(), Some(Zeroizing::new(text.into())));
    }

    /// What of Istio's keys has to change so that they hold `active`.
    fn istio_changes(&self, active: &Generation, roots_pem: &str) -> Result<Changes, StateError> {
        let material = self.material(active)?;
        let mut changes = Changes::new();
        if !self.is_istios(&material) {
            Self::set(&mut changes, ISTIO_CERTIFICATE, material.certificate.to_pem());
            // A key in a token is nobody's to write down.
            let key = material.key.held().map(PrivateKey::to_pem).unwrap_or_default();
            Self::set(&mut changes, ISTIO_KEY, key.as_bytes());
        }
        let chain: String = material.middle.iter().map(Certificate::to_pem).collect();
        for (name, text) in [(ISTIO_CHAIN, chain.as_str()), (ISTIO_EMPTY, ""), (ISTIO_ROOTS, roots_pem)] {
            Self::set(&mut changes, name, text);
        }
        Ok(changes)
    }
}

impl Store for SecretStore {
    fn leads(&mut self) -> Result<bool, StateError> {
        Ok(self.share.refresh()?)
    }

    fn has_changed(&mut self) -> bool {
        self.share.take_notice()
    }

    fn load(&self) -> Result<Option<Rotation>, StateError> {
        let path = self.share.place_of(JOURNAL);
        let Some(text) = self.share.entry(JOURNAL) else {
            let mut kept = self.share.names().filter(|name| name.starts_with(MATERIAL.0)).peekable();
            let is_kept = kept.peek().is_some();
            // The first one is kept before anything is written down, and Istio's keys are written after it.
            return if kept.any(|name| name != Self::entry_of(1)) || is_kept && self.has_istios() {
                Err(StateError::JournalLost { path })
            } else {
                Ok(None)
            };
        };
        match journal::read(text, &self.trust_domain) {
            Ok((trust_domain, _)) if trust_domain != self.trust_domain.as_str() => {
                Err(StateError::AnotherTrustDomain { path, trust_domain: self.trust_domain.clone() })
            }
            Ok((_, rotation)) => self.check(&rotation).map(|()| Some(rotation)),
            Err(source) => Err(StateError::Journal { path, source }),
        }
    }

    fn save(&mut self, rotation: &Rotation) -> Result<(), StateError> {
        let unwritable = |source| StateError::Journal { path: self.share.place_of(JOURNAL), source };
        let text = journal::write(rotation, &self.trust_domain).map_err(unwritable)?;
        let mut changes = Changes::new();
        Self::set(&mut changes, JOURNAL, text);
        // What was adopted gets an entry of its own before Istio's keys hold another.
        for found in rotation.generations().iter().filter(|found| !found.phase.is_over()) {
            let name = Self::entry_of(found.id);
            if self.share.entry(&name).is_none() {
                Self::set(&mut changes, &name, self.material(found)?.to_pem().as_bytes());
            }
        }
        Ok(self.share.change(changes)?)
    }

    fn keep(&mut self, id: u64, material: Material) -> Result<(), StateError> {
        let mut changes = Changes::new();
        Self::set(&mut changes, &Self::entry_of(id), material.to_pem().as_bytes());
        Ok(self.share.change(changes)?)
    }

    fn material(&self, generation: &Generation) -> Result<Material, StateError> {
        let roots_pem = (generation.origin == Origin::PluggedIn).then(|| generation.roots.pem());
        let path = self.place(generation.id);
        let found = match self.own(generation.id, roots_pem)? {
            Some(material) => Some(material),
            None => self.istios()?.filter(|found| found.content(generation.roots.ids()) == generation.content),
        };
        let material =
            found.ok_or_else(|| StateError::KeyLost { root: self.share.place(), authority: path.clone() })?;
        let is_whole = material.content(generation.roots.ids()) == generation.content
            && material.key.may_belong_to(material.certificate.public_key());
        if is_whole { Ok(material) } else { Err(StateError::Exchanged { path }) }
    }

    fn check_first(&self, plugged_in: Option<&Material>) -> Result<(), StateError> {
        if self.has_istios() && !plugged_in.is_some_and(|material| self.is_istios(material)) {
            return Err(StateError::AnotherAuthority { place: self.share.place_of(ISTIO_KEY) });
        }
        let list = |text: &str| Certificate::list_from_pem(text.as_bytes(), BUNDLE_PEM_MAX_BYTES).unwrap_or_default();
        let ours = plugged_in.map(|material| list(&material.roots_pem)).unwrap_or_default();
        let agrees = |published: &str| {
            let published = list(published);
            !published.is_empty() && published.iter().all(|root| ours.contains(root))
        };
        Ok(self.share.check_never_was(agrees)?)
    }

    fn unwritten(&self, id: u64) -> Result<Option<Material>, StateError> {
        let found = match self.own(id, None)? {
            None if self.share.entry(JOURNAL).is_none() => self.istios()?,
            found => found,
        };
        match found {
            // Istio's own roots name no trust domain as an id.
            Some(material)
                if !material.certificate.uris().is_empty()
                    && material.certificate.uris() != [self.trust_domain.id().as_str()] =>
            {
                Err(StateError::AnotherTrustDomain { path: self.place(id), trust_domain: self.trust_domain.clone() })
            }
            found => Ok(found),
        }
    }

    fn publish(&mut self, rotation: &Rotation, roots_pem: &str) -> Result<(), StateError> {
        let Some(active) = rotation.active() else { return Ok(()) };
        let changes = self.istio_changes(active, roots_pem)?;
        Ok(self.share.change(changes)?)
    }

    /// Removes keys of generations that are over. One that no journal ever named may be from a later backup, and stays.
    fn sweep(&mut self, rotation: &Rotation) -> bool {
        let (before, after) = MATERIAL;
        let id_of = |name: &str| name.strip_prefix(before)?.strip_suffix(after)?.parse::<u64>().ok();
        let is_over = |id: u64| {
            let found = rotation.get(id);
            id < rotation.next_id() && found.is_none_or(|generation| generation.phase.is_over())
        };
        let over = self.share.names().filter(|name| id_of(name).is_some_and(is_over));
        let changes: Changes = over.map(|name| (name.to_owned(), None)).collect();
        let swept = if changes.is_empty() { Ok(()) } else { self.share.change(changes) };
        match &swept {
            Err(error) if !self.is_sweep_due => {
                tracing::warn!(error = chain(&error), "keys that are over stay for now");
            }
            Err(error) => tracing::debug!(error = chain(&error), "keys that are over still stay"),
            Ok(()) => {}
        }
        self.is_sweep_due = swept.is_err();
        !self.is_sweep_due
    }

    fn place(&self, id: u64) -> PathBuf {
        self.share.place_of(&Self::entry_of(id))
    }

    fn numbered_from(&self) -> u64 {
        self.numbered_from
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn time(&self) -> Option<Timestamp> {
        self.share.time().map(Timestamp::from_unix_secs)
    }

    fn silence(&self) -> Duration {
        self.share.silence()
    }

    fn patience(&self) -> Patience {
        self.patience
    }
}

impl StateError {
    /// Whether it may be gone at the next attempt without anybody's doing.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Shared(error) => matches!(
                error,
                SharedError::Unreachable { .. } | SharedError::Conflict { .. } | SharedError::NotLeading { .. }
            ),
            Self::Unfit { source, .. } => source.is_passing(),
            _ => false,
        }
    }
}
