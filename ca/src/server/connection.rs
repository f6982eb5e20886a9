//! The life of one connection: handshake, HTTP/2 within bounds, and an end in good order.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use signet_runtime::Shutdown;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::entry::{Entry, REQUEST_DEADLINE, Standing};
use super::gathering::Gathering;
use super::idle::Activity;
use super::opening::Opening;
use super::peers::Connection;
use crate::authenticate::Presented;
use crate::metrics::{HandshakeFailure, Metrics};

/// How long one handshake may take, and how long it may wait for others before.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Most requests open at once on one connection.
const STREAMS_MAX: u32 = 128;

/// Most bytes of headers on one request: the largest token, of 16 KiB, and room for others.
const HEADERS_MAX_BYTES: u32 = 24 * 1024;

/// Most bytes of bodies that a peer may send before they are read: of one request, and of all.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// Most bytes of one answer that wait to be sent.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// As istiod's.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may go on after it was told to end for its age or for being idle. An answer that is being made
/// then is given its own deadline.
const AGE_GRACE: Duration = Duration::from_secs(10);

/// How much earlier, in hundredths of it, a connection's age may end, so that those which began together do not end
/// together.
const AGE_JITTER_HUNDREDTHS: u32 = 20;

/// What holds for every connection.
pub(super) struct Terms {
    tls: TlsAcceptor,
    entry: Entry,
    http: http2::Builder<TokioExecutor>,
    age_max: Option<Duration>,
    metrics: Metrics,
}

impl Terms {
    pub(super) fn new(tls: TlsAcceptor, entry: Entry, age_max: Option<Duration>, metrics: Metrics) -> Self {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADERS_MAX_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .auto_date_header(false);
        Self { tls, entry, http, age_max, metrics }
    }

    /// Ends when a connection that begins now has lived long enough.
    async fn aged(&self) {
        match self.age_max {
            Some(age) => sleep(age - age * fastrand::u32(0..=AGE_JITTER_HUNDREDTHS) / 100).await,
            None => std::future::pending().await,
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, standing: Connection, terms: Arc<Terms>, shutdown: Shutdown) {
    // Without it answers wait for acknowledgements that the peer holds back; it only fails on a dead socket.
    let _ = stream.set_nodelay(true);
    let Ok(peer) = stream.peer_addr() else { return };
    let established = tokio::select! {
        // A handshake that is cut off here belongs to a client that has not asked for anything yet.
        () = shutdown.begun() => return,
        established = shake_hands(stream, peer, &standing, &terms) => established,
    };
    let Some(tls) = established else { return };
    terms.metrics.connections().opened();
    let chain = tls.get_ref().1.peer_certificates();
    let presented = chain.map(|chain| Arc::new(Presented::new(chain.iter().map(AsRef::as_ref))));
    let (connection, activity, opening) = (Arc::new(standing), Activity::new(), Opening::default());
    let standing = Standing::new(terms.entry.clone(), peer, connection.clone(), activity.clone(), presented);
    let stream = TokioIo::new(Gathering::new(opening.listen(tls)));
    let mut served = pin!(terms.http.serve_connection(stream, standing));
    let ended = tokio::select! {
        // A peer that breaks off, or breaks the rules, is nobody's concern here.
        _ = served.as_mut() => true,
        () = opening.missed() => {
            terms.metrics.connections().handshake_failed(HandshakeFailure::Silent);
            // There is nobody to be told.
            true
        }
        () = terms.aged() => false,
        () = activity.ended(|| connection.is_in_crowd()) => false,
        () = shutdown.begun() => false,
    };
    if !ended {
        served.as_mut().graceful_shutdown();
        if shutdown.has_begun() {
            // For as long as shutdown gives it.
            let _ = served.await;
        } else {
            leave(served, &activity).await;
        }
    }
    terms.metrics.connections().closed();
}

/// Lets what was told to end come to its end. Whoever asked before it heard of that gets its answer.
async fn leave(mut served: impl Future + Unpin, activity: &Activity) {
    if timeout(AGE_GRACE, &mut served).await.is_err() && activity.is_answering() {
        let _ = timeout(REQUEST_DEADLINE, served).await;
    }
}

async fn shake_hands(
    stream: TcpStream,
    peer: SocketAddr,
    standing: &Connection,
    terms: &Terms,
) -> Option<TlsStream<TcpStream>> {
    let Ok(Some(_handshake)) = timeout(HANDSHAKE_WAIT_MAX, standing.handshake()).await else {
        terms.metrics.connections().handshake_failed(HandshakeFailure::PeerShare);
        return None;
    };
    match timeout(HANDSHAKE_DEADLINE, terms.tls.accept(stream)).await {
        Ok(Ok(tls)) => Some(tls),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            terms.metrics.connections().handshake_failed(HandshakeFailure::Refused);
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS handshake took too long");
            terms.metrics.connections().handshake_failed(HandshakeFailure::Timeout);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::server::idle::Kind;

    /// After how many seconds a connection is gone that is told to end while this is open on it, and whether it was
    /// gone by itself.
    async fn gone(kind: Kind, open_secs: u64) -> (u64, bool) {
        let (activity, began) = (Activity::new(), Instant::now());
        let mut is_done = false;
        let served = async {
            let stream = activity.stream(kind);
            sleep(Duration::from_secs(open_secs)).await;
            drop(stream);
            // The last bytes leave.
            sleep(Duration::from_millis(100)).await;
            is_done = true;
        };
        leave(pin!(served), &activity).await;
        (began.elapsed().as_secs(), is_done)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_asked_for_before_the_end_was_heard_of_is_not_cut() {
        for secs in [0, 5, 9, 10, 11, 29] {
            assert_eq!(gone(Kind::Answer, secs).await, (secs, true));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_and_an_answer_that_never_comes_are_cut() {
        assert_eq!(gone(Kind::Watch, 60).await, (10, false));
        assert_eq!(gone(Kind::Answer, 3_600).await, (40, false));
    }
}
