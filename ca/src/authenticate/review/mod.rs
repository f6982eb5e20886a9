//! Tokens reviewed by their cluster's API server (TokenReview), within bounds.
//!
//! The call itself is behind [`TokenReviews`]; here are its bounds (how many at once, how many in a second, how long),
//! the judging of answers, and a short memory of both verdicts, so that neither a storm of renewals nor a flood of bad
//! tokens reaches the API server unchecked.

mod answer;
mod measured;
mod outage;
mod rate;

pub use answer::{ReviewRefusal, ReviewStatus, ReviewedUser};
pub use measured::Measured;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use signet_identity::Timestamp;
use tokio::sync::Semaphore;

use super::verdicts::{ACCEPTED_MAX, Memory, Refused, TokenHash};
use crate::voice::Voice;
use outage::Outage;
use rate::Rate;

/// Most reviews under way at once in one cluster.
const REVIEWS_MAX: usize = 32;

/// The share of reviews, one in so many, that tokens may take whose key their issuer does not seem to have.
const SUSPECTS_SHARE: u32 = 2;

/// How long a review may take, waiting for its turn included.
const REVIEW_DEADLINE: Duration = Duration::from_secs(5);

/// How long an accepted token is not reviewed again: also how long a deleted pod's token may still be accepted.
const ACCEPTED_FOR: Duration = Duration::from_secs(30);

/// Why there is no answer to a review.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewCallError {
    /// The API server was not reached, or answered with something else than a review.
    #[error("API server gave no answer: {reason}")]
    NoAnswer {
        /// What happened; neither token nor secret.
        reason: String,
    },
}

/// What a call for a review gives.
pub type ReviewCall<'a> = Pin<Box<dyn Future<Output = Result<ReviewStatus, ReviewCallError>> + Send + 'a>>;

/// Creates TokenReviews at one cluster's API server.
pub trait TokenReviews: Debug + Send + Sync {
    /// The status of a review of `token` for `audiences`. Any answer that is no TokenReview is an error.
    fn create<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> ReviewCall<'a>;
}

/// Why a token was not accepted by review.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// It was reviewed.
    #[error(transparent)]
    Refused(#[from] ReviewRefusal),
    /// It was not reviewed.
    #[error("token could not be reviewed")]
    Call(#[from] ReviewCallError),
    /// It was not reviewed in time.
    #[error("token was not reviewed within {} s", REVIEW_DEADLINE.as_secs())]
    Deadline,
    /// More reviews are asked for than the operator lets through.
    #[error("more reviews are asked for than `tokens.reviews_per_second` lets through")]
    Rate,
}

impl ReviewError {
    pub(super) fn is_undecided(&self) -> bool {
        match self {
            Self::Refused(refusal) => !refusal.is_final(),
            Self::Call(_) | Self::Deadline | Self::Rate => true,
        }
    }

    /// A stable word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(ReviewRefusal::NotAuthenticated { .. }) => "review_refused",
            Self::Refused(ReviewRefusal::NotReviewed { .. }) => "review_error",
            Self::Refused(ReviewRefusal::Audience) => "review_audience",
            Self::Refused(ReviewRefusal::NotServiceAccount) => "review_user",
            Self::Refused(ReviewRefusal::Malformed) => "review_malformed",
            Self::Call(_) => "review_no_answer",
            Self::Deadline => "review_deadline",
            Self::Rate => "review_rate",
        }
    }
}

/// Reviews at one cluster.
#[derive(Debug)]
pub(super) struct Reviewer {
    reviews: Arc<dyn TokenReviews>,
    turns: Semaphore,
    rate: Rate,
    suspects_turns: Semaphore,
    suspects_rate: Rate,
    outage: Outage,
    accepted: Memory<ReviewedUser>,
    refused: Refused<ReviewRefusal>,
}

impl Reviewer {
    pub(super) fn new(reviews: Arc<dyn TokenReviews>, per_second: u32, health: Option<Voice>) -> Self {
        Self {
            reviews,
            turns: Semaphore::new(REVIEWS_MAX),
            rate: Rate::new(per_second),
            suspects_turns: Semaphore::new(REVIEWS_MAX / 2),
            suspects_rate: Rate::new(per_second.div_ceil(SUSPECTS_SHARE)),
            outage: Outage::new(health),
            accepted: Memory::new(ACCEPTED_MAX),
            refused: Refused::new(),
        }
    }

    /// The service account that the API server finds behind `token` for one of `audiences`; `expires_at` is when the
    /// token says that it ends. One that is suspect takes no more than its share, so that whoever makes tokens up keeps
    /// nobody from being reviewed.
    pub(super) async fn review(
        &self,
        token: &str,
        audiences: &[String],
        expires_at: Option<Timestamp>,
        is_suspect: bool,
        now: Timestamp,
    ) -> Result<ReviewedUser, ReviewError> {
        let hash = TokenHash::of(token);
        if let Some(user) = self.accepted.get(hash, now) {
            return Ok(user);
        }
        if let Some(refusal) = self.refused.get(token, now) {
            return Err(refusal.into());
        }
        let asked = tokio::time::timeout(REVIEW_DEADLINE, self.ask(token, audiences, is_suspect)).await;
        let judged = asked
            .unwrap_or(Err(ReviewError::Deadline))
            .and_then(|status| status.judge(audiences).map_err(ReviewError::from));
        self.outage.tell(judged.as_ref().err());
        match &judged {
            Ok(user) => {
                let until = now.plus(ACCEPTED_FOR);
                let until = expires_at.map_or(until, |at| at.min(until));
                self.accepted.put(hash, user.clone(), now, until);
            }
            Err(ReviewError::Refused(refusal)) if refusal.is_final() => self.refused.put(token, refusal.clone(), now),
            Err(_) => {}
        }
        judged
    }

    async fn ask(&self, token: &str, audiences: &[String], is_suspect: bool) -> Result<ReviewStatus, ReviewError> {
        let _suspects_turn = match is_suspect {
            true => Some(self.suspects_turns.acquire().await.map_err(|_| ReviewError::Deadline)?),
            false => None,
        };
        let _turn = self.turns.acquire().await.map_err(|_| ReviewError::Deadline)?;
        if is_suspect && !self.suspects_rate.take() || !self.rate.take() {
            return Err(ReviewError::Rate);
        }
        Ok(self.reviews.create(token, audiences).await?)
    }
}

#[cfg(test)]
mod tests;
