//! The HTTP server under all of the lab's listeners: plain hyper, HTTP/1.1, with a limit on
//! everything that a client could use up, and with ways to answer badly on purpose.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Open connections per listener; what comes above it is closed at once.
const MAX_CONNECTIONS: usize = 256;
/// The longest request body: ours have under 1 KiB.
const MAX_REQUEST_BODY: usize = 64 * 1024;
/// How long a head may take to arrive, and how long a connection may idle between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The queue of the kernel for connections not yet accepted.
const BACKLOG: u32 = 1024;
/// The pause after a failed accept (out of file descriptors) or a port not yet free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The wait between the first half of an answer and its cut, so that the half is on the wire.
const CUT_PAUSE: Duration = Duration::from_millis(20);

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Cut>;

/// The answer ends here, on purpose.
#[derive(Debug, thiserror::Error)]
#[error("this answer is cut on purpose")]
pub(crate) struct Cut;

/// One request, read whole.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Percent-decoded, without the query.
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Who asks; none on a unix socket.
    pub(crate) source: Option<SocketAddr>,
}

/// The pairs behind the question mark, percent-decoded.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (percent_decoded(&key.replace('+', " ")), percent_decoded(&value.replace('+', " ")))
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// The value as a number; none too if it is not one.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.value(key)?.parse().ok()
    }
}

/// What a handler wants to happen on the connection.
pub(crate) enum Reply {
    Answer(Response<Body>),
    /// The answer, and a reset when it ends or is cut.
    AnswerThenReset(Response<Body>),
    /// No answer; the connection ends (FIN).
    Close,
    /// No answer; the connection is reset (RST).
    Reset,
}

/// What stands behind a listener.
pub(crate) trait Handler: Clone + Send + Sync + Unpin + 'static {
    fn handle(&self, asked: Asked) -> impl Future<Output = Reply> + Send;
}

/// Waits so long. Nothing costs nothing: a timer would round up to its next millisecond.
pub(crate) async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).unwrap_or_else(|error| format!("{{\"message\":\"{error}\"}}").into_bytes());
    answer(status, "application/json; charset=utf-8", text)
}

/// An answer of any type, with its length.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body that is whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body made of what a stream yields, sent piece by piece.
pub(crate) fn streamed(pieces: impl futures_util::Stream<Item = Result<Bytes, Cut>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

/// `prefix`, then padding: `bytes` of it, or without end. Never more than a piece is in memory.
pub(crate) fn padded(prefix: &'static str, bytes: Option<u64>) -> Body {
    const PIECE: usize = 64 * 1024;
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let pieces = bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes / PIECE as u64).unwrap_or(usize::MAX));
    let head = stream::once(async move { Ok(Bytes::from_static(prefix.as_bytes())) });
    streamed(head.chain(stream::repeat(piece).take(pieces).map(Ok)))
}

/// A body that begins and then says nothing more.
pub(crate) fn silent_after(start: impl Into<Bytes>) -> Body {
    let start = start.into();
    streamed(stream::once(async move { Ok(start) }).chain(stream::pending()))
}

/// The first half of `whole`, then a cut.
pub(crate) fn cut_in_half(whole: &Bytes) -> Body {
    let half = whole.slice(..whole.len() / 2);
    let cut = stream::once(async {
        tokio::time::sleep(CUT_PAUSE).await;
        Err(Cut)
    });
    streamed(stream::once(async move { Ok(half) }).chain(cut))
}

/// `whole`, one byte at a time.
pub(crate) fn dripped(whole: Bytes, pause: Duration) -> Body {
    streamed(stream::iter(0..whole.len()).then(move |at| {
        let byte = whole.slice(at..=at);
        async move {
            tokio::time::sleep(pause).await;
            Ok(byte)
        }
    }))
}

/// A bound TCP address that may be listening or, as long as its door is shut, refusing.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds and listens.
    ///
    /// # Errors
    /// The address is taken or not this host's.
    pub(crate) fn new(address: SocketAddr) -> io::Result<Self> {
        let listener = reserve(address)?.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listening socket, for what is not HTTP.
    pub(crate) fn into_listener(self) -> TcpListener {
        self.listener
    }
}

