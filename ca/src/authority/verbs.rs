//! What can be asked about the authority over the control socket.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use signet_runtime::tasks::chain;
use tokio::sync::{mpsc, oneshot};

use super::overview::Overview;
use super::rotation::Readiness;
use super::wish::{Wish, WishError};
use crate::control::{Answer, Subject};

/// A wish on its way to the keeper; none asks for the overview alone.
pub(super) struct Asked {
    pub(super) wish: Option<Wish>,
    pub(super) reply: oneshot::Sender<Result<Arc<Overview>, WishError>>,
}

/// The keeper's ear.
pub(crate) struct AuthorityVerbs {
    pub(super) keeper: mpsc::Sender<Asked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    id: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Activation {
    id: u64,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    when_known: bool,
}

impl Activation {
    fn wish(self) -> Result<Wish, String> {
        let readiness = match (self.force, self.when_known) {
            (false, false) => Readiness::Now,
            (false, true) => Readiness::WhenKnown,
            (true, false) => Readiness::Whatever,
            (true, true) => return Err("`force` and `when_known` exclude each other".to_owned()),
        };
        Ok(Wish::Activate { id: self.id, readiness })
    }
}

#[tonic::async_trait]
impl Subject for AuthorityVerbs {
    async fn answer(&self, verb: &str, arguments: Value) -> Answer {
        let wish = match wish(verb, arguments) {
            Ok(wish) => wish,
            Err(why) => return Answer::Failed(why),
        };
        let (reply, answered) = oneshot::channel();
        let gone = || Answer::Failed("the authority is stopping".to_owned());
        if self.keeper.send(Asked { wish, reply }).await.is_err() {
            return gone();
        }
        match answered.await {
            Ok(Ok(overview)) => serde_json::to_value(&*overview)
                .map_or_else(|error| Answer::Failed(format!("answer cannot be written: {error}")), Answer::Done),
            Ok(Err(WishError::Refused(refusal))) => Answer::Refused(refusal.to_string()),
            Ok(Err(error)) => Answer::Failed(chain(&error)),
            Err(_) => gone(),
        }
    }
}

fn wish(verb: &str, arguments: Value) -> Result<Option<Wish>, String> {
    match verb {
        "list" => Ok(None),
        "prepare" => Ok(Some(Wish::Prepare)),
        "activate" => read::<Activation>(arguments)?.wish().map(Some),
        "taint" => Ok(Some(Wish::Taint { id: read::<Which>(arguments)?.id })),
        "revoke" => Ok(Some(Wish::Revoke { id: read::<Which>(arguments)?.id })),
        _ => Err(format!("`{verb}` is not known, use `list`, `prepare`, `activate`, `taint` or `revoke`")),
    }
}

fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, String> {
    serde_json::from_value(arguments).map_err(|error| format!("arguments cannot be read: {error}"))
}
