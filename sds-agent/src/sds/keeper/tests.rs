//! Files that change in every way, and what is told of them meanwhile.

use super::*;
use crate::sds::secret::Content;
use crate::sds::view::{Found, RootsForm};
use signet_identity::Lifetime;
use signet_runtime::{Health, ShutdownTrigger, Tasks};
use signet_testkit::{IssuedLeaf, TempDir, TestCa};
use std::fs;
use std::path::Path;

struct Room {
    dir: TempDir,
    ca: TestCa,
    demands: Demands,
    views: ViewReader,
    health: Health,
    _trigger: ShutdownTrigger,
    _tasks: Tasks,
    _writer: crate::secrets::SecretWriter,
}

impl Room {
    fn new() -> Self {
        let dir = signet_testkit::temp_dir();
        let (writer, own) = crate::secrets::channel();
        let policy = Policy {
            trust_domain: "cluster.local".parse().unwrap(),
            federated: ["b.test".parse().unwrap()].into(),
            file_dirs: vec![dir.path().join("served")],
        };
        fs::create_dir_all(dir.path().join("served")).unwrap();
        fs::write(dir.path().join("b.pem"), TestCa::root("b.test").pem()).unwrap();
        let files = SdsFilesConfig {
            dirs: policy.file_dirs.clone(),
            system_roots: Some(dir.path().join("system.pem")),
            federated: [("b.test".parse().unwrap(), dir.path().join("b.pem"))].into(),
        };
        let (health, demands) = (Health::new(), Demands::new());
        let part = health.part("secrets");
        let (keeper, views) = Keeper::new(policy, files, own, &demands, Clock::system(), part, Metrics::new());
        let (trigger, shutdown) = Shutdown::new();
        let mut tasks = Tasks::new();
        tasks.start("secrets", keeper.run(shutdown));
        let ca = TestCa::root("cluster.local");
        Self { dir, ca, demands, views, health, _trigger: trigger, _tasks: tasks, _writer: writer }
    }

    fn leaf(&self) -> IssuedLeaf {
        let begin = Timestamp::from_unix_secs(1_700_000_000);
        let life = Lifetime::new(begin, begin.plus(Duration::from_secs(3600 * 24 * 3650))).unwrap();
        self.ca.leaf("spiffe://cluster.local/ns/shop/sa/web", life).issue()
    }

    fn served(&self) -> std::path::PathBuf {
        self.dir.path().join("served")
    }

    fn pair(&self) -> ResourceName {
        let dir = self.served();
        format!("file-cert:{0}/tls.crt~{0}/tls.key", dir.display()).parse().unwrap()
    }

    fn roots(&self, path: &Path) -> ResourceName {
        format!("file-root:{}", path.display()).parse().unwrap()
    }

    fn told(&self, name: &ResourceName) -> Option<String> {
        match self.views.current().find(name, RootsForm::Plain) {
            Found::Ready(secret) => Some(secret.version().as_str().to_owned()),
            _ => None,
        }
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "{what}");
    }

    fn remark(&self) -> Option<String> {
        self.health.remarks().into_iter().next().map(|(_, why)| why)
    }
}

/// Writes as the kubelet does.
fn swap(dir: &Path, leaf: &IssuedLeaf, generation: u32) {
    let data = dir.join(format!("..data-{generation}"));
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("tls.crt"), leaf.chain_pem()).unwrap();
    fs::write(data.join("tls.key"), leaf.key().to_pem().as_bytes()).unwrap();
    std::os::unix::fs::symlink(data.file_name().unwrap(), dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        if !dir.join(file).is_symlink() {
            std::os::unix::fs::symlink(Path::new("..data").join(file), dir.join(file)).unwrap();
        }
    }
}

