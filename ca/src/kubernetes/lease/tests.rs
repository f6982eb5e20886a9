//! Who leads, through races, deaths and outages.

use std::time::Duration;

use signet_kube_standin::{ApiServer, Effect, Options, namespace};
use signet_runtime::ShutdownTrigger;
use signet_testkit::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::kubernetes::administrator::administrator;

const TIMES: LeaseTimes = LeaseTimes {
    duration: Duration::from_secs(2),
    margin: Duration::from_millis(800),
    look: Duration::from_millis(100),
};

struct Replica {
    leadership: Leadership,
    trigger: ShutdownTrigger,
    running: JoinSet<Result<(), Infallible>>,
    _dir: TempDir,
}

impl Replica {
    async fn start(server: &ApiServer) -> Self {
        Self::start_with(server, TIMES).await
    }

    async fn start_with(server: &ApiServer, times: LeaseTimes) -> Self {
        let (client, dir) = administrator(server, Duration::from_millis(300)).await;
        let identity = Holder::new("signet-ca").unwrap();
        let (elector, leadership) = Elector::new(client, "istio-system", "signet-ca", identity, times, Clock::system());
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(elector.run(shutdown));
        Self { leadership, trigger, running, _dir: dir }
    }

    fn leads(&self) -> bool {
        self.leadership.holds()
    }

    /// As `kill -9`: nothing is given back.
    fn kill(mut self) {
        self.running.abort_all();
    }

    async fn stop(mut self) {
        self.trigger.trigger();
        self.running.join_next().await.unwrap().unwrap().unwrap();
    }
}

async fn server() -> ApiServer {
    let server = ApiServer::start(Options { tls: false, ..Options::default() }).await;
    server.objects().create(&namespace("istio-system"));
    server
}

async fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn of_many_that_start_at_once_one_leads() {
    let server = server().await;
    let mut replicas = Vec::new();
    for _ in 0..5 {
        replicas.push(Replica::start(&server).await);
    }
    until("one leads", || replicas.iter().any(Replica::leads)).await;
    let began = Instant::now();
    while began.elapsed() < TIMES.duration {
        assert!(replicas.iter().filter(|replica| replica.leads()).count() <= 1, "two lead");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(replicas.iter().filter(|replica| replica.leads()).count(), 1);
    let lease = server.objects().get("leases", "istio-system", "signet-ca").unwrap();
    assert_eq!((&lease["spec"]["leaseTransitions"], &lease["spec"]["leaseDurationSeconds"]), (&0.into(), &2.into()));
}

#[tokio::test]
async fn a_leader_that_stops_is_followed_at_once_and_one_that_is_killed_after_its_time() {
    let server = server().await;
    let first = Replica::start(&server).await;
    until("the first leads", || first.leads()).await;
    let second = Replica::start(&server).await;
    let third = Replica::start(&server).await;
    first.stop().await;
    let took = until("another leads", || second.leads() || third.leads()).await;
    assert!(took < TIMES.duration, "{took:?}");

    let (leader, follower) = if second.leads() { (second, third) } else { (third, second) };
    leader.kill();
    let took = until("the last leads", || follower.leads()).await;
    assert!(took + TIMES.look * 3 >= TIMES.duration, "a lease was taken before its time: {took:?}");
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_before_anybody_else_can_begin() {
    let mut server = server().await;
    let leader = Replica::start(&server).await;
    until("it leads", || leader.leads()).await;
    server.stop().await;
    let took = until("it leads no more", || !leader.leads()).await;
    assert!(took <= TIMES.duration - TIMES.margin + Duration::from_millis(200), "{took:?}");
    server.resume().await;
    until("it leads again", || leader.leads()).await;
}

#[tokio::test]
async fn a_short_outage_costs_nobody_the_lead() {
    let server = server().await;
    let leader = Replica::start(&server).await;
    until("it leads", || leader.leads()).await;
    server.faults().times(2, Effect::Status(500), |seen| seen.path.contains("leases"));
    server.faults().times(1, Effect::Status(429), |seen| seen.path.contains("leases"));
    let began = Instant::now();
    while began.elapsed() < TIMES.duration {
        assert!(leader.leads());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_holders_wrong_clock_changes_nothing() {
    let server = server().await;
    let leader = Replica::start(&server).await;
    until("it leads", || leader.leads()).await;
    server.objects().edit("leases", "istio-system", "signet-ca", |lease| {
        lease["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z".into();
    });
    let other = Replica::start(&server).await;
    let began = Instant::now();
    while began.elapsed() < TIMES.duration {
        assert!(!other.leads());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(leader.leads());
}

#[tokio::test]
async fn who_is_alone_leads() {
    assert!(Leadership::alone().holds());
}
