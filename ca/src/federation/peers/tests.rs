//! A peer's life without a network: what is told when, and what an operator can force.

use signet_identity::Certificate;
use signet_testkit::{TempDir, TestCa, temp_dir};

use super::*;

const START_MILLIS: i64 = 1_800_000_000_000;

struct World {
    dir: TempDir,
    clock: Clock,
    metrics: Metrics,
    health: Health,
    root: Certificate,
}

impl World {
    fn new() -> Self {
        let root = TestCa::root("other.example").certificate();
        let (dir, clock) = (temp_dir(), Clock::manual(START_MILLIS));
        Self { dir, clock, metrics: Metrics::new(), health: Health::new(), root }
    }

    fn peer(&self) -> Peer {
        let config = PeerConfig {
            trust_domain: "other.example".parse().unwrap(),
            url: Uri::from_static("https://other.example/"),
            profile: Profile::Web,
            bundle_file: None,
        };
        let (dir, roots) = (self.dir.path(), Path::new("/nonexistent"));
        let mut peers = Peers::open(vec![config], dir, roots, &self.clock, &self.metrics, &self.health).unwrap();
        peers.peers.remove(0)
    }

    fn bundle(&self, sequence: u64) -> SpiffeBundle {
        let bundle = SpiffeBundle::new("other.example".parse().unwrap(), vec![self.root.clone()], vec![]).unwrap();
        bundle.numbered(sequence, Duration::from_secs(60))
    }

    fn remarks(&self) -> Vec<String> {
        self.health.remarks().into_iter().map(|(_, remark)| remark).collect()
    }
}

/// The peer offers `bundle`.
fn offer(peer: &mut Peer, bundle: SpiffeBundle) -> Result<News, Rejection> {
    let judged = peer.judge(&bundle);
    peer.note(judged.map(|news| (bundle, news)).map_err(PollError::from));
    judged
}

fn silence(peer: &mut Peer) {
    peer.note(Err(PollError::Fetch(FetchError::Deadline)));
}

#[test]
fn silence_is_told_after_three_intervals_and_over_with_the_first_word() {
    let world = World::new();
    let mut peer = world.peer();
    assert_eq!(world.remarks(), Vec::<String>::new());
    silence(&mut peer);
    assert_eq!(world.remarks(), ["bundle of other.example was never read"]);
    offer(&mut peer, world.bundle(1)).unwrap();
    assert_eq!(world.remarks(), Vec::<String>::new());
    for minute in 1..=4 {
        world.clock.advance(Duration::from_secs(60));
        silence(&mut peer);
        assert_eq!(peer.is_stale, minute > 3, "after {minute} minutes");
    }
    assert!(world.remarks()[0].contains("was last confirmed at"));
    assert_eq!(peer.held, Some(world.bundle(1)), "what is held stays");
    offer(&mut peer, world.bundle(1)).unwrap();
    assert_eq!((world.remarks(), peer.is_stale), (Vec::new(), false));
}

#[test]
fn one_peer_is_told_apart_from_another() {
    let world = World::new();
    let remarks = Remarks::new(world.health.part("federation"));
    let [one, other] = ["a.example", "b.example"].map(|name| name.parse::<TrustDomain>().unwrap());
    remarks.set(&one, Some("one is stale".to_owned()));
    remarks.set(&other, Some("other is stale".to_owned()));
    assert_eq!(world.remarks(), ["one is stale; other is stale"]);
    remarks.set(&one, None);
    assert_eq!(world.remarks(), ["other is stale"]);
}

#[test]
fn an_operator_who_removes_the_file_accepts_an_older_bundle_without_a_restart() {
    let world = World::new();
    let mut peer = world.peer();
    offer(&mut peer, world.bundle(7)).unwrap();
    let back = Rejection::Backwards { held: 7, offered: 6 };
    assert_eq!(offer(&mut peer, world.bundle(6)), Err(back));
    assert_eq!(peer.held, Some(world.bundle(7)));
    std::fs::remove_file(&peer.path).unwrap();
    assert_eq!(offer(&mut peer, world.bundle(6)), Ok(News::Changed));
    assert_eq!(world.peer().held, Some(world.bundle(6)), "and it is kept");
}

#[test]
fn a_disk_that_keeps_nothing_is_no_wish_to_go_back() {
    let world = World::new();
    let mut peer = world.peer();
    peer.path = PathBuf::from("/dev/null/peer.json");
    offer(&mut peer, world.bundle(7)).unwrap();
    assert!(!peer.is_kept);
    assert!(offer(&mut peer, world.bundle(6)).is_err());
    assert_eq!(peer.held, Some(world.bundle(7)));
}

#[test]
fn questions_come_at_the_peers_interval_and_sooner_only_before_the_first_answer() {
    let world = World::new();
    let mut peer = world.peer();
    let waits: Vec<u64> = (0..10)
        .map(|_| {
            silence(&mut peer);
            peer.wait().as_secs()
        })
        .collect();
    assert!(waits[0] <= 3 && waits.windows(2).all(|pair| pair[1] + 40 >= pair[0]), "{waits:?}");
    assert!(waits[9] <= 300 && waits[9] >= 200, "{waits:?}");
    offer(&mut peer, world.bundle(1)).unwrap();
    silence(&mut peer);
    for _ in 0..100 {
        let wait = peer.wait();
        assert!(wait >= Duration::from_secs(54) && wait <= Duration::from_secs(60), "{wait:?}");
    }
}

#[test]
fn names_of_kept_files_stay_in_their_directory_and_within_what_a_name_may_be() {
    for name in ["..", ".", "a.example", &"x".repeat(255)] {
        let path = store::path(Path::new("/state"), &name.parse().unwrap());
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(path.parent() == Some(Path::new("/state")) && file.starts_with("peer-") && file.len() < 200, "{file}");
    }
}
