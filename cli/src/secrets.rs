//! `signet secrets`: asks an agent over its socket, as a proxy would, and shows what it serves. Never the key.

mod client;
mod view;

use std::path::PathBuf;
use std::time::Duration;

use signet_runtime::Clock;

use crate::Answer;
use crate::output::{self, Format};

pub(crate) use client::{Subscription, WatchError};
pub(crate) use view::SecretView;

/// Show what an agent serves on its SDS socket: ids, serials, validity, chain and roots, never the key.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  signet secrets --socket /var/run/secrets/workload-spiffe-uds/socket
  signet secrets --socket ./socket --name default -o json

Exit status: 0 when every named secret is served, 1 when one is not, 2 when the agent cannot be asked.")]
pub(crate) struct Args {
    /// The agent's Unix socket.
    #[arg(long, value_name = "PATH", default_value = "/var/run/secrets/workload-spiffe-uds/socket")]
    socket: PathBuf,

    /// A secret to ask for; may be given several times.
    #[arg(long = "name", value_name = "NAME", default_values_t = ["default".to_owned(), "ROOTCA".to_owned()])]
    names: Vec<String>,

    /// How to show it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// How many seconds to wait for all secrets.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

/// Runs the command.
pub(crate) async fn run(args: &Args) -> Result<Answer, WatchError> {
    let now = Clock::system().now().into();
    let mut found: Vec<SecretView> = Vec::new();
    let mut missing: Vec<String> = Vec::new();
    for name in &args.names {
        match first(args, name).await? {
            Some(secret) => found.push(SecretView::new(&secret, now)),
            None => missing.push(name.clone()),
        }
    }
    output::data(&view::render(&found, args.output));
    for name in &missing {
        output::talk(&format!("`{name}` was not served within {} s", args.timeout));
    }
    Ok(if missing.is_empty() { Answer::Yes } else { Answer::No })
}

/// The first answer for one name; `None` when the agent refuses it or does not answer in time.
async fn first(args: &Args, name: &str) -> Result<Option<client::Secret>, WatchError> {
    let answer = async {
        let mut subscription = Subscription::open(&args.socket, name).await?;
        subscription.next().await
    };
    match tokio::time::timeout(Duration::from_secs(args.timeout), answer).await {
        Err(_) => Ok(None),
        Ok(Err(WatchError::Refused { message, .. })) => {
            output::talk(&format!("`{name}` refused: {message}"));
            Ok(None)
        }
        Ok(other) => other.map(Some),
    }
}
