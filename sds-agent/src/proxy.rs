//! `sds-agent proxy`: the agent with an Envoy that it starts and watches over, and the verb by which it starts it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgMatches, Command};
use sds_agent::app::{Agent, Company, StartError};
use sds_agent::config::Config;
use sds_agent::envoy::admin::EnvoyAdmin;
use sds_agent::envoy::bootstrap::Role;
use sds_agent::envoy::supervision::{Ask, Policy};
use sds_agent::envoy::supervisor::{self, Signals, Supervisor, SupervisorError};
use sds_agent::envoy::{self, Request, process};
use signet_runtime::{Admin, Clock, Shutdown, Verb};

use crate::cli::DAEMON;

const ROLE: &str = "role";
const ARGUMENTS: &str = "envoy-arguments";
const PARENT: &str = "parent";
const PROGRAM: &str = "program";

/// Where the kubelet and Prometheus reach the agent; alone beside its pod it is only asked by people.
const ADMIN_LISTEN: &str = "0.0.0.0:15020";

/// Exit status of a shell whose command cannot be run.
const EXIT_NOT_RUN: u8 = 127;

const EXAMPLES: &str = "\
Examples:
  Beside one workload, with the built-in bootstrap:
    sds-agent proxy sidecar --ca-address signet-ca.istio-system.svc:15012

  Mutual TLS for a program on port 8080 that does not speak it:
    sds-agent proxy sidecar --config agent.toml --proxy-inbound 0.0.0.0:8443 --proxy-application 127.0.0.1:8080

  A bootstrap made from a file, and more for Envoy's command line:
    sds-agent proxy router --config agent.toml --proxy-template envoy.yaml -- --concurrency 2 --log-level info

  An Envoy with a configuration of its own:
    sds-agent proxy router --config agent.toml -- --config-path /etc/envoy/envoy.yaml

Exit status: Envoy's own, 128 and the signal's number where a signal ended it, 127 where it could not be run; 1 when the
agent failed, 2 when its configuration is wrong.";

/// The agent with an Envoy.
pub(crate) const PROXY: Verb = Verb {
    command,
    run: |matches| {
        let role = match matches.get_one::<String>(ROLE).map(String::as_str) {
            Some("router") => Role::Router,
            _ => Role::Sidecar,
        };
        let mut layers = DAEMON.layers(matches, |name| std::env::var(name).ok());
        layers.otherwise("admin.listen", ADMIN_LISTEN);
        crate::live(layers, Some(&Request { role, arguments: words(matches, ARGUMENTS) }))
    },
};

/// What starts Envoy in place of itself.
pub(crate) const EXEC_BESIDE: Verb = Verb {
    command: exec_command,
    run: |matches| {
        let first = |name| words(matches, name).into_iter().next().unwrap_or_default();
        let (parent, program) = (first(PARENT), first(PROGRAM));
        let error = process::exec_beside(&parent, &program, words(matches, ARGUMENTS));
        signet_runtime::command::complain(&DAEMON, &format!("cannot run `{}`: {error}", program.display()));
        ExitCode::from(EXIT_NOT_RUN)
    },
};

fn command() -> Command {
    let role = Arg::new(ROLE).required(true).value_parser([Role::Sidecar.name(), Role::Router.name()]);
    let more = Arg::new(ARGUMENTS).value_name("ENVOY ARGUMENTS").num_args(0..).last(true);
    let command = Command::new("proxy")
        .about("Run with an Envoy that is started, watched over, drained and ended")
        .arg(role.help("What is drained first: what comes in, or everything"))
        .arg(more.value_parser(OsStringValueParser::new()).help("What Envoy is given beside what the agent gives it"));
    DAEMON.with_settings(command).after_help(EXAMPLES)
}

fn exec_command() -> Command {
    let word = |name| Arg::new(name).required(true).value_parser(OsStringValueParser::new());
    let rest = Arg::new(ARGUMENTS).num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
    Command::new(process::EXEC_BESIDE)
        .about("Become another program that ends when the process that started this one ends")
        .hide(true)
        .args([word(PARENT), word(PROGRAM), rest.value_parser(OsStringValueParser::new())])
}

fn words(matches: &ArgMatches, name: &str) -> Vec<OsString> {
    matches.get_many::<OsString>(name).unwrap_or_default().cloned().collect()
}

/// Runs the agent and Envoy until one of them ends or somebody stops them.
pub(crate) async fn run(config: &Config, request: &Request) -> Result<ExitCode, StartError> {
    let (trigger, shutdown) = Shutdown::new();
    // Before there is a socket by which others see that we run.
    let signals = Signals::listen().map_err(StartError::Signals)?;
    let launch = envoy::prepare(request, config)?;
    let company = Company::default();
    let ready = match config.proxy.ready_listen {
        Some(address) => Some(Admin::bind(address).await.map_err(|source| StartError::Ready { address, source })?),
        None => None,
    };
    let (wishes, heard) = supervisor::wishes();
    let (part, metrics) = (company.health.part("envoy"), company.metrics.clone());
    let health = company.health.clone();
    let mut agent = Agent::start_in(config, Clock::system(), shutdown.clone(), company).await?;
    if let Some(ready) = ready {
        agent.also("ready", ready.serve_routes(Admin::readiness(health), shutdown));
    }
    tracing::info!(socket = %config.sds.socket.display(), admin = %agent.admin_address(), "serving");
    let admin = EnvoyAdmin::new(config.proxy.admin.clone());
    let supervisor = Supervisor::new(policy(config), launch, admin, request.role, part, metrics);
    let mut supervised = std::pin::pin!(supervisor.run(heard, signals));
    let mut failed = false;
    let ended = loop {
        tokio::select! {
            ended = &mut supervised => break ended,
            // Shutdown begins only below, so this is a failure. Envoy keeps what it has, and gets its drain.
            lost = agent.watch(), if !failed => {
                failed = true;
                lost.inspect_err(|error| tracing::error!(%error, "cannot go on")).unwrap_or_default();
                wishes.ask(Ask::Stop);
            }
        }
    };
    trigger.trigger();
    let ended = ended.inspect_err(|error: &SupervisorError| tracing::error!(%error, "envoy is lost")).unwrap_or(1);
    let well = crate::stop(agent, failed).await;
    Ok(ExitCode::from(if ended == 0 && !well { 1 } else { ended }))
}

fn policy(config: &Config) -> Policy {
    let proxy = &config.proxy;
    Policy {
        drain: proxy.drain,
        restart: proxy.restart,
        restarts_max: proxy.restarts_max,
        hung_after: proxy.hung_after,
    }
}
