//! What can be told at one moment: the answer to every name, each on its own.
//!
//! Pure, and made once for all streams when something changes. A name is answered with its secret, or not yet, or
//! refused with the reason; what one name is answered never depends on another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use signet_identity::{Svid, TrustBundle, TrustDomain};

use crate::config::Config;
use crate::material::Anchors;
use crate::sds::ResourceName;
use crate::sds::name::{FilePair, FilePath};
use crate::sds::secret::{Content, DomainRoots, Held, Secret};
use crate::secrets::{Snapshot, Version, Versioned};

/// Who may be told what, as far as it is known beforehand.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The trust domain of the workload.
    pub trust_domain: TrustDomain,
    /// Other trust domains whose peers are trusted.
    pub federated: BTreeSet<TrustDomain>,
    /// Directories below which files may be named.
    pub file_dirs: Vec<PathBuf>,
}

impl Policy {
    /// What the settings say.
    pub fn of(config: &Config) -> Self {
        let files = &config.sds.files;
        Self {
            trust_domain: config.identity.trust_domain.clone(),
            federated: files.federated.keys().cloned().collect(),
            file_dirs: files.dirs.clone(),
        }
    }
}

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// There is no such name.
    #[error("there is no such secret")]
    Unknown,
    /// An identity that is not the workload's.
    #[error("is not the identity of this workload")]
    NotYours,
    /// A file outside the directories that are served.
    #[error("is outside the directories of `sds.file_dirs`")]
    Outside,
    /// Several trust domains in one set would each vouch for all.
    #[error("needs the SPIFFE validator, which this proxy has turned off")]
    NeedsValidator,
}

/// In which form a proxy wants roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RootsForm {
    /// It does not say: for several trust domains apart from each other, for one plain.
    #[default]
    Any,
    /// Plain, as `trusted_ca`.
    Plain,
    /// For Envoy's SPIFFE validator.
    Spiffe,
}

/// The answer to a name.
#[derive(Debug, Clone)]
pub enum Found {
    /// The secret as it is now.
    Ready(Secret),
    /// It may come.
    Absent,
    /// It never comes.
    Refused(Refusal),
}

/// What was found of names that are looked for only when somebody asks, and of other trust domains' roots.
pub type Shelf = BTreeMap<ResourceName, Held>;

/// Everything that can be told at one moment.
#[derive(Debug)]
pub struct View {
    policy: Arc<Policy>,
    svid: Option<Versioned<Svid>>,
    /// Own and other trust domains, each plain and for the SPIFFE validator.
    domains: BTreeMap<TrustDomain, Forms>,
    all: Option<Held>,
    shelf: Shelf,
}

#[derive(Debug)]
struct Forms {
    plain: Held,
    spiffe: Held,
}

impl View {
    /// What follows from the identity and its roots, and from what stands on the shelf.
    pub fn new(policy: Arc<Policy>, own: Snapshot, shelf: Shelf) -> Self {
        let mut domains = BTreeMap::new();
        if let Some(bundle) = &own.bundle {
            domains.insert(policy.trust_domain.clone(), forms_of(bundle));
        }
        for domain in &policy.federated {
            if let Some(plain) = shelf.get(&ResourceName::TrustDomain(domain.clone())) {
                domains.extend(forms(domain, plain).map(|forms| (domain.clone(), forms)));
            }
        }
        // Without its own roots a workload would refuse its own mesh; then it is better not told anything yet.
        let all = domains.contains_key(&policy.trust_domain).then(|| all_of(&domains));
        Self { policy, svid: own.svid, domains, all, shelf }
    }

    /// The answer to `name`, with roots in the form that is wanted.
    pub fn find(&self, name: &ResourceName, form: RootsForm) -> Found {
        let held = match self.held(name, form) {
            Ok(held) => held,
            Err(refusal) => return Found::Refused(refusal),
        };
        held.map_or(Found::Absent, |held| Found::Ready(Secret::new(name.clone(), held)))
    }

