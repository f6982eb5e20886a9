//! One HTTP/1.1 request on one connection. The connection lives in the answer, so nothing runs on its own.

use std::future::{Future, pending};
use std::pin::{Pin, pin};

use http::{Request, StatusCode, response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

type Connection = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// An answer whose body is still to come.
pub(super) struct Answer {
    head: response::Parts,
    body: Incoming,
    connection: Connection,
}

/// Sends `request` on `stream`.
///
/// # Errors
/// When what comes is no answer.
pub(super) async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answer, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut connection: Connection = Some(Box::pin(async move {
        // How it ended says nothing that the exchange does not say.
        let _ = connection.await;
    }));
    let mut asked = pin!(sender.send_request(request));
    let answer = loop {
        tokio::select! {
            answer = &mut asked => break answer?,
            () = drive(&mut connection) => {}
        }
    };
    let (head, body) = answer.into_parts();
    Ok(Answer { head, body, connection })
}

impl Answer {
    /// Its status.
    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The next part of its body. Losing this future loses nothing.
    pub(super) async fn chunk(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let frame = tokio::select! {
                frame = self.body.frame() => frame?,
                () = drive(&mut self.connection) => continue,
            };
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers hold nothing that is wanted.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Its body as text, as far as `max` bytes.
    ///
    /// # Errors
    /// When it breaks off before.
    pub(super) async fn text(&mut self, max: usize) -> Result<String, hyper::Error> {
        let mut bytes = Vec::new();
        while bytes.len() < max
            && let Some(chunk) = self.chunk().await
        {
            bytes.extend(chunk?.into_iter().take(max - bytes.len()));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

async fn drive(connection: &mut Connection) {
    match connection {
        Some(running) => {
            running.await;
            *connection = None;
        }
        None => pending().await,
    }
}
