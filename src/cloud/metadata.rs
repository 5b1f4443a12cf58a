//! What the hypervisor tells this droplet about itself.
//!
//! Local, free, and only about this droplet. Single paths are read, never
//! `v1.json` or user data: those carry secrets. It may lag behind the API, and
//! an error is "unknown", never "not mine".

use std::fmt;
use std::net::Ipv4Addr;

use reqwest::{StatusCode, Url};

use crate::cloud::digitalocean::client::base_url;
use crate::net::dns::Resolver;
use crate::net::http::{self, BodyError, TlsError};
use crate::proto::ids::DropletId;
use crate::proto::time::Duration;

/// How long one read may take (go-metadata and cloud-init wait as long).
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer that is read: a value has some ten bytes, an error page more.
const LIMIT: usize = 16 * 1024;

/// Why a value could not be had. All mean "unknown".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The base address is none.
    #[error("digitalocean.metadata_url {url:?} is not an address like http://169.254.169.254")]
    Url { url: String },
    /// The HTTP library refuses its settings.
    #[error("no HTTP client")]
    Http(#[source] reqwest::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No answer.
    #[error("metadata {path}: no answer")]
    Lost {
        path: &'static str,
        #[source]
        cause: reqwest::Error,
    },
    /// No answer in time.
    #[error("metadata {path}: no answer within {} s", TIMEOUT.as_secs())]
    TimedOut { path: &'static str },
    /// An answer that is neither the value nor "no such value".
    #[error("metadata {path}: answered {status}")]
    Status { path: &'static str, status: u16 },
    /// 404: this droplet has no such value.
    #[error("metadata {path}: this droplet has no such value")]
    Absent { path: &'static str },
    /// An answer that is no value of this kind.
    #[error("metadata {path}: answered {text:?}, which is not {wanted}")]
    Nonsense { path: &'static str, text: String, wanted: &'static str },
    /// An answer that is too long to be a value.
    #[error("metadata {path}: the answer cannot be read")]
    Body {
        path: &'static str,
        #[source]
        cause: BodyError,
    },
}

/// The metadata service's client. Clones share the connection.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

const ID: &str = "metadata/v1/id";
const PRIVATE_ADDRESS: &str = "metadata/v1/interfaces/private/0/ipv4/address";
const ACTIVE: &str = "metadata/v1/reserved_ip/ipv4/active";
const RESERVED_ADDRESS: &str = "metadata/v1/reserved_ip/ipv4/ip_address";

impl Client {
    /// A client for the service at `metadata_url`, which is plain HTTP. Opens nothing.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn new(metadata_url: &str, resolver: Resolver) -> Result<Self, Error> {
        let base = base_url(metadata_url).ok().filter(|url| url.scheme() == "http");
        let base = base.ok_or_else(|| Error::Url { url: metadata_url.to_owned() })?;
        let http = http::builder(http::no_tls()?, resolver, TIMEOUT).build().map_err(Error::Http)?;
        Ok(Self { http, base })
    }

    /// This droplet's number.
    ///
    /// # Errors
    /// It is unknown; so for all reads below.
    pub async fn id(&self) -> Result<DropletId, Error> {
        let text = self.value(ID).await?;
        text.parse().map(DropletId).map_err(|_| nonsense(ID, &text, "a droplet's number"))
    }

    /// This droplet's address in its VPC.
    ///
    /// # Errors
    /// It is unknown, or (404) there is none.
    pub async fn private_address(&self) -> Result<Ipv4Addr, Error> {
        self.address(PRIVATE_ADDRESS).await
    }

    /// Whether this droplet holds the reserved IP, as far as the service has heard.
    ///
    /// # Errors
    /// It is unknown: no answer, an error, or an answer that contradicts itself.
    pub async fn holds(&self, reserved: Ipv4Addr) -> Result<bool, Error> {
        let text = self.value(ACTIVE).await?;
        match text.as_str() {
            "false" => return Ok(false),
            "true" => {}
            _ => return Err(nonsense(ACTIVE, &text, "true or false")),
        }
        // `active` says only that *some* reserved IP is here. "Active" without an
        // address (404 or empty, in the middle of a move) proves nothing.
        Ok(self.address(RESERVED_ADDRESS).await? == reserved)
    }

    async fn address(&self, path: &'static str) -> Result<Ipv4Addr, Error> {
        let text = self.value(path).await?;
        text.parse().map_err(|_| nonsense(path, &text, "an IPv4 address"))
    }

    async fn value(&self, path: &'static str) -> Result<String, Error> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        let read = async {
            let response =
                self.http.get(url).send().await.map_err(|cause| Error::Lost { path, cause: cause.without_url() })?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Err(Error::Absent { path }),
                status => return Err(Error::Status { path, status: status.as_u16() }),
            }
            http::read_limited(response, LIMIT).await.map_err(|cause| Error::Body { path, cause })
        };
        let body = tokio::time::timeout(TIMEOUT, read).await.map_err(|_| Error::TimedOut { path })??;
        let text = String::from_utf8(body).map_err(|_| nonsense(path, "(not text)", "text"))?;
        Ok(text.trim().to_owned())
    }
}

