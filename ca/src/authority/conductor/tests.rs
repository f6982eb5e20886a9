//! Rotation put into effect on a real directory, in simulated time: whatever happens, every leaf verifies for as long
//! as it lives.

use std::path::PathBuf;

use signet_identity::der::AltName;
use signet_identity::{Certificate, PrivateKey};
use signet_runtime::files;
use signet_runtime::tasks::chain;
use signet_testkit::{TempDir, memory_dir};

use super::*;
use crate::authority::journal;
use crate::authority::plugged_in::Keys;
use crate::authority::rotation::{PublishedRoot, Readiness};
use crate::authority::secret_store::SecretStore;
use crate::authority::self_signed::RootKey;
use crate::authority::store::Patience;
use crate::profile::serving_leaf;
use crate::shared::fake::Fake;

mod crashes;
mod hundred;
mod istio;
mod key_types;
mod late;
mod plugged_in;
mod replicas;
mod store;

/// Who comes to the help of a start that waits does so before it looks again.
const IMPATIENCE: Patience = Patience { deadline: Duration::from_millis(20), poll: Duration::from_millis(1) };

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Most time that a look credits to a root.
const TICK: Duration = Duration::from_secs(600);
const CALM_TICK: Duration = Duration::from_secs(4 * 3600);

const LEAF_MAX: Duration = Duration::from_secs(6 * 3600);
const ROOT_TTL: Duration = Duration::from_secs(4 * 86_400);
const OWN_ROOTS: OwnRoots = OwnRoots { key: RootKey::P256, ttl: ROOT_TTL };

fn start() -> Timestamp {
    Timestamp::from_unix_secs(1_800_000_000)
}

fn trust_domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn policy() -> Policy {
    let (min_wait, deadline, keep_old) = (HOUR, 2 * HOUR, HOUR);
    Policy { automatic: true, leaf_max: LEAF_MAX, min_wait, deadline, keep_old, ..Policy::by_hand() }
}

/// A leaf that was given out.
struct Given {
    leaf: Certificate,
    generation: u64,
}

/// An authority in a directory, its clock, and everything that it ever signed or published.
struct World {
    dir: TempDir,
    now: Timestamp,
    conductor: Option<Conductor>,
    given: Vec<Given>,
    /// Bundles with the instant until which some verifier may have had no later one.
    bundles: Vec<(Timestamp, Arc<Published>)>,
    directory: Option<PathBuf>,
    /// Whether a root is made where nothing is plugged in.
    makes_roots: bool,
    root_key: RootKey,
    /// What replicas share, where generations are kept in it and not in the directory.
    shared: Option<Arc<Fake>>,
    policy: Policy,
}

impl World {
    fn new() -> Self {
        Self {
            dir: memory_dir(),
            now: start(),
            conductor: None,
            given: Vec::new(),
            bundles: Vec::new(),
            directory: None,
            makes_roots: true,
            root_key: RootKey::P256,
            shared: None,
            policy: policy(),
        }
    }

    /// With an authority plugged in, in a directory that the caller keeps.
    fn plugged_in(directory: &Path) -> Self {
        Self { directory: Some(directory.to_owned()), makes_roots: false, ..Self::new() }
    }

    /// Generations are kept in what replicas share.
    fn shared() -> Self {
        Self { shared: Some(Arc::default()), ..Self::new() }
    }

    fn store(&self) -> Box<dyn Store> {
        match &self.shared {
            Some(shared) => Box::new(SecretStore::new(shared.seat(), trust_domain(), self.now, IMPATIENCE)),
            None => Box::new(self.state_dir()),
        }
    }

    fn state_dir(&self) -> StateDir {
        StateDir::new(self.dir.path(), trust_domain())
    }

    /// Starts as a process would. The one before must have ended.
    fn start_on(&mut self, store: Box<dyn Store>) -> Result<(), AuthorityError> {
        self.conductor = None;
        let directory = self.directory.as_deref().map(|dir| Directory::new(dir, Keys::Beside));
        let own_roots = self.makes_roots.then_some(OwnRoots { key: self.root_key, ..OWN_ROOTS });
        let mut conductor = Conductor::new(store, trust_domain(), self.policy.clone(), own_roots, directory);
        conductor.start(self.now)?;
        self.conductor = Some(conductor);
        Ok(())
    }

    fn restart(&mut self) {
        self.conductor = None;
        self.start_on(self.store()).expect("it should start");
    }

    fn conductor(&mut self) -> &mut Conductor {
        self.conductor.as_mut().unwrap()
    }

    fn authority(&self) -> Arc<Authority> {
        self.conductor.as_ref().unwrap().authority().unwrap().clone()
    }

    fn wish(&mut self, wish: Wish) -> Result<(), WishError> {
        let now = self.now;
        self.conductor().wish(wish, now, Watching::default())
    }

    fn look(&mut self, served: Duration) -> Result<(), StateError> {
        let now = self.now;
        self.conductor().look(now, served, Watching::default())
    }

