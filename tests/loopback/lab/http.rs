//! As much of an HTTP client as the lab's control endpoints need: one request, one connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// Longer than the longest wait that is asked of a control endpoint.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks over TCP. `url` is `http://ADDRESS:PORT`.
pub fn tcp(url: &str, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let address: SocketAddr = url.trim_start_matches("http://").parse().map_err(|error| format!("{url}: {error}"))?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| format!("{url}: {error}"))?;
    let timeouts = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    timeouts.and_then(|()| ask(stream, method, path, body)).map_err(|error| format!("{method} {url}{path}: {error}"))
}

/// Asks over a unix socket.
pub fn unix(socket: &Path, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let asked = UnixStream::connect(socket).and_then(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        ask(stream, method, path, body)
    });
    asked.map_err(|error| format!("{method} {} {path}: {error}", socket.display()))
}

fn ask(mut stream: impl Read + Write, method: &str, path: &str, body: &Value) -> io::Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no whole answer"))?;
    if head.split(' ').nth(1).is_none_or(|status| !status.starts_with('2')) {
        return Err(io::Error::other(format!("{head}\n{body}")));
    }
    Ok(serde_json::from_str(body).unwrap_or(Value::Null))
}