fn nonsense(path: &'static str, text: &str, wanted: &'static str) -> Error {
    Error::Nonsense { path, text: shown(text), wanted }
}

/// The beginning of a text from outside; `{:?}` makes it one line.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::{Reply, Server, answer};

    const MINE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

    fn ok(text: &str) -> Reply {
        Reply::Keep(answer(200, "content-type: text/plain\r\n", text))
    }

    fn status(status: u16) -> Reply {
        Reply::Keep(answer(status, "", "<html>"))
    }

    async fn client(replies: impl IntoIterator<Item = Reply>) -> (Client, Server) {
        let server = Server::start(replies).await;
        (Client::new(&server.url(), Resolver::default()).unwrap(), server)
    }

    async fn holds(replies: impl IntoIterator<Item = Reply>) -> Result<bool, Error> {
        client(replies).await.0.holds(MINE).await
    }

    #[tokio::test]
    async fn the_holder_is_who_has_this_address_not_who_has_one() {
        assert!(holds([ok("true"), ok("203.0.113.10\n")]).await.unwrap());
        assert!(!holds([ok("true\n"), ok("203.0.113.11")]).await.unwrap());
        assert!(!holds([ok("false"), status(404)]).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_not_said_is_unknown_and_never_not_mine() {
        let html = || ok("<html>busy</html>");
        let odd: [(&str, Vec<Reply>); 12] = [
            ("no tree", vec![status(404)]),
            ("500", vec![status(500)]),
            ("503", vec![status(503)]),
            ("429", vec![status(429)]),
            ("redirect", vec![status(301)]),
            ("html", vec![html()]),
            ("empty", vec![ok("")]),
            ("active without address", vec![ok("true"), status(404)]),
            ("active, empty address", vec![ok("true"), ok("")]),
            ("active, html", vec![ok("true"), html()]),
            ("reset", vec![Reply::Reset]),
            ("50 MB", vec![Reply::Flood("HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n".into(), 50_000_000)]),
        ];
        for (name, replies) in odd {
            assert!(holds(replies).await.is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_silent_or_dripping_service_is_given_up_in_time() {
        let begun = crate::sys::clock::now();
        let dripping = || Reply::Drip("HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n".into());
        let (silent, dripping) = tokio::join!(holds([Reply::Silence]), holds([dripping()]));
        assert!(matches!((silent, dripping), (Err(Error::TimedOut { .. }), Err(Error::TimedOut { .. }))));
        assert!(crate::sys::clock::now().since(begun) < TIMEOUT * 5);
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut_off() {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        let (client, server) = client([Reply::Flood(head.into(), u64::MAX)]).await;
        let error = client.id().await.unwrap_err();
        assert!(matches!(error, Error::Body { cause: BodyError::TooBig { limit: LIMIT }, .. }), "{error:?}");
        server.wait_for(|seen| seen.flooded.is_some()).await;
    }

    #[tokio::test]
    async fn single_paths_are_read_and_trimmed() {
        let replies = ["400000001\n", " 10.10.0.2"];
        let (client, server) = client(replies.map(ok)).await;
        assert_eq!(client.id().await.unwrap(), DropletId(400_000_001));
        assert_eq!(client.private_address().await.unwrap(), Ipv4Addr::new(10, 10, 0, 2));
        let paths: Vec<_> =
            server.seen().requests.iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
        assert_eq!(paths, [ID, PRIVATE_ADDRESS].map(|path| format!("/{path}")));
        assert_eq!(server.seen().connections, 1, "one connection is kept");
    }

    #[test]
    fn an_odd_base_address_is_refused() {
        for url in ["", "169.254.169.254", "https://169.254.169.254", "ftp://x", "http://u:p@x", "http://x?y"] {
            assert!(Client::new(url, Resolver::default()).is_err(), "{url}");
        }
    }
}
