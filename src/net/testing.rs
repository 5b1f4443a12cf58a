//! A server that answers as badly as real ones do, for the tests of the clients.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::proto::time::Duration;

/// How the server treats one connection's next request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes, and the connection stays open.
    Keep(String),
    /// These bytes, and the end.
    Close(String),
    /// The request is read, then the connection is reset.
    Reset,
    /// The request is read, and nothing comes.
    Silence,
    /// These bytes, then one byte of space again and again: each byte comes, the answer never.
    Drip(String),
    /// These bytes, then `x` as often as it takes, up to the number of bytes.
    Flood(String, u64),
}

/// What the server saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Head and body of each request, in order.
    pub(crate) requests: Vec<String>,
    /// Connections accepted.
    pub(crate) connections: usize,
    /// Bytes written by a flood that has ended.
    pub(crate) flooded: Option<u64>,
}

/// The server. It lives as long as the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: watch::Receiver<Seen>,
}

impl Server {
    /// Answers the first request with the first reply and so on; the last one repeats.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut replies: Vec<Reply> = replies.into_iter().collect();
        replies.reverse();
        let replies = Arc::new(Mutex::new(replies));
        let (told, seen) = watch::channel(Seen::default());
        let told = Arc::new(told);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                told.send_modify(|seen| seen.connections += 1);
                tokio::spawn(serve(stream, Arc::clone(&replies), Arc::clone(&told)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until the server has seen what `enough` asks for.
    pub(crate) async fn wait_for(&self, enough: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(Duration::from_secs(10), seen.wait_for(enough)).await;
        waited.expect("the server did not see it").unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, replies: Arc<Mutex<Vec<Reply>>>, told: Arc<watch::Sender<Seen>>) {
    while let Some(request) = read_request(&mut stream).await {
        told.send_modify(|seen| seen.requests.push(request));
        let reply = {
            let mut replies = replies.lock().unwrap();
            if replies.len() > 1 { replies.pop() } else { replies.last().cloned() }
        };
        let Some(reply) = reply else { return };
        match reply {
            Reply::Keep(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Close(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
            Reply::Reset => {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            Reply::Silence => std::future::pending().await,
            Reply::Drip(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                let mut tick = tokio::time::interval(Duration::from_millis(20));
                while stream.write_all(b" ").await.is_ok() {
                    tick.tick().await;
                }
                return;
            }
            Reply::Flood(text, bytes) => {
                let mut written = 0;
                if stream.write_all(text.as_bytes()).await.is_ok() {
                    let chunk = [b'x'; 16 * 1024];
                    while written < bytes && stream.write_all(&chunk).await.is_ok() {
                        written += chunk.len() as u64;
                    }
                }
                told.send_modify(|seen| seen.flooded = Some(written));
                return;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let wanted = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse().unwrap());
        if body.len() >= wanted {
            return Some(text.into_owned());
        }
    }
}

/// An HTTP/1.1 answer.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// An HTTP/1.1 answer with the API's content type.
pub(crate) fn json(status: u16, body: &str) -> String {
    answer(status, "content-type: application/json; charset=utf-8\r\n", body)
}
