//! What the agent costs: time from exec to the first secret, resident memory idle and with many streams, the latter
//! beside a bare gRPC server that holds the same streams in the same run.
//!
//! Prints a table; with `--json` also one last line of JSON. Needs release builds of `sds-agent` and `signet-ca`.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

mod bare;
mod figures;
mod programs;
mod streams;

use figures::{Figures, median};
use programs::{Bench, Running};

/// Starts measured for the time to the first secret.
const STARTS: usize = 20;

/// Runs measured for memory.
const MEMORY_RUNS: usize = 3;

/// Streams held open.
const STREAMS: usize = 1000;

/// Connections that carry them.
const CONNECTIONS: usize = 10;

/// Bytes by which one proxy's first message describes the proxy: Envoy's own does so in some 61,000.
const NODE_BYTES: usize = 61_000;

/// Time for memory to settle before it is read.
const SETTLE: Duration = Duration::from_millis(500);

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let [mode, socket] = arguments.as_slice()
        && mode == bare::MODE
    {
        return runtime.block_on(bare::serve(&PathBuf::from(socket)));
    }
    let figures = runtime.block_on(measure())?;
    let mut out = std::io::stdout().lock();
    write!(out, "{figures}")?;
    if arguments.iter().any(|argument| argument == "--json") {
        writeln!(out, "{}", figures.json())?;
    }
    Ok(())
}

async fn measure() -> Fallible<Figures> {
    let bench = Bench::prepare().await?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let (agent, took) = bench.start_agent().await?;
        starts.push(took.as_secs_f64() * 1000.0);
        agent.stop()?;
    }
    let mut idle = Vec::new();
    for _ in 0..MEMORY_RUNS {
        let (agent, _) = bench.start_agent().await?;
        tokio::time::sleep(SETTLE).await;
        idle.push(agent.resident_mib()?);
        agent.stop()?;
    }
    let small = compare(&bench, 0).await?;
    let envoy = compare(&bench, NODE_BYTES).await?;
    Ok(Figures { starts, idle_mib: median(&idle), small, envoy })
}

/// Memory for the same streams in the agent and in a bare server, medians of several runs.
async fn compare(bench: &Bench, node_bytes: usize) -> Fallible<figures::Comparison> {
    let (mut agent, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..MEMORY_RUNS {
        agent.push(growth(bench.start_agent().await?.0, node_bytes).await?);
        bare.push(growth(bench.start_bare().await?, node_bytes).await?);
    }
    let middle = |runs: &[(f64, f64)], pick: fn(&(f64, f64)) -> f64| median(&runs.iter().map(pick).collect::<Vec<_>>());
    Ok(figures::Comparison {
        agent_mib: middle(&agent, |run| run.1),
        agent_growth_mib: middle(&agent, |run| run.1 - run.0),
        bare_mib: middle(&bare, |run| run.1),
        bare_growth_mib: middle(&bare, |run| run.1 - run.0),
    })
}

/// Resident memory before and with the streams.
async fn growth(server: Running, node_bytes: usize) -> Fallible<(f64, f64)> {
    tokio::time::sleep(SETTLE).await;
    let before = server.resident_mib()?;
    let held = streams::open(server.socket(), STREAMS, CONNECTIONS, node_bytes).await?;
    tokio::time::sleep(SETTLE).await;
    let with = server.resident_mib()?;
    drop(held);
    server.stop()?;
    Ok((before, with))
}