fn version(leaf: &IssuedLeaf) -> String {
    let pair = crate::material::Pair::from_pem(leaf.chain_pem().as_bytes(), leaf.key().to_pem().as_bytes()).unwrap();
    pair.version().as_str().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_appears_late_is_told_when_it_appears_and_after_each_swap_of_its_volume() {
    let room = Room::new();
    let (dir, name) = (room.served(), room.pair());
    let _lease = room.demands.lease(name.clone()).unwrap();
    room.until("the trouble is told", || room.remark().is_some_and(|why| why.contains("No such file"))).await;
    assert_eq!(room.told(&name), None);
    for generation in 0..100 {
        let leaf = room.leaf();
        let wanted = Some(version(&leaf));
        swap(&dir, &leaf, generation);
        room.until("the new pair is told", || room.told(&name) == wanted).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_does_not_fit_is_never_told_and_the_last_good_one_stays() {
    let room = Room::new();
    let (dir, name) = (room.served(), room.pair());
    let (good, next) = (room.leaf(), room.leaf());
    fs::write(dir.join("tls.crt"), good.chain_pem()).unwrap();
    fs::write(dir.join("tls.key"), good.key().to_pem().as_bytes()).unwrap();
    let _lease = room.demands.lease(name.clone()).unwrap();
    room.until("the pair is told", || room.told(&name) == Some(version(&good))).await;
    // Renamed over, moved away, emptied, cut short: each in its turn.
    for broken in [next.chain_pem(), String::new(), good.chain_pem().replace("END", ""), room.ca.pem()] {
        let beside = dir.join("new");
        fs::write(&beside, &broken).unwrap();
        fs::rename(&beside, dir.join("tls.crt")).unwrap();
        room.until("the trouble is told", || room.remark().is_some()).await;
        assert_eq!(room.told(&name), Some(version(&good)), "{broken}");
        fs::write(dir.join("tls.crt"), good.chain_pem()).unwrap();
        room.until("the trouble is over", || room.remark().is_none()).await;
    }
    fs::rename(dir.join("tls.crt"), dir.join("away")).unwrap();
    room.until("the trouble is told", || room.remark().is_some()).await;
    assert_eq!(room.told(&name), Some(version(&good)));
    fs::write(dir.join("tls.crt"), next.chain_pem()).unwrap();
    fs::write(dir.join("tls.key"), next.key().to_pem().as_bytes()).unwrap();
    room.until("the next pair is told", || room.told(&name) == Some(version(&next))).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_leads_out_of_the_directories_is_not_followed() {
    let room = Room::new();
    let (inside, outside) = (room.served().join("roots.pem"), room.dir.path().join("outside.pem"));
    fs::write(&outside, room.ca.pem()).unwrap();
    std::os::unix::fs::symlink(&outside, &inside).unwrap();
    let name = room.roots(&inside);
    let _lease = room.demands.lease(name.clone()).unwrap();
    room.until("the trouble is told", || room.remark().is_some_and(|why| why.contains("leads out"))).await;
    assert_eq!(room.told(&name), None);
    fs::remove_file(&inside).unwrap();
    std::os::unix::fs::symlink("there.pem", &inside).unwrap();
    fs::write(room.served().join("there.pem"), room.ca.pem()).unwrap();
    room.until("the roots are told", || room.told(&name).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_plain_file_is_refused_without_waiting_for_it() {
    let room = Room::new();
    let name = room.roots(&room.served().join("pipe"));
    rustix::fs::mkfifoat(rustix::fs::CWD, room.served().join("pipe"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let _lease = room.demands.lease(name.clone()).unwrap();
    room.until("the trouble is told", || room.remark().is_some_and(|why| why.contains("not a regular file"))).await;
    fs::remove_file(room.served().join("pipe")).unwrap();
    fs::write(room.served().join("pipe"), vec![b'x'; 2 << 20]).unwrap();
    room.until("the trouble is told", || room.remark().is_some_and(|why| why.contains("more than"))).await;
}

#[tokio::test(start_paused = true)]
async fn roots_of_the_system_and_of_other_trust_domains_come_from_their_files() {
    let room = Room::new();
    let other = TestCa::root("b.test");
    fs::remove_file(room.dir.path().join("b.pem")).unwrap();
    fs::write(room.dir.path().join("system.pem"), format!("{}{}", room.ca.pem(), other.pem())).unwrap();
    let _lease = room.demands.lease(ResourceName::SystemRoots).unwrap();
    room.until("the system's roots are told", || room.told(&ResourceName::SystemRoots).is_some()).await;
    let name = "spiffe://b.test".parse().unwrap();
    assert_eq!(room.told(&name), None);
    fs::write(room.dir.path().join("b.pem"), other.pem()).unwrap();
    room.until("the other domain's roots are told", || room.told(&name).is_some()).await;
    let before = room.told(&name);
    let keys = signet_identity::SpiffeBundle::new(
        "b.test".parse().unwrap(),
        [TestCa::root("b.test").certificate()].into(),
        vec![],
    );
    fs::write(room.dir.path().join("b.pem"), keys.unwrap().to_json().to_string()).unwrap();
    room.until("a SPIFFE bundle is read as well", || room.told(&name) != before).await;
    let Found::Ready(secret) = room.views.current().find(&name, RootsForm::Any) else { panic!("not there") };
    assert!(matches!(secret.content(), Content::Domains(domains) if domains.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_not_read_and_not_forgotten_at_once() {
    let room = Room::new();
    let (dir, name) = (room.served(), room.pair());
    let (old, new) = (room.leaf(), room.leaf());
    swap(&dir, &old, 0);
    let lease = room.demands.lease(name.clone()).unwrap();
    room.until("the pair is told", || room.told(&name) == Some(version(&old))).await;
    drop(lease);
    tokio::time::sleep(LOOK_EVERY).await;
    swap(&dir, &new, 1);
    tokio::time::sleep(LOOK_EVERY * 5).await;
    assert_eq!(room.told(&name), Some(version(&old)));
    let _lease = room.demands.lease(name.clone()).unwrap();
    room.until("the new pair is told", || room.told(&name) == Some(version(&new))).await;
}
