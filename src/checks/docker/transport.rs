//! The way to the engine: one connection for each request, with a limit on what it may say.
//!
//! bollard collects an answer whole before it looks at it, and a line of the event
//! stream too. Here each answer is counted on its way, below HTTP, so that an engine
//! (or whatever listens on its socket) that talks without end gets an error, not our memory.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bollard::errors::Error as EngineError;
use bollard::{API_DEFAULT_VERSION, BollardRequest};
use futures_util::FutureExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// What hyper may hold of an answer that nobody has asked for yet; a head must fit in it.
const BUFFER_BYTES: usize = 32 * 1024;

/// No connection to the engine.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {}: {}; {}", .socket.display(), reason(.source), mend(.source))]
struct ConnectError {
    socket: PathBuf,
    source: io::Error,
}

/// The operating system's words without its number.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
        _ => error.to_string(),
    }
}

fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "add the agent's user to the group docker (equals root), or use a proxy",
        io::ErrorKind::NotFound => "is Docker installed, and [docker] socket right?",
        io::ErrorKind::ConnectionRefused => "is Docker running?",
        _ => "see systemctl status docker",
    }
}

/// The engine says more than it may.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {limit} bytes")]
struct TooLong {
    limit: usize,
}

/// Carries one request at a time.
#[derive(Clone, Debug)]
pub(super) struct Transport(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: PathBuf,
    meter: Arc<Meter>,
    answered: Notify,
}

impl Transport {
    /// To the engine that listens on `socket`; an answer may have `limit` bytes, head included.
    pub(super) fn new(socket: &Path, limit: usize) -> Self {
        Self(Arc::new(Shared {
            socket: socket.to_owned(),
            meter: Arc::new(Meter { limit, left: AtomicUsize::new(limit) }),
            answered: Notify::new(),
        }))
    }

    /// bollard on this transport. Its own timeout, which counts whole seconds and only up
    /// to the head of an answer, is out of the way: every call is to be wrapped in another.
    pub(super) fn client(&self) -> Result<bollard::Docker, EngineError> {
        const NEVER: u64 = 3600;
        let shared = Arc::clone(&self.0);
        let carry = move |request| {
            let shared = Arc::clone(&shared);
            async move { shared.request(request).await }
        };
        bollard::Docker::connect_with_custom_transport(carry, Some("http://docker"), NEVER, API_DEFAULT_VERSION)
    }

    /// The engine may say as much once more: what it said so far has been dealt with.
    pub(super) fn refill(&self) {
        self.0.meter.refill();
    }

    /// Returns when the head of the newest answer has come.
    pub(super) async fn answered(&self) {
        self.0.answered.notified().await;
    }
}

impl Shared {
    async fn request(&self, request: BollardRequest) -> Result<Response<Incoming>, EngineError> {
        self.meter.refill();
        self.answered.notified().now_or_never();
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| io::Error::other(ConnectError { socket: self.socket.clone(), source }))?;
        let metered = TokioIo::new(Metered { stream, meter: Arc::clone(&self.meter) });
        let (mut sender, connection) = http1::Builder::new().max_buf_size(BUFFER_BYTES).handshake(metered).await?;
        // It ends with the answer, or when nobody waits for that any more: then hyper
        // closes the connection. What goes wrong on it is told to whoever waits.
        tokio::spawn(async move { drop(connection.await) });
        let response = sender.send_request(to_origin(request)?).await?;
        self.answered.notify_one();
        Ok(response)
    }
}

/// bollard writes whole addresses; a server is asked for a path (RFC 9112, section 3.2.1).
fn to_origin(mut request: BollardRequest) -> Result<BollardRequest, EngineError> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse()?;
    *request.uri_mut() = path;
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    Ok(request)
}

#[derive(Debug)]
struct Meter {
    limit: usize,
    left: AtomicUsize,
}

impl Meter {
    fn refill(&self) {
        self.left.store(self.limit, Ordering::Relaxed);
    }

    /// One connection reads at a time, so the sum needs no more care than this.
    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self.left.load(Ordering::Relaxed).checked_sub(bytes);
        self.left.store(left.unwrap_or(0), Ordering::Relaxed);
        left.map(drop).ok_or_else(|| io::Error::other(TooLong { limit: self.limit }))
    }
}

/// A connection on which what comes is counted.
#[derive(Debug)]
struct Metered {
    stream: UnixStream,
    meter: Arc<Meter>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(self.meter.spend(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
    use super::*;

    #[test]
    fn a_refused_connection_says_what_failed_on_what_why_and_what_to_do() {
        for (kind, expected) in [
            (
                io::ErrorKind::PermissionDenied,
                "cannot connect to /run/d.sock: permission denied; add the agent's user to the group docker (equals \
                 root), or use a proxy",
            ),
            (
                io::ErrorKind::NotFound,
                "cannot connect to /run/d.sock: no such file; is Docker installed, and [docker] socket right?",
            ),
            (io::ErrorKind::ConnectionRefused, "cannot connect to /run/d.sock: nobody listens; is Docker running?"),
        ] {
            assert_eq!(ConnectError { socket: "/run/d.sock".into(), source: kind.into() }.to_string(), expected);
        }
    }
}
