//! The control socket of a running authority: an operator on the same machine asks, a part of the program answers.
//!
//! A Unix socket of mode 0600 that talks to its own user and to root alone. Each line is one question, answered by one
//! line (see `protocol`). What is asked is not known here: each part brings its own `Subject`.

mod client;
mod protocol;
mod socket;

pub use client::{AskError, ask};
pub use protocol::{Answer, Question};
pub use socket::BindError;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use signet_runtime::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use protocol::LINE_MAX_BYTES;
pub(crate) use socket::Socket;

/// Most operators at once; more are turned away.
const CONNECTIONS_MAX: usize = 8;

/// How long a question may take to arrive.
const QUESTION_DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait after a connection could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A part of the program that can be asked.
#[tonic::async_trait]
pub(crate) trait Subject: Send + Sync {
    /// Answers, or says why not.
    async fn answer(&self, verb: &str, arguments: Value) -> Answer;
}

/// Everything that can be asked, by the word that a question begins with.
pub(crate) type Subjects = BTreeMap<&'static str, Box<dyn Subject>>;

/// Answers until shutdown begins. A question under way is answered.
///
/// # Errors
/// None.
pub(crate) async fn serve(socket: Socket, subjects: Subjects, shutdown: Shutdown) -> Result<(), Infallible> {
    let subjects = Arc::new(subjects);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut operators = JoinSet::new();
    loop {
        tokio::select! {
            // Accepting holds nothing until it is done, and those who are being answered stay in the set.
            () = shutdown.begun() => break,
            Some(_) = operators.join_next() => {}
            accepted = socket.accept() => match accepted {
                Ok(stream) => {
                    let Ok(place) = places.clone().try_acquire_owned() else { continue };
                    let (subjects, shutdown) = (subjects.clone(), shutdown.clone());
                    operators.spawn(async move {
                        talk(stream, &subjects, &shutdown).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    while operators.join_next().await.is_some() {}
    Ok(())
}

/// Answers one operator, question after question, until it goes, stays silent, or says what is no question.
async fn talk(mut stream: UnixStream, subjects: &Subjects, shutdown: &Shutdown) {
    let (from, mut to) = stream.split();
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut from).take(LINE_MAX_BYTES as u64);
        let read = tokio::select! {
            () = shutdown.begun() => return,
            read = tokio::time::timeout(QUESTION_DEADLINE, bounded.read_until(b'\n', &mut line)) => read,
        };
        if !matches!(read, Ok(Ok(1..))) {
            return;
        }
        let answer = match Question::read(&line) {
            Ok(question) => answer(subjects, question).await,
            Err(why) => Answer::Failed(why),
        };
        if to.write_all(&answer.line()).await.is_err() || !line.ends_with(b"\n") {
            return;
        }
    }
}

async fn answer(subjects: &Subjects, question: Question) -> Answer {
    let Question { subject, verb, arguments } = question;
    match subjects.get(subject.as_str()) {
        Some(subject) => subject.answer(&verb, arguments).await,
        None => Answer::Failed(format!("nothing is known here about `{subject}`")),
    }
}

#[cfg(test)]
mod tests;
