//! What leaves, and when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::*;

/// A peer that takes so many bytes with each call, as long as there are such numbers, and then none.
#[derive(Default)]
struct Peer {
    takes: VecDeque<usize>,
    writes: Vec<Vec<u8>>,
    flushes: usize,
    is_shut: bool,
}

impl AsyncRead for Peer {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Peer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(count) = self.takes.pop_front() else { return Poll::Pending };
        let count = count.min(buf.len());
        self.writes.push(buf[..count].to_vec());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut = true;
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection over a peer, and how often it asked to be looked at.
struct Lab {
    stream: Gathering<Peer>,
    woken: Arc<Woken>,
}

impl Lab {
    fn new(takes: &[usize]) -> Self {
        let peer = Peer { takes: takes.iter().copied().collect(), ..Peer::default() };
        Self { stream: Gathering::new(peer), woken: Arc::default() }
    }

    fn with<T>(&mut self, work: impl FnOnce(Pin<&mut Gathering<Peer>>, &mut Context<'_>) -> T) -> T {
        let waker = Waker::from(self.woken.clone());
        work(Pin::new(&mut self.stream), &mut Context::from_waker(&waker))
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<usize> {
        self.with(|stream, cx| stream.poll_write(cx, bytes)).map(|written| written.unwrap())
    }

    fn flush(&mut self) {
        assert!(self.with(|stream, cx| stream.poll_flush(cx)).is_ready());
    }

    /// As a connection does each time that it is looked at.
    fn read(&mut self) -> Poll<io::Result<()>> {
        self.with(|stream, cx| stream.poll_read(cx, &mut ReadBuf::new(&mut [0; 8])))
    }

    fn writes(&self) -> &[Vec<u8>] {
        &self.stream.inner.writes
    }

    fn woken(&self) -> usize {
        self.woken.0.load(Ordering::Relaxed)
    }
}

#[test]
fn answers_of_one_turn_leave_in_one_write_at_the_next() {
    let mut lab = Lab::new(&[usize::MAX]);
    for answer in [b"one", b"two"] {
        assert_eq!(lab.write(answer), Poll::Ready(3));
        lab.flush();
    }
    assert!(lab.writes().is_empty());
    assert_eq!(lab.woken(), 1, "one more turn is asked for, however many answers there are");
    assert!(lab.read().is_pending());
    assert_eq!(lab.writes(), [b"onetwo"]);
    assert_eq!(lab.stream.inner.flushes, 1);
    assert_eq!(lab.stream.held.capacity(), 0, "an idle connection holds no memory");
    assert!(lab.read().is_pending());
    lab.flush();
    assert_eq!((lab.woken(), lab.stream.inner.flushes), (1, 1), "nothing happens without an answer");
}

#[test]
fn what_a_slow_peer_does_not_take_is_kept_in_order_until_it_does() {
    let mut lab = Lab::new(&[2]);
    assert_eq!(lab.write(b"answer"), Poll::Ready(6));
    lab.flush();
    assert!(lab.read().is_pending());
    assert_eq!(lab.write(b", next"), Poll::Ready(6));
    lab.flush();
    lab.stream.inner.takes = [usize::MAX].into();
    assert!(lab.read().is_pending());
    assert_eq!(lab.writes().concat(), b"answer, next");
}

#[test]
fn a_peer_that_takes_nothing_stops_the_writer_at_the_bound() {
    let mut lab = Lab::new(&[]);
    let much = vec![1; HELD_MAX_BYTES - 10];
    assert_eq!(lab.write(&much), Poll::Ready(much.len()));
    assert_eq!(lab.write(&[2; 20]), Poll::Ready(10), "what there is room for");
    assert_eq!(lab.write(&[3; 20]), Poll::Pending);
    assert_eq!(lab.stream.held.len(), HELD_MAX_BYTES);
    lab.stream.inner.takes = [usize::MAX].into();
    assert_eq!(lab.write(&[3; 20]), Poll::Ready(20));
    assert_eq!(lab.writes().concat().len(), HELD_MAX_BYTES);
}

#[test]
fn the_last_answer_leaves_before_the_end() {
    let mut lab = Lab::new(&[usize::MAX]);
    let parts = [IoSlice::new(b"the "), IoSlice::new(b"last")];
    assert!(lab.with(|stream, cx| stream.poll_write_vectored(cx, &parts)).is_ready());
    lab.flush();
    assert!(lab.with(|stream, cx| stream.poll_shutdown(cx)).is_ready());
    assert_eq!(lab.writes(), [b"the last"]);
    assert!(lab.stream.inner.is_shut);
}

#[test]
fn a_peer_that_is_gone_is_told_at_the_next_turn() {
    let mut lab = Lab::new(&[0]);
    assert_eq!(lab.write(b"answer"), Poll::Ready(6));
    lab.flush();
    assert!(matches!(lab.read(), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WriteZero));
}