    /// Lets time pass, look by look; at each, leaves are given out and all are judged.
    fn pass(&mut self, span: Duration, tick: Duration) {
        let until = self.now.plus(span);
        while self.now < until {
            self.now = self.now.plus(tick);
            self.look(tick).unwrap();
            self.give_and_judge();
        }
    }

    /// One look at the next instant that matters: soon while a root is on its way, later while none is.
    fn tick(&mut self) -> Result<(), StateError> {
        let is_calm = self.conductor().rotation.roots().values().all(|root| root.is_known);
        let tick = if is_calm { CALM_TICK } else { TICK };
        self.now = self.now.plus(tick);
        self.look(tick)
    }

    fn phases(&self) -> String {
        let generations = self.conductor.as_ref().unwrap().rotation.generations();
        let live = generations.iter().filter(|found| !found.phase.is_over());
        live.map(|found| format!("{}:{}", found.id, found.phase)).collect::<Vec<_>>().join(" ")
    }

    /// Signs a leaf as long as one can be, and judges everything that lives.
    fn give_and_judge(&mut self) {
        let authority = self.authority();
        let published = authority.published().clone();
        self.note_bundle(&published);
        let leaf = self.sign(&authority);
        let roots_file = self.roots_file();
        assert!(verifies(&leaf, &roots_file, self.now), "signed under a root that is not published");
        for (_, bundle) in &self.bundles {
            assert!(verifies(&leaf, &bundle.roots, self.now), "signed under a root that is not known everywhere");
        }
        let generation = authority.generation();
        self.given.push(Given { leaf, generation });
        self.judge(&published);
    }

    fn note_bundle(&mut self, published: &Arc<Published>) {
        let (now, deadline) = (self.now, self.policy.deadline);
        match self.bundles.last_mut() {
            Some((until, last)) if last.generation == published.generation => *until = now.plus(deadline),
            _ => self.bundles.push((now.plus(deadline), published.clone())),
        }
        self.bundles.retain(|(until, _)| *until > now);
    }

    /// Signs a leaf, whatever is written down.
    fn sign_only(&self, authority: &Authority) -> Certificate {
        let key = PrivateKey::generate_p256().unwrap();
        let names = [AltName::Uri("spiffe://cluster.local/ns/shop/sa/web".to_owned())];
        let template = serving_leaf(&names, key.public(), self.policy.leaf_max, authority, self.now).unwrap();
        Certificate::from_der(&authority.signing.sign_waiting(&template).unwrap().der).unwrap()
    }

    fn sign(&self, authority: &Authority) -> Certificate {
        let leaf = self.sign_only(authority);
        let written = match &self.shared {
            Some(shared) => {
                let entries = shared.snapshot().unwrap().entries;
                Some(journal::read(&entries["signet-state.json"], &trust_domain()).unwrap().1)
            }
            None => self.state_dir().load().unwrap(),
        };
        let horizon = written.unwrap().get(authority.generation()).unwrap().horizon;
        assert!(horizon >= Some(leaf.lifetime().not_after()), "a leaf lives beyond the horizon that is written down");
        leaf
    }

    /// Every leaf within its life verifies by what is published now, unless its generation was revoked.
    fn judge(&mut self, published: &Published) {
        let now = self.now;
        self.given.retain(|given| given.leaf.lifetime().contains(now));
        let revoked = |id: u64| {
            let found = self.conductor.as_ref().unwrap().rotation.get(id);
            found.is_some_and(|found| found.phase == Phase::Revoked)
        };
        for given in self.given.iter().filter(|given| !revoked(given.generation)) {
            let bundle = published.generation;
            assert!(
                verifies(&given.leaf, &published.roots, now),
                "bundle {bundle} lost generation {}",
                given.generation
            );
        }
    }

    fn roots_file(&self) -> TrustBundle {
        if let Some(shared) = &self.shared {
            let text = shared.snapshot().unwrap().entries["root-cert.pem"].clone();
            return TrustBundle::from_pem(trust_domain(), &text).unwrap();
        }
        let text = files::read(&self.dir.path().join("root-cert.pem"), BUNDLE_PEM_MAX_BYTES).unwrap();
        TrustBundle::from_pem(trust_domain(), &text).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The generations whose keys are kept.
    fn keys(&self) -> BTreeSet<u64> {
        let names = match &self.shared {
            Some(shared) => shared.snapshot().unwrap().entries.into_keys().collect(),
            None => self.names(),
        };
        let id = |name: &String| {
            let name = name.strip_prefix("signet-").unwrap_or(name).strip_suffix(".pem")?;
            if name == "authority" { Some(1) } else { name.strip_prefix("authority-")?.parse().ok() }
        };
        names.iter().filter_map(id).collect()
    }

    fn root_of(&self, id: u64) -> PublishedRoot {
        let rotation = &self.conductor.as_ref().unwrap().rotation;
        let root = rotation.get(id).unwrap().roots.ids().next().unwrap();
        rotation.roots()[root]
    }
}

fn verifies(leaf: &Certificate, roots: &TrustBundle, now: Timestamp) -> bool {
    roots.verify([leaf], now).is_ok()
}
