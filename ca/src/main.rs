//! The life of the process: settings, build, run, wait for a signal, drain, exit code.

use std::error::Error;
use std::pin::pin;
use std::process::ExitCode;

use signet_ca::app::App;
use signet_ca::cli::DAEMON;
use signet_ca::config::{AuthoritySource, CaConfig};
use signet_runtime::command::{self, EXIT_CONFIG, Invocation};
use signet_runtime::config::Effective;
use signet_runtime::shutdown::stop_signal;
use signet_runtime::{Clock, Shutdown, open_files, tasks, telemetry};

/// A certificate takes some two hundred allocations, most of them freed by the thread that made them, a few large.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The daemon could not start or go on.
const EXIT_FAILURE: u8 = 1;

fn main() -> ExitCode {
    let layers = match DAEMON.parse() {
        Invocation::Run(layers) => layers,
        Invocation::CheckConfig { layers, wrong } => {
            return DAEMON.check(CaConfig::read(layers).map(remarked), wrong);
        }
        Invocation::Verb(verb, matches) => return (verb.run)(&matches),
    };
    let (config, effective) = match CaConfig::read(layers) {
        Ok(read) => read,
        Err(error) => return fail(&error.to_string(), EXIT_CONFIG),
    };
    let logging = match telemetry::start(config.log.format, &config.log.level) {
        Ok(logging) => logging,
        Err(error) => return fail(&format!("logging cannot be started: {error}"), EXIT_FAILURE),
    };
    effective.remarks.iter().for_each(|remark| tracing::warn!(%remark, "setting is passed over"));
    open_files::raise();
    let ran = run(config);
    let is_read = logging.finish();
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_read => fail(&tasks::chain(error.as_ref()), EXIT_FAILURE),
        // Nobody reads standard error, and one more word would wait there for ever.
        Err(_) => ExitCode::from(EXIT_FAILURE),
    }
}

/// Says on stderr what is allowed and still should not be overlooked.
fn remarked((config, effective): (CaConfig, Effective)) -> Effective {
    if config.ledger.is_none() {
        command::complain(&DAEMON, "`ledger.dir` is `none`: certificates will be issued without a record");
    }
    if matches!(config.authority.source, AuthoritySource::PluggedIn { state_dir: None, .. }) {
        let message = "`authority.state_dir` is `none`: a change of roots that is under way will not survive a restart";
        command::complain(&DAEMON, message);
    }
    effective
}

fn run(config: CaConfig) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (trigger, shutdown) = Shutdown::new();
        let app = App::build(config, Clock::system()).await?;
        let stopped = stop_signal()?;
        let mut running = pin!(app.run(shutdown));
        tokio::select! {
            // The program goes on in `running`, whichever comes first.
            ran = &mut running => return Ok(ran?),
            signal = stopped => tracing::info!(signal, "stopping"),
        }
        trigger.trigger();
        Ok(running.await?)
    })
}

fn fail(message: &str, status: u8) -> ExitCode {
    command::complain(&DAEMON, message);
    ExitCode::from(status)
}
