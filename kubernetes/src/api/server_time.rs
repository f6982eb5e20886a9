//! What an API server's answers tell of its clock (`Date`, RFC 9110 6.6.1).

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use http::header::DATE;
use time::PrimitiveDateTime;
use time::macros::format_description;
use tokio::time::Instant;

/// The latest that was told. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerTime(Arc<Mutex<Option<(i64, Instant)>>>);

impl ServerTime {
    /// Notes what an answer tells; one without a date tells nothing.
    pub(super) fn note(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| unix_secs(date.to_str().ok()?));
        if let Some(secs) = date {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((secs, Instant::now()));
        }
    }

    /// The time there, in seconds since the Unix epoch.
    pub(super) fn now(&self) -> Option<i64> {
        let (secs, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(secs.saturating_add(i64::try_from(at.elapsed().as_secs()).unwrap_or(i64::MAX)))
    }
}

/// The one form that servers write (IMF-fixdate).
fn unix_secs(date: &str) -> Option<i64> {
    let format =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    Some(PrimitiveDateTime::parse(date, format).ok()?.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_servers_clock_is_read_from_its_answers_and_goes_on() {
        let time = ServerTime::default();
        let told = |date: &'static str| HeaderMap::from_iter([(DATE, http::HeaderValue::from_static(date))]);
        assert_eq!(time.now(), None);
        for nothing in [HeaderMap::new(), told("yesterday"), told("Sun, 06 Nov 1994 08:49:37 CET")] {
            time.note(&nothing);
            assert_eq!(time.now(), None);
        }
        time.clone().note(&told("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(time.now(), Some(784_111_777));
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        assert_eq!(time.now(), Some(784_111_837));
    }
}
