//! The story itself, one step after the other.

use std::time::Duration;

use tokio::task::JoinSet;

use super::error::DemoError;
use super::report::Report;
use super::rotations::Rotations;
use super::stage::{IDENTITY_TTL, Stage};
use super::traffic::Traffic;
use super::trials;
use crate::http;
use crate::secrets::Subscription;

/// Rotations of every identity that the story waits for.
const ROTATIONS_EACH: usize = 5;

/// How long the CA stays dead: longer than it takes until some renewal falls due, shorter than what is left then.
const CA_OUTAGE: Duration = Duration::from_millis(2500);

/// How long an agent stays dead.
const AGENT_OUTAGE: Duration = Duration::from_secs(1);

/// Seconds that one step may take.
const STEP_SECONDS: u64 = 30;

/// What goes on in the background while the story is told. Dropping it ends all of it.
struct Background {
    tasks: JoinSet<()>,
    rotations: Rotations,
    traffic: Traffic,
}

/// Tells it.
pub(crate) async fn tell(stage: &mut Stage, report: &mut Report) -> Result<(), DemoError> {
    let roots = start_ca(stage, report).await?;
    let mut background =
        Background { tasks: JoinSet::new(), rotations: Rotations::default(), traffic: Traffic::default() };
    start_agents(stage, report, &mut background).await?;
    start_envoys(stage, report, &mut background).await?;
    rotate(stage, report, &background, 1, "identities rotate under traffic").await?;
    kill_ca(stage, report, &background).await?;
    kill_agent(stage, report, &background).await?;
    refuse(stage, report, &roots).await?;
    rotate(stage, report, &background, ROTATIONS_EACH, "rotation went on through all of it").await?;
    conclude(stage, report, &background);
    Ok(())
}

async fn start_ca(stage: &mut Stage, report: &mut Report) -> Result<Vec<u8>, DemoError> {
    stage.start_ca()?;
    ca_ready(stage).await?;
    let roots = stage.until("the CA's roots", STEP_SECONDS, async || trials::read_roots(stage.ca_dir())).await?;
    stage.publish_roots(&roots)?;
    report.row("start signet-ca with an empty state directory", "ready, made its own root", "ready", true);
    Ok(roots)
}

async fn ca_ready(stage: &Stage) -> Result<(), DemoError> {
    stage
        .until("readiness of signet-ca", STEP_SECONDS, async || {
            let answer = http::get(stage.ca_admin, "/healthz/ready").await?;
            if answer.status == 200 { Ok(()) } else { Err(answer.body) }
        })
        .await
}

async fn start_agents(stage: &mut Stage, report: &mut Report, back: &mut Background) -> Result<(), DemoError> {
    stage.web.start_agent()?;
    stage.orders.start_agent()?;
    stage.intruder.start_agent()?;
    for workload in stage.workloads() {
        back.rotations.watch(&mut back.tasks, workload.account, workload.socket());
    }
    for workload in stage.workloads() {
        stage
            .until(&format!("the first identity of {}", workload.name()), STEP_SECONDS, async || {
                back.rotations.newest(workload.account).ok_or("not served yet".to_owned())
            })
            .await?;
    }
    report.row(
        "three agents show their tokens to the CA",
        &format!("each serves an identity that lives {} s", IDENTITY_TTL.as_secs()),
        "an identity for each",
        true,
    );
    Ok(())
}

async fn start_envoys(stage: &mut Stage, report: &mut Report, back: &mut Background) -> Result<(), DemoError> {
    stage.web.start_envoy()?;
    stage.orders.start_envoy()?;
    stage.intruder.start_envoy()?;
    for workload in stage.workloads() {
        let what = format!("Envoy of {}", workload.name());
        stage.until(&what, STEP_SECONDS, async || workload.admin.is_live().await).await?;
    }
    let answer = http::get(stage.web.address(), "/orders/7").await;
    let (caller, server) = answer.map_or_else(
        |reason| (reason, String::new()),
        |answer| (answer.header("x-peer").to_owned(), answer.header("x-upstream-peer").to_owned()),
    );
    let ok = caller == stage.web.id() && server == stage.orders.id();
    report.row(
        "shop/web calls shop/orders, Envoy to Envoy, mutual TLS",
        &format!("server saw {caller} client saw {server}"),
        "each sees the other's id",
        ok,
    );
    back.traffic.start(&mut back.tasks, stage.web.address());
    Ok(())
}

