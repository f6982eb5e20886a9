//! Whether a peer begins to speak once it has shaken hands.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

/// How long a peer may take to begin to speak HTTP/2 once TLS is established.
const OPENING_DEADLINE: Duration = Duration::from_secs(5);

/// What it has said then: the preface and a frame (RFC 9113 section 3.4).
const OPENING_BYTES: usize = 24 + 9;

/// What a peer was heard to say first.
#[derive(Debug, Default)]
pub(super) struct Opening {
    heard: Arc<AtomicUsize>,
}

impl Opening {
    /// `stream`, listened to.
    pub(super) fn listen<S>(&self, stream: S) -> Heard<S> {
        Heard { stream, bytes: self.heard.clone() }
    }

    /// Ends when the peer should have begun and has not; never where it has.
    pub(super) async fn missed(&self) {
        sleep(OPENING_DEADLINE).await;
        if self.heard.load(Ordering::Relaxed) >= OPENING_BYTES {
            std::future::pending::<()>().await;
        }
    }
}

/// Counts what is read.
pub(super) struct Heard<S> {
    stream: S,
    bytes: Arc<AtomicUsize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.bytes.fetch_add(buf.filled().len().saturating_sub(before), Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    use super::*;

    /// Seconds until a peer that said so many bytes is let go; `None` beyond an hour.
    async fn secs_until_missed(bytes: usize) -> Option<u64> {
        let (opening, began) = (Opening::default(), Instant::now());
        opening.heard.store(bytes, Ordering::Relaxed);
        let missed = timeout(Duration::from_secs(3600), opening.missed()).await;
        missed.ok().map(|()| began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_begin_to_speak_has_five_seconds() {
        assert_eq!(secs_until_missed(0).await, Some(5));
        assert_eq!(secs_until_missed(OPENING_BYTES - 1).await, Some(5));
        assert_eq!(secs_until_missed(OPENING_BYTES).await, None);
    }

    #[tokio::test]
    async fn what_is_read_is_counted_and_goes_through_unchanged() {
        let opening = Opening::default();
        let (mut near, far) = tokio::io::duplex(64);
        let mut far = opening.listen(far);
        near.write_all(b"twelve bytes").await.unwrap();
        let mut read = [0; 12];
        far.read_exact(&mut read).await.unwrap();
        far.write_all(&read).await.unwrap();
        near.read_exact(&mut read).await.unwrap();
        assert_eq!((&read, opening.heard.load(Ordering::Relaxed)), (b"twelve bytes", 12));
    }
}
