//! Named tasks with one owner that joins them. A task that ends by surprise ends the process loudly.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinSet};

use crate::Shutdown;

/// How a task ended when it should not have.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It reported a failure.
    #[error("task `{name}` failed: {reason}")]
    Failed {
        /// The task.
        name: &'static str,
        /// What it said.
        reason: String,
    },
    /// It returned although the process was to go on.
    #[error("task `{name}` ended although the process was not stopping")]
    Ended {
        /// The task.
        name: &'static str,
    },
    /// It panicked: a bug in Signet.
    #[error("task `{name}` panicked")]
    Panicked {
        /// The task.
        name: &'static str,
    },
    /// It did not stop in time.
    #[error("tasks did not stop in time: {names}")]
    Stuck {
        /// The tasks, separated by commas.
        names: String,
    },
}

/// All tasks of a process.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. It must run until shutdown begins; returning earlier is an error of its own.
    pub fn start<F, E>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error,
    {
        let handle = self.set.spawn(async move { task.await.map_err(|error| chain(&error)) });
        self.names.insert(handle.id(), name);
    }

    /// Waits until shutdown begins or a task ends by surprise.
    ///
    /// # Errors
    /// The surprise.
    pub async fn watch(&mut self, shutdown: &Shutdown) -> Result<(), TaskError> {
        tokio::select! {
            // Which task ended stays in the set until it is joined, so losing this arm loses nothing.
            ended = self.set.join_next_with_id(), if !self.set.is_empty() => match ended {
                // A task that was quick to stop is no surprise once the end has begun.
                Some(ended) if shutdown.has_begun() => self.outcome(ended),
                Some(ended) => Err(self.surprise(ended)),
                None => Ok(()),
            },
            () = shutdown.begun() => Ok(()),
        }
    }

    /// Joins all tasks, for at most `deadline`; then cuts the rest.
    ///
    /// # Errors
    /// The first failure, or which tasks were cut.
    pub async fn join(mut self, deadline: Duration) -> Result<(), TaskError> {
        let all = async {
            let mut first = Ok(());
            while let Some(ended) = self.set.join_next_with_id().await {
                let result = self.outcome(ended);
                first = first.and(result);
            }
            first
        };
        match tokio::time::timeout(deadline, all).await {
            Ok(result) => result,
            Err(_) => {
                let mut names: Vec<_> = self.names.values().copied().collect();
                names.sort_unstable();
                Err(TaskError::Stuck { names: names.join(", ") })
            }
        }
    }

    fn outcome(&mut self, ended: Result<(Id, Result<(), String>), tokio::task::JoinError>) -> Result<(), TaskError> {
        match ended {
            Ok((id, result)) => {
                let name = self.names.remove(&id).unwrap_or("unnamed");
                result.map_err(|reason| TaskError::Failed { name, reason })
            }
            Err(error) => Err(TaskError::Panicked { name: self.names.remove(&error.id()).unwrap_or("unnamed") }),
        }
    }

    fn surprise(&mut self, ended: Result<(Id, Result<(), String>), tokio::task::JoinError>) -> TaskError {
        let name = match &ended {
            Ok((id, _)) => self.names.get(id).copied(),
            Err(error) => self.names.get(&error.id()).copied(),
        };
        self.outcome(ended).err().unwrap_or(TaskError::Ended { name: name.unwrap_or("unnamed") })
    }
}

/// An error and all its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Messages that already quote their cause need not say it twice.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("out of luck")]
    struct Luck;

    #[tokio::test]
    async fn a_failing_task_is_named_with_its_reason() {
        let (_trigger, shutdown) = Shutdown::new();
        let mut tasks = Tasks::new();
        tasks.start("dice", async { Err(Luck) });
        let error = tasks.watch(&shutdown).await.unwrap_err();
        assert_eq!(error.to_string(), "task `dice` failed: out of luck");
    }

    #[tokio::test]
    async fn a_task_that_returns_early_is_a_surprise() {
        let (_trigger, shutdown) = Shutdown::new();
        let mut tasks = Tasks::new();
        tasks.start("short", async { Ok::<(), Luck>(()) });
        assert!(matches!(tasks.watch(&shutdown).await, Err(TaskError::Ended { name: "short" })));
    }

    #[tokio::test]
    async fn a_panic_is_reported_not_swallowed() {
        let (_trigger, shutdown) = Shutdown::new();
        let mut tasks = Tasks::new();
        tasks.start("bug", async { if true { panic!("bug") } else { Ok::<(), Luck>(()) } });
        assert!(matches!(tasks.watch(&shutdown).await, Err(TaskError::Panicked { name: "bug" })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_cut_and_named() {
        let mut tasks = Tasks::new();
        tasks.start("deaf", async {
            std::future::pending::<()>().await;
            Ok::<(), Luck>(())
        });
        let error = tasks.join(Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.to_string(), "tasks did not stop in time: deaf");
    }
}
