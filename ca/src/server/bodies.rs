//! Bodies that something hangs on: what is read of a request counts against its place, and an answer that goes on keeps
//! what it holds until its end.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tonic::Status;

use super::peers::Place;

/// What a caller hears whose message finds no room any more.
const NO_ROOM_TEXT: &str = "too many requests, try again";

/// The message of a request.
pub(super) struct Counted {
    incoming: Incoming,
    place: Arc<Place>,
}

impl Counted {
    pub(super) fn new(incoming: Incoming, place: Arc<Place>) -> Self {
        if incoming.is_end_stream() {
            place.was_read();
        }
        Self { incoming, place }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if polled.is_none() || self.incoming.is_end_stream() {
            self.place.was_read();
        }
        let bytes = match &polled {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        if bytes > 0 && !self.place.grow(bytes) {
            return Poll::Ready(Some(Err(Status::resource_exhausted(NO_ROOM_TEXT).into())));
        }
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The messages of an answer, and what is held as long as they may come.
pub(super) struct Keeping<T> {
    pub(super) body: tonic::body::Body,
    pub(super) _held: T,
}

impl<T: Unpin> Body for Keeping<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