    fn held(&self, name: &ResourceName, form: RootsForm) -> Result<Option<Held>, Refusal> {
        let own = &self.policy.trust_domain;
        Ok(match name {
            ResourceName::Default => self.identity(),
            ResourceName::Identity(id) => match &self.svid {
                Some(svid) if svid.content().id() == id => self.identity(),
                None if id.is_member_of(own) => None,
                _ => return Err(Refusal::NotYours),
            },
            ResourceName::RootCa => match form {
                RootsForm::Any if self.policy.federated.is_empty() => self.roots(own, RootsForm::Plain),
                RootsForm::Any | RootsForm::Spiffe => self.all.clone(),
                RootsForm::Plain => self.roots(own, form),
            },
            ResourceName::AllRoots if form == RootsForm::Plain => return Err(Refusal::NeedsValidator),
            ResourceName::AllRoots => self.all.clone(),
            ResourceName::TrustDomain(domain) if domain == own || self.policy.federated.contains(domain) => {
                self.roots(domain, form)
            }
            ResourceName::TrustDomain(_) => return Err(Refusal::Unknown),
            ResourceName::FileRoots(path) => self.file(name, [path])?,
            ResourceName::FilePair(FilePair { chain, key }) => self.file(name, [chain, key])?,
            ResourceName::SystemRoots => self.shelf.get(name).cloned(),
        })
    }

    fn identity(&self) -> Option<Held> {
        let svid = self.svid.as_ref()?;
        Some(Held { content: Content::Identity(svid.shared()), version: svid.version().clone() })
    }

    /// The roots of one trust domain; only a proxy that says so gets them plain.
    fn roots(&self, domain: &TrustDomain, form: RootsForm) -> Option<Held> {
        let forms = self.domains.get(domain)?;
        Some(if form == RootsForm::Plain { forms.plain.clone() } else { forms.spiffe.clone() })
    }

    fn file<const N: usize>(&self, name: &ResourceName, paths: [&FilePath; N]) -> Result<Option<Held>, Refusal> {
        let is_inside = |path: &FilePath| self.policy.file_dirs.iter().any(|dir| path.as_path().starts_with(dir));
        if paths.into_iter().all(is_inside) { Ok(self.shelf.get(name).cloned()) } else { Err(Refusal::Outside) }
    }
}

fn forms_of(bundle: &Versioned<TrustBundle>) -> Forms {
    let (domain, version) = (bundle.content().trust_domain(), bundle.version());
    let anchors = Anchors::of(bundle.content());
    let spiffe = domains(vec![(DomainRoots { domain: domain.clone(), pem: anchors.pem().into() }, version.clone())]);
    Forms { plain: Held { content: Content::Anchors(Arc::new(anchors)), version: version.clone() }, spiffe }
}

fn forms(domain: &TrustDomain, plain: &Held) -> Option<Forms> {
    let Content::Anchors(anchors) = &plain.content else { return None };
    let roots = DomainRoots { domain: domain.clone(), pem: anchors.pem().into() };
    Some(Forms { plain: plain.clone(), spiffe: domains(vec![(roots, plain.version.clone())]) })
}

fn all_of(forms: &BTreeMap<TrustDomain, Forms>) -> Held {
    let parts = forms.values().filter_map(|forms| match &forms.spiffe.content {
        Content::Domains(roots) => Some((roots.first()?.clone(), forms.plain.version.clone())),
        _ => None,
    });
    domains(parts.collect())
}

/// Roots of some trust domains; the version tells them from the same roots in plain form.
fn domains(parts: Vec<(DomainRoots, Version)>) -> Held {
    let words = parts.iter().flat_map(|(roots, version)| [roots.domain.as_str(), version.as_str()]);
    let version = Version::of(words.map(str::as_bytes));
    Held { content: Content::Domains(parts.into_iter().map(|(roots, _)| roots).collect()), version }
}

#[cfg(test)]
mod tests;
