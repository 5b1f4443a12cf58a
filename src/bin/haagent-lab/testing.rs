//! A client for the lab's own tests: one request per connection, and every way to fail is seen.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The most that is read of one answer.
pub(crate) const READ_LIMIT: usize = 2 * 1024 * 1024;

/// An answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
    /// The body was longer than anyone should read.
    pub(crate) too_long: bool,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A request to an HTTP address of the lab (`http://` is skipped).
pub(crate) async fn call(
    base: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> io::Result<Got> {
    let address: SocketAddr = base.trim_start_matches("http://").parse().expect("an address of the lab");
    let stream = TcpStream::connect(address).await?;
    exchange(stream, method, path, token, body).await
}

/// A request on a stream that is open.
pub(crate) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> io::Result<Got> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let body = body.unwrap_or("");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    let mut limited = (&mut stream).take(READ_LIMIT as u64);
    let read = limited.read_to_end(&mut bytes);
    tokio::time::timeout(PATIENCE, read).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let body = bytes.split_off(end + 4);
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let too_long = end + 4 + body.len() >= READ_LIMIT;
    let got = Got { status, head, body, too_long };
    let short = got.header("content-length").is_some_and(|length| length != got.body.len().to_string());
    if short && !too_long { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(got) }
}