/// A socket that holds the address without listening: connections to it are refused.
fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves until the task is dropped. While `open` is false, connections are refused and those
/// that were open are cut.
pub(crate) async fn serve_tcp<H: Handler>(bound: Bound, mut open: watch::Receiver<bool>, handler: H) {
    let address = bound.address;
    let mut listener = bound.listener;
    loop {
        let mut connections = JoinSet::new();
        let accepting = async {
            loop {
                while connections.try_join_next().is_some() {}
                match listener.accept().await {
                    Ok(_) if connections.len() >= MAX_CONNECTIONS => {}
                    Ok((stream, source)) => {
                        let _ = stream.set_nodelay(true);
                        connections.spawn(serve_connection(stream, Some(source), handler.clone()));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            shut = open.wait_for(|open| !open) => if shut.is_err() { return },
        }
        drop(connections);
        drop(listener);
        let held = loop {
            match reserve(address) {
                Ok(socket) => break socket,
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        };
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        match held.listen(BACKLOG) {
            Ok(again) => listener = again,
            Err(_) => return,
        }
    }
}

/// Serves a unix socket until the task is dropped.
pub(crate) async fn serve_unix<H: Handler>(listener: UnixListener, handler: H) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok(_) if connections.len() >= MAX_CONNECTIONS => {}
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, None, handler.clone()));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// A connection that can be made to end with a reset.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn reset_when_dropped(&self);
}

impl Connection for TcpStream {
    fn reset_when_dropped(&self) {
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Connection for UnixStream {
    fn reset_when_dropped(&self) {} // a unix socket knows no reset: the peer sees an end
}

/// Ends a TCP connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    stream.reset_when_dropped();
}

async fn serve_connection<C: Connection, H: Handler>(stream: C, source: Option<SocketAddr>, handler: H) {
    type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Cut>> + Send>>;
    let resets = Arc::new(AtomicBool::new(false));
    let resets_too = Arc::clone(&resets);
    let service = service_fn(move |request| -> Answering {
        let (handler, resets) = (handler.clone(), Arc::clone(&resets_too));
        Box::pin(async move {
            let reply = match read(request, source).await {
                Ok(asked) => handler.handle(asked).await,
                Err(refusal) => refusal,
            };
            match reply {
                Reply::Answer(response) => Ok(response),
                Reply::AnswerThenReset(response) => {
                    resets.store(true, Ordering::Relaxed);
                    Ok(response)
                }
                Reply::Close => Err(Cut),
                Reply::Reset => {
                    resets.store(true, Ordering::Relaxed);
                    Err(Cut)
                }
            }
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // An error here is the client's hurry or our own cut; both end this connection only.
    let _ = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let mut stream = connection.into_parts().io.into_inner();
    if resets.load(Ordering::Relaxed) {
        stream.reset_when_dropped();
    } else {
        let _ = stream.shutdown().await;
    }
}

async fn read(request: Request<Incoming>, source: Option<SocketAddr>) -> Result<Asked, Reply> {
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_REQUEST_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(Reply::Answer(answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "too large\n"))),
        Err(_) => return Err(Reply::Close),
    };
    Ok(Asked {
        method: head.method,
        path: percent_decoded(head.uri.path()),
        query: Query::parse(head.uri.query().unwrap_or("")),
        headers: head.headers,
        body,
        source,
    })
}

/// `%2F` as `/` and so on; what is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| first == b'%').and_then(|hex| {
            let hex = std::str::from_utf8(hex).ok().filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u8::from_str_radix(hex, 16).ok()
        });
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or(&[]);
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded() {
        let query = Query::parse("filters=%7B%22a%22%3A1%7D&all&name=a+b&odd=%zz%2");
        assert_eq!(query.value("filters"), Some("{\"a\":1}"));
        assert_eq!((query.value("all"), query.value("name")), (Some(""), Some("a b")));
        assert_eq!((query.value("odd"), query.value("absent")), (Some("%zz%2"), None));
    }
}
