//! A bucket that fills by itself. Pure: time comes in as an argument.

use tokio::time::Instant;

/// So much at once, and so much more each second.
#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    at: Instant,
    max: f64,
    per_sec: f64,
}

impl Budget {
    /// A full one.
    pub(super) fn new(max: f64, per_sec: f64, now: Instant) -> Self {
        Self { left: max, at: now, max, per_sec }
    }

    fn fill(&mut self, now: Instant) -> f64 {
        let secs = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + secs * self.per_sec).min(self.max);
        self.at = self.at.max(now);
        self.left
    }

    pub(super) fn is_spent(&mut self, now: Instant) -> bool {
        self.fill(now) < 1.0
    }

    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now) >= self.max
    }

    pub(super) fn take(&mut self, now: Instant) {
        self.left = (self.fill(now) - 1.0).max(0.0);
    }
}

/// Which of many alike lines are written to the log; the others are counted.
#[derive(Debug)]
pub(super) struct Lines {
    budget: Budget,
    left_out: u64,
}

/// Lines at once, and how many more each second.
const LINES_MAX: f64 = 20.0;
const LINES_PER_SEC: f64 = 1.0;

impl Lines {
    pub(super) fn new(now: Instant) -> Self {
        Self { budget: Budget::new(LINES_MAX, LINES_PER_SEC, now), left_out: 0 }
    }

    /// Whether one more is written, and how many were left out since the last.
    pub(super) fn next(&mut self, now: Instant) -> Option<u64> {
        if self.budget.is_spent(now) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.budget.take(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn some_lines_are_written_and_the_next_one_says_how_many_were_not() {
        let mut lines = Lines::new(Instant::now());
        let written = (0..1000).filter_map(|_| lines.next(Instant::now())).collect::<Vec<_>>();
        assert_eq!(written, [0; 20]);
        tokio::time::advance(Duration::from_secs(2)).await;
        let written = (0..1000).filter_map(|_| lines.next(Instant::now())).collect::<Vec<_>>();
        assert_eq!(written, [980, 0]);
    }
}
