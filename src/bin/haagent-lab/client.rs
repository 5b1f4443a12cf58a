//! Small HTTP requests to the lab's own servers, and the client of the service: one connection each.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// The most that is read of one answer: an event log of an hour.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Longer than the longest wait that the event log grants.
const PATIENCE: Duration = Duration::from_secs(70);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("the exchange failed")]
    Exchange(#[source] hyper::Error),
    #[error("the request cannot be written")]
    Request(#[source] hyper::http::Error),
    #[error("the answer broke off, or is too long")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("status {status}: {text}")]
    Refused { status: u16, text: String },
    #[error("the answer is no JSON")]
    Json(#[source] serde_json::Error),
}

/// Where one of the lab's servers listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Server {
    /// Reads `http://ADDRESS:PORT`, as ready lines have it, or ADDRESS:PORT.
    pub(crate) fn parse_url(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let wrong = |_| "write http://ADDRESS:PORT, as the ready line has it in `control`".to_owned();
        address.parse().map(Self::Tcp).map_err(wrong)
    }

    /// A request, and its whole answer if that is 2xx.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Result<Bytes, CallError> {
        match self {
            Self::Tcp(address) => over_tcp(*address, method, path, body).await,
            Self::Unix(socket) => over_unix(socket, method, path, body).await,
        }
    }
}

/// A request over TCP, and its whole answer if that is 2xx.
pub(crate) async fn over_tcp(server: SocketAddr, method: &str, path: &str, body: &str) -> Result<Bytes, CallError> {
    let stream = TcpStream::connect(server).await.map_err(CallError::Connect)?;
    within_patience(exchange(stream, method, path, body)).await
}

/// The same on a unix socket.
pub(crate) async fn over_unix(server: &Path, method: &str, path: &str, body: &str) -> Result<Bytes, CallError> {
    let stream = UnixStream::connect(server).await.map_err(CallError::Connect)?;
    within_patience(exchange(stream, method, path, body)).await
}

pub(crate) fn json(answer: &Bytes) -> Result<Value, CallError> {
    serde_json::from_slice(answer).map_err(CallError::Json)
}

async fn within_patience(asking: impl Future<Output = Result<Bytes, CallError>>) -> Result<Bytes, CallError> {
    tokio::time::timeout(PATIENCE, asking).await.map_err(|_| CallError::Late)?
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Bytes, CallError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(CallError::Exchange)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "lab")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .map_err(CallError::Request)?;
    // The connection moves the bytes; it ends after the answer, and with an error only where `answer` has one too.
    let answer = async {
        let answer = sender.send_request(request).await.map_err(CallError::Exchange)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await.map_err(CallError::Body)?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            Err(CallError::Refused { status: status.as_u16(), text: String::from_utf8_lossy(&body).into_owned() })
        }
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answered = &mut answer => answered,
        _ = &mut connection => answer.await,
    }
}
