//! Reviews with a watch in hand.

use std::sync::Arc;
use std::time::Instant;

use super::{ReviewCall, TokenReviews};
use crate::metrics::ReviewMetrics;

/// Creates reviews as another does, and tells how long they took.
#[derive(Debug)]
pub struct Measured {
    reviews: Arc<dyn TokenReviews>,
    metrics: ReviewMetrics,
}

impl Measured {
    /// As `reviews`, told to `metrics`.
    pub fn new(reviews: Arc<dyn TokenReviews>, metrics: ReviewMetrics) -> Self {
        Self { reviews, metrics }
    }
}

impl TokenReviews for Measured {
    fn create<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> ReviewCall<'a> {
        Box::pin(async move {
            let began = Instant::now();
            let answer = self.reviews.create(token, audiences).await;
            self.metrics.reviewed(answer.is_ok(), began.elapsed());
            answer
        })
    }
}
