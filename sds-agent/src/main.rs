//! The life of the agent's process: settings, start, run until told to stop, stop, exit code.

use std::process::ExitCode;

use sds_agent::app::{Agent, StartError};
use sds_agent::config::{self, Config};
use sds_agent::envoy::Request;
use signet_runtime::command::{self, EXIT_CONFIG, Invocation};
use signet_runtime::{Clock, Layers, Shutdown, TaskError, shutdown, tasks, telemetry};

mod cli;
mod proxy;

use cli::DAEMON;

fn main() -> ExitCode {
    match DAEMON.parse() {
        Invocation::Run(layers) => live(layers, None),
        Invocation::CheckConfig { layers, wrong } => {
            DAEMON.check(config::load(layers, &cli::ca_headers()).map(|(_, effective)| effective), wrong)
        }
        Invocation::Verb(verb, matches) => (verb.run)(&matches),
    }
}

/// The agent's life, with an Envoy beside it where one is asked for.
fn live(layers: Layers, envoy: Option<&Request>) -> ExitCode {
    let config = match config::load(layers, &cli::ca_headers()) {
        Ok((config, _)) => config,
        Err(error) => return complain(&error.to_string(), EXIT_CONFIG),
    };
    let logging = match telemetry::start(config.log.format, &config.log.level) {
        Ok(logging) => logging,
        Err(error) => return complain(&format!("logging cannot be started: {error}"), 1),
    };
    // A second provider cannot be installed; the first one is then as good, since only one is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread: the agent waits nearly all the time, and every thread would cost memory.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}"), 1),
    };
    let ran = runtime.block_on(async {
        match envoy {
            Some(request) => proxy::run(&config, request).await,
            None => run(&config).await,
        }
    });
    let is_read = logging.finish();
    match ran {
        Ok(code) => code,
        Err(error) if is_read => complain(&tasks::chain(&error), 1),
        // Nobody reads standard error, and one more word would wait there for ever.
        Err(_) => ExitCode::FAILURE,
    }
}

async fn run(config: &Config) -> Result<ExitCode, StartError> {
    let (trigger, shutdown) = Shutdown::new();
    // Before there is a socket by which others see that we run.
    let stopped = shutdown::stop_signal().map_err(StartError::Signals)?;
    let mut agent = Agent::start(config, Clock::system(), shutdown).await?;
    tracing::info!(socket = %config.sds.socket.display(), admin = %agent.admin_address(), "serving");
    let failed = tokio::select! {
        // Both arms end the process, so nothing that is lost is missed.
        ended = agent.watch() => ended.inspect_err(|error| tracing::error!(%error, "cannot go on")).is_err(),
        signal = stopped => {
            tracing::info!(signal, "stopping");
            false
        }
    };
    trigger.trigger();
    Ok(if stop(agent, failed).await { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Stops the agent, of which something may have `failed` before; whether it ended well.
async fn stop(agent: Agent, failed: bool) -> bool {
    match agent.stop().await {
        Ok(()) => !failed,
        // A proxy that does not read its streams to the end must not make our end a failure.
        Err(TaskError::Stuck { names }) if !failed => {
            tracing::warn!(names, "connections were still open and have been cut off");
            true
        }
        Err(error) => {
            tracing::error!(%error, "did not stop in good order");
            false
        }
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    command::complain(&DAEMON, message);
    ExitCode::from(code)
}