async fn rotate(
    stage: &Stage,
    report: &mut Report,
    back: &Background,
    each: usize,
    tried: &str,
) -> Result<(), DemoError> {
    let counts = || stage.workloads().map(|workload| back.rotations.of(workload.account));
    stage
        .until(&format!("{each} rotation(s) of every identity"), STEP_SECONDS, async || {
            let now = counts();
            if now.iter().all(|count| *count >= each) { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await?;
    let seen = back.traffic.seen();
    let [web, orders, intruder] = counts();
    report.row(
        tried,
        &format!(
            "web {web}, orders {orders}, intruder {intruder} times; {} requests, {} failed",
            seen.requests, seen.failed
        ),
        &format!("at least {each} each, 0 failed"),
        seen.failed == 0,
    );
    Ok(())
}

async fn kill_ca(stage: &mut Stage, report: &mut Report, back: &Background) -> Result<(), DemoError> {
    let before = back.traffic.seen();
    if let Some(ca) = &mut stage.ca {
        ca.kill().await?;
    }
    tokio::time::sleep(CA_OUTAGE).await;
    let newcomer = new_subscriber(stage).await;
    let during = back.traffic.seen();
    let failed = during.failed - before.failed;
    report.row(
        &format!("kill -9 signet-ca, leave it dead for {:.1} s", CA_OUTAGE.as_secs_f64()),
        &format!("{} requests, {failed} failed; a new SDS client: {newcomer}", during.requests - before.requests),
        "0 failed, new client served",
        failed == 0 && newcomer == "served",
    );
    let rotated = stage.workloads().map(|workload| back.rotations.of(workload.account));
    stage.start_ca()?;
    ca_ready(stage).await?;
    stage
        .until("rotations after the CA's return", STEP_SECONDS, async || {
            let now = stage.workloads().map(|workload| back.rotations.of(workload.account));
            if now.iter().zip(rotated).all(|(now, then)| *now > then) { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await?;
    report.figures.ca_kills += 1;
    let failed = back.traffic.seen().failed - before.failed;
    report.row(
        "restart signet-ca on the same state",
        &format!("every identity rotated again under the same root, {failed} requests failed"),
        "rotation resumes",
        failed == 0,
    );
    Ok(())
}

/// Asks as a proxy would that starts while the CA is away.
async fn new_subscriber(stage: &Stage) -> &'static str {
    let ask = async { Subscription::open(&stage.web.socket(), "default").await?.next().await };
    match tokio::time::timeout(Duration::from_secs(1), ask).await {
        Ok(Ok(_)) => "served",
        Ok(Err(_)) => "refused",
        Err(_) => "not answered",
    }
}

async fn kill_agent(stage: &mut Stage, report: &mut Report, back: &Background) -> Result<(), DemoError> {
    let before = back.traffic.seen();
    if let Some(agent) = &mut stage.web.agent {
        agent.kill().await?;
    }
    tokio::time::sleep(AGENT_OUTAGE).await;
    let held = stage.web.admin.leaf_serial().await;
    stage.web.start_agent()?;
    stage
        .until("Envoy's new identity from the restarted agent", STEP_SECONDS, async || {
            let now = stage.web.admin.leaf_serial().await;
            if now.is_some() && now != held { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await?;
    report.figures.agent_kills += 1;
    let after = back.traffic.seen();
    let failed = after.failed - before.failed;
    report.row(
        "kill -9 the agent of shop/web, restart it",
        &format!(
            "Envoy kept its identity, then took a new one; {} requests, {failed} failed",
            after.requests - before.requests
        ),
        "0 failed",
        failed == 0,
    );
    Ok(())
}

async fn refuse(stage: &Stage, report: &mut Report, roots: &[u8]) -> Result<(), DemoError> {
    let plaintext = trials::plaintext(stage).await?;
    report.row("plain HTTP to shop/orders", &plaintext.happened, "no answer", plaintext.refused);
    report.figures.plaintext_refused = plaintext.refused;

    let intruder = trials::intruder(stage).await?;
    let tried = "sandbox/intruder calls shop/orders with its own valid identity";
    report.row(tried, &intruder.happened, "refused by name", intruder.refused);
    report.figures.intruder_refused = intruder.refused;

    let expired = trials::expired_token(stage, roots).await?;
    let tried = "ask the CA with a token that expired an hour ago";
    report.row(tried, &expired.happened, "Unauthenticated", expired.refused);
    report.figures.expired_token_refused = expired.refused;
    Ok(())
}

fn conclude(stage: &Stage, report: &mut Report, back: &Background) {
    let seen = back.traffic.seen();
    for failure in &seen.failures {
        crate::output::talk(&format!("failed request: {failure}"));
    }
    let peers: Vec<String> = seen.callers.iter().chain(&seen.servers).cloned().collect();
    let figures = &mut report.figures;
    figures.requests = seen.requests;
    figures.failed = seen.failed;
    figures.rotations = back.rotations.total();
    figures.rotations_by_identity =
        stage.workloads().iter().map(|workload| (workload.name(), back.rotations.of(workload.account))).collect();
    figures.peer_identities = peers.clone();
    let ok = seen.failed == 0 && seen.requests > 0 && peers == [stage.web.id(), stage.orders.id()];
    report.row(
        "all requests of the whole run",
        &format!("{} requests, {} failed; peers seen: {}", seen.requests, seen.failed, peers.join(" ")),
        "0 failed, only these two peers",
        ok,
    );
}
