//! Counting rotations as a proxy sees them: one SDS subscription per workload, distinct serials of what it serves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signet_runtime::Clock;
use tokio::task::JoinSet;

use crate::secrets::{SecretView, Subscription};

/// Pause before asking an agent again that could not be asked.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Serials seen, by workload account, in the order in which they came. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rotations {
    serials: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl Rotations {
    /// Watches one agent until the set of tasks is dropped.
    pub(crate) fn watch(&self, tasks: &mut JoinSet<()>, account: &str, socket: PathBuf) {
        let (rotations, account) = (self.clone(), account.to_owned());
        tasks.spawn(async move {
            loop {
                if let Ok(mut subscription) = Subscription::open(&socket, "default").await {
                    while let Ok(secret) = subscription.next().await {
                        let view = SecretView::new(&secret, Clock::system().now().into());
                        rotations.saw(&account, view.first_serial());
                    }
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        });
    }

    /// How often the identity of `account` was replaced by another.
    pub(crate) fn of(&self, account: &str) -> usize {
        self.lock().get(account).map_or(0, |serials| serials.len().saturating_sub(1))
    }

    /// The newest serial of `account`.
    pub(crate) fn newest(&self, account: &str) -> Option<String> {
        self.lock().get(account).and_then(|serials| serials.last().cloned())
    }

    /// All rotations of all accounts.
    pub(crate) fn total(&self) -> usize {
        self.lock().values().map(|serials| serials.len().saturating_sub(1)).sum()
    }

    fn saw(&self, account: &str, serial: Option<&str>) {
        let Some(serial) = serial else { return };
        let mut all = self.lock();
        let serials = all.entry(account.to_owned()).or_default();
        if !serials.iter().any(|known| known == serial) {
            serials.push(serial.to_owned());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.serials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
