//! Two programs with one authority in one Secret: both acting at once, one killed with `kill -9`, at every step of a
//! change of keys.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use signet_identity::{PrivateKey, TrustBundle};
use signet_kube_standin::ApiServer;
use signet_testkit::{TempDir, TokenIssuer, temp_dir};

use crate::killed::{in_phase, next_step, operator, overview};
use crate::kubernetes::token;
use crate::lab::{any_csr, certificates, now};
use crate::process::{Program, address, ask};
use crate::replicas::{cluster_of, entry, kept};

/// One replica's directory, program and address.
struct Replica {
    dir: TempDir,
    issuer: TokenIssuer,
    program: Program,
    listen: SocketAddr,
}

/// An API server in a runtime of its own, and the key of its tokens.
struct Bench {
    runtime: tokio::runtime::Runtime,
    cluster: ApiServer,
    key: PrivateKey,
}

fn copy(key: &PrivateKey) -> PrivateKey {
    PrivateKey::from_pkcs8(key.to_pkcs8()).unwrap()
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let key = PrivateKey::generate_p256().unwrap();
        let cluster = runtime.block_on(cluster_of(TokenIssuer::with_key(copy(&key))));
        Self { runtime, cluster, key }
    }

    /// Starts the program; `elect`: whether the Lease decides who leads, or both believe to.
    fn spawn(&self, dir: TempDir, elect: bool) -> (TempDir, TokenIssuer, Program) {
        let issuer = TokenIssuer::with_key(copy(&self.key));
        // Where the control socket is; nothing else is kept there.
        fs::create_dir_all(dir.path().join("state")).unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let ca = file("api-ca.crt", self.cluster.ca_pem());
        let bearer = file("api-token", &self.cluster.api_token("istio-system", "signet-ca"));
        let (url, elect) = (self.cluster.url(), elect.to_string());
        let flags = [
            ("--ledger.dir", "none"),
            ("--authority.secret", "istio-ca-secret"),
            ("--kubernetes.server", &url),
            ("--kubernetes.ca_file", &ca),
            ("--kubernetes.token_file", &bearer),
            ("--kubernetes.elect", &elect),
        ];
        let flags: Vec<&str> = flags.iter().flat_map(|(flag, value)| [*flag, *value]).collect();
        let program = Program::start_under(&[], dir.path(), &issuer, &flags);
        (dir, issuer, program)
    }

    fn serving(spawned: (TempDir, TokenIssuer, Program)) -> Replica {
        let (dir, issuer, mut program) = spawned;
        let listen = address(&program.wait_for("serving"), "listen");
        Replica { dir, issuer, program, listen }
    }

    fn start(&self, elect: bool) -> Replica {
        Self::serving(self.spawn(temp_dir(), elect))
    }

    /// The same replica again after its end.
    fn again(&self, replica: Replica, elect: bool) -> Replica {
        let Replica { dir, issuer, program, .. } = replica;
        drop((issuer, program));
        Self::serving(self.spawn(dir, elect))
    }

    fn roots(&self) -> String {
        entry(&kept(&self.cluster), "root-cert.pem")
    }

    /// A leaf of `replica` is trusted by what is published.
    fn check_issues(&self, replica: &Replica) {
        let (roots, bearer) = (self.roots(), token(&self.cluster));
        let deadline = Instant::now() + Duration::from_secs(10);
        let chain = loop {
            match self.runtime.block_on(ask(replica.listen, &roots, &bearer, &any_csr())) {
                Ok(chain) => break chain,
                // Its objects may not be listed yet.
                Err(status) => assert!(Instant::now() < deadline, "{status}"),
            }
            thread::sleep(Duration::from_millis(50));
        };
        let leaf = certificates(&chain[0]).remove(0);
        let bundle = TrustBundle::from_pem("cluster.local".parse().unwrap(), roots.as_bytes()).unwrap();
        bundle.verify([&leaf], now()).unwrap();
    }

    /// Waits until both say the same of every generation; gives it.
    fn agreed(&self, one: &Replica, other: &Replica) -> Value {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let [first, second] = [one, other].map(Replica::overview);
            let (ours, theirs) = (phases(&first), phases(&second));
            if ours == theirs && first["bundle"]["generation"] == second["bundle"]["generation"] {
                assert_eq!(in_phase(&first, "active").len(), 1, "{first:#}");
                return first;
            }
            assert!(Instant::now() < deadline, "they do not agree: {first:#} {second:#}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Replica {
    fn overview(&self) -> Value {
        overview(&self.dir.path().join("state"))
    }

    fn operator(&self, words: &[String]) -> std::process::Command {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        operator(&self.dir.path().join("state"), &words)
    }
}

fn phases(overview: &Value) -> Vec<(u64, String)> {
    let generations = overview["generations"].as_array().unwrap().iter();
    generations.map(|found| (found["id"].as_u64().unwrap(), found["phase"].as_str().unwrap().to_owned())).collect()
}

fn newest(overview: &Value) -> u64 {
    phases(overview).last().unwrap().0
}

#[test]
fn two_programs_that_race_at_every_step_are_left_with_one_authority() {
    let bench = Bench::new();
    let spawned = [(); 2].map(|()| bench.spawn(temp_dir(), false));
    let [one, other] = spawned.map(Bench::serving);
    for round in 0..12 {
        let before = bench.agreed(&one, &other);
        let words = next_step(&before);
        let mut asked = [&one, &other].map(|replica| replica.operator(&words).spawn().unwrap());
        // Either may lose the race, also after its step was written down; what counts is what both are left with.
        for asked in &mut asked {
            asked.wait().unwrap();
        }
        let after = bench.agreed(&one, &other);
        let made = newest(&after) - newest(&before);
        assert!(made <= u64::from(words[0] == "prepare"), "round {round}: one step makes one generation at most");
    }
    let after = bench.agreed(&one, &other);
    assert!(in_phase(&after, "active")[0] > 1, "keys should have changed meanwhile: {after:#}");
    bench.check_issues(&one);
    bench.check_issues(&other);
}

#[test]
fn a_program_that_is_killed_at_any_moment_of_a_step_leaves_what_the_other_goes_on_with() {
    let bench = Bench::new();
    let (mut one, mut other) = (bench.start(false), bench.start(false));
    for round in 0..16u64 {
        let before = bench.agreed(&one, &other);
        let words = next_step(&before);
        let mut asked = one.operator(&words).spawn().unwrap();
        thread::sleep(Duration::from_millis(round * 2));
        one.program.kill();
        asked.wait().unwrap();
        bench.check_issues(&other);
        // Whatever was reached, the other does the rest.
        let rest = next_step(&other.overview());
        other.operator(&rest).status().unwrap();
        one = bench.again(one, false);
        let after = bench.agreed(&one, &other);
        assert!(newest(&after) - newest(&before) <= 1, "round {round}: {after:#}");
        (one, other) = (other, one);
    }
    let after = bench.agreed(&one, &other);
    assert!(in_phase(&after, "active")[0] > 1, "keys should have changed meanwhile: {after:#}");
    bench.check_issues(&one);
}

#[test]
fn a_leader_that_is_killed_amid_a_change_is_followed_by_the_next_holder_of_the_lease() {
    let bench = Bench::new();
    let mut leader = bench.start(true);
    let follower = bench.start(true);
    let refused = follower.operator(&["prepare".to_owned()]).status().unwrap();
    assert_eq!(refused.code(), Some(2), "only the leader changes anything");
    assert!(leader.operator(&["prepare".to_owned()]).status().unwrap().success());
    let before = bench.agreed(&leader, &follower);
    assert_eq!(in_phase(&before, "published"), [2]);
    leader.program.kill();
    bench.check_issues(&follower);
    let activate = ["activate", "2", "--force"].map(str::to_owned);
    let deadline = Instant::now() + Duration::from_secs(40);
    while !follower.operator(&activate).status().unwrap().success() {
        assert!(Instant::now() < deadline, "the lease should be taken once it has run out");
        bench.check_issues(&follower);
        thread::sleep(Duration::from_millis(200));
    }
    let leader = bench.again(leader, true);
    let after = bench.agreed(&follower, &leader);
    assert_eq!(in_phase(&after, "active"), [2]);
    bench.check_issues(&follower);
    bench.check_issues(&leader);
}
