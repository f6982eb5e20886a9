//! A part of the process that has a thread and a runtime to itself, so that it goes on however busy the others are.

use std::error::Error;
use std::future::Future;
use std::io;
use std::thread;

use tokio::sync::oneshot;

use crate::tasks::chain;

/// How such a part ended when it did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ApartError {
    /// It could not be started.
    #[error("thread with a runtime of its own cannot be started")]
    Start(#[from] io::Error),
    /// It reported a failure: the whole chain of causes.
    #[error("{0}")]
    Failed(String),
    /// It panicked: a bug in Signet.
    #[error("thread with a runtime of its own panicked")]
    Panicked,
}

/// Runs what `make` makes on a thread called `name`, and ends when it ends. Supervise it like any other task.
///
/// Dropping the returned future does not stop the thread, which nothing can: what runs there must watch shutdown itself
/// and end in bounded time.
///
/// # Errors
/// Every variant of [`ApartError`].
pub async fn apart<M, F, E>(name: &'static str, make: M) -> Result<(), ApartError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<(), E>>,
    E: Error,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, end) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let result = runtime.block_on(async { make().await.map_err(|error| chain(&error)) });
        drop(runtime);
        // Whoever would have listened has been cut.
        let _ = ended.send(result);
    })?;
    let result = end.await.map_err(|_| ApartError::Panicked)?;
    // Its last word has been said, so this waits for nothing.
    thread.join().map_err(|_| ApartError::Panicked)?;
    result.map_err(ApartError::Failed)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no luck")]
    struct NoLuck(#[source] io::Error);

    #[tokio::test]
    async fn it_goes_on_while_the_main_runtime_is_blocked() {
        let (ask, asked) = oneshot::channel::<()>();
        let (answer, answered) = mpsc::channel();
        let part = apart("part", move || async move {
            // An asker that is gone would end the test anyway.
            let _ = asked.await;
            let _ = answer.send(thread::current().name().map(str::to_owned));
            Ok::<_, Infallible>(())
        });
        let main = async {
            ask.send(()).unwrap();
            // Blocks this thread, on which everything else of the test runs.
            answered.recv_timeout(Duration::from_secs(10)).unwrap()
        };
        let (ended, name) = tokio::join!(part, main);
        ended.unwrap();
        assert_eq!(name.as_deref(), Some("part"));
    }

    #[tokio::test]
    async fn its_failure_is_told_with_all_causes() {
        let failed = apart("part", || async { Err(NoLuck(io::Error::other("dice"))) }).await.unwrap_err();
        assert_eq!(failed.to_string(), "no luck: dice");
    }

    #[tokio::test]
    async fn its_panic_is_an_error() {
        let bug = || async { if true { panic!("bug") } else { Ok::<_, Infallible>(()) } };
        assert!(matches!(apart("part", bug).await, Err(ApartError::Panicked)));
    }
}
