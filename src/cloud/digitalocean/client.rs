//! The API's client: one call is one request. It does not retry and decides nothing.
//!
//! Three HTTP clients share one TLS configuration and one resolver: the working
//! one keeps a connection, the fresh one never does (after an answer that did not
//! come, the same connection may be what is broken), the warming one sends nothing.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;

use super::error::{Call, Error, ErrorKind, Refusal, WaitHeaders, wait};
use super::types::{Action, ActionAnswer, Droplet, DropletAnswer, ErrorBody, ReservedIp, ReservedIpAnswer};
use crate::cloud::warm::{Kept, Shelf, Use};
use crate::config::secret::Secret;
use crate::net::clean;
use crate::net::dns::Resolver;
use crate::net::http::{self, TlsError};
use crate::proto::claim::event::CloudActionId;
use crate::proto::ids::DropletId;
use crate::proto::time::Duration;
use crate::sys::clock;

/// The longest body that is read. A droplet has about 6 KiB.
pub const BODY_LIMIT: usize = 1 << 20;

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base address, without `/v2`.
    pub api_url: String,
    /// The token.
    pub token: Secret,
    /// Where the token came from, in words for an operator: "/etc/haagent/do-token".
    pub token_source: String,
    /// Authorities to trust beside the host's own.
    pub ca_file: Option<PathBuf>,
    /// How long one call may take, from DNS to the last byte of the answer.
    pub timeout: Duration,
    /// Names to addresses; shared with the reach probe.
    pub resolver: Resolver,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The base address is none.
    #[error("digitalocean.api_url {url:?} is not an address like https://api.digitalocean.com")]
    Url { url: String },
    /// The token cannot be sent.
    #[error("the token from {source_of_token} has a letter that no token has (a line break?)")]
    Token { source_of_token: String },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP library refuses the settings.
    #[error("no HTTP client")]
    Http(#[source] reqwest::Error),
}

/// Which connection a read goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The one that is kept, or a new one.
    Kept,
    /// A new one.
    Fresh,
}

/// The API's client. Clones share the connections.
#[derive(Clone)]
pub struct Client {
    working: reqwest::Client,
    fresh: reqwest::Client,
    warming: reqwest::Client,
    shelf: Shelf,
    base: Url,
    host: Arc<str>,
    token: Secret,
    token_source: Arc<str>,
    timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// The base address of the API: `http` or `https`, with a host, without anything that a path would follow oddly.
///
/// # Errors
/// It is something else.
pub fn base_url(text: &str) -> Result<Url, SettingsError> {
    let refused = || SettingsError::Url { url: clean(text) };
    let mut url = Url::parse(text).map_err(|_| refused())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain || url.fragment().is_some() {
        return Err(refused());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

impl Client {
    /// A client. Opens nothing; loads the host's authorities if the address is `https`.
    ///
    /// # Errors
    /// The settings cannot be used; the text says what to do.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let base = base_url(&settings.api_url)?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", settings.token.expose()))
            .map_err(|_| SettingsError::Token { source_of_token: settings.token_source.clone() })?;
        authorization.set_sensitive(true);
        let headers: HeaderMap =
            [(AUTHORIZATION, authorization), (ACCEPT, HeaderValue::from_static("application/json"))]
                .into_iter()
                .collect();

        let tls = if base.scheme() == "https" { http::tls(settings.ca_file.as_deref())? } else { http::no_tls()? };
        // Less than the whole, so that "nothing was sent" can be told from "no answer".
        let connect_timeout = settings.timeout * 3 / 5;
        let builder = || http::builder(tls.clone(), settings.resolver.clone(), connect_timeout);
        let shelf = Shelf::default();
        let working = builder().default_headers(headers.clone()).connector_layer(Use::Take(shelf.clone()));
        let fresh = builder().default_headers(headers).pool_max_idle_per_host(0);
        let warming = builder().pool_max_idle_per_host(0).connector_layer(Use::Keep(shelf.clone()));
        Ok(Self {
            working: working.build().map_err(SettingsError::Http)?,
            fresh: fresh.build().map_err(SettingsError::Http)?,
            warming: warming.build().map_err(SettingsError::Http)?,
            shelf,
            host: base.host_str().unwrap_or_default().into(),
            base,
            token: settings.token,
            token_source: settings.token_source.into(),
            timeout: settings.timeout,
        })
    }

    /// Whether the other one was made with the same token, by the same call.
    #[must_use]
    pub fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.token_source, &other.token_source)
    }

    /// `GET /v2/reserved_ips/{ip}`: who holds the address.
    ///
    /// # Errors
    /// See [`ErrorKind`]; so for all calls below.
    pub async fn reserved_ip(&self, address: Ipv4Addr, connection: Connection) -> Result<ReservedIp, Error> {
        let client = match connection {
            Connection::Kept => &self.working,
            Connection::Fresh => &self.fresh,
        };
        let request = client.get(self.url(&format!("v2/reserved_ips/{address}")));
        self.call(Call::ReservedIp(address), request).await.map(|answer: ReservedIpAnswer| answer.reserved_ip)
    }

    /// `POST /v2/reserved_ips/{ip}/actions`: make the address point to the droplet,
    /// whoever has it now. An error may come after it worked: [`Error::class`] tells.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub async fn assign(&self, address: Ipv4Addr, droplet: DropletId) -> Result<Action, Error> {
        let body = serde_json::json!({ "type": "assign", "droplet_id": droplet }).to_string();
        let request = self
            .working
            .request(Method::POST, self.url(&format!("v2/reserved_ips/{address}/actions")))
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        self.call(Call::Assign { address, droplet }, request).await.map(|answer: ActionAnswer| answer.action)
    }

    /// `GET /v2/reserved_ips/{ip}/actions/{id}`: how far the action is. Not
    /// `/v2/actions/{id}`, which needs another scope.
    ///
    /// # Errors
    /// See [`ErrorKind`]. 404 may mean "not visible yet".
    pub async fn action(&self, address: Ipv4Addr, action: CloudActionId) -> Result<Action, Error> {
        let request = self.working.get(self.url(&format!("v2/reserved_ips/{address}/actions/{}", action.0)));
        self.call(Call::Action { address, action }, request).await.map(|answer: ActionAnswer| answer.action)
    }

    /// `GET /v2/droplets/{id}`.
    ///
    /// # Errors
    /// See [`ErrorKind`]. 404: the droplet is gone, or another account's.
    pub async fn droplet(&self, droplet: DropletId) -> Result<Droplet, Error> {
        let request = self.working.get(self.url(&format!("v2/droplets/{droplet}")));
        self.call(Call::Droplet(droplet), request).await.map(|answer: DropletAnswer| answer.droplet)
    }

    /// Opens a connection (DNS, TCP, TLS) for the next call, unless one is open
    /// already; no request.
    ///
    /// # Errors
    /// No connection could be opened.
    pub async fn warm(&self) -> Result<(), Error> {
        if self.shelf.is_filled() {
            return Ok(());
        }
        // The request has no token and is never written: see `cloud::warm`.
        match tokio::time::timeout(self.timeout, self.warming.get(self.base.clone()).send()).await {
            Ok(Err(error)) if is_kept(&error) => Ok(()),
            Ok(Err(error)) => Err(self.error(Call::Warm, ErrorKind::of_exchange(error))),
            Ok(Ok(_)) | Err(_) => Err(self.error(Call::Warm, ErrorKind::TimedOut(self.timeout))),
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    async fn call<T: DeserializeOwned>(&self, call: Call, request: RequestBuilder) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kind)) => Err(self.error(call, kind)),
            Err(_) => Err(self.error(call, ErrorKind::TimedOut(self.timeout))),
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ErrorKind> {
        let response = request.send().await.map_err(ErrorKind::of_exchange)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = http::read_limited(response, BODY_LIMIT).await;
        let status_code = status.as_u16();
        if !status.is_success() {
            // The status decides; a body that cannot be read has no text to show.
            return Err(ErrorKind::Refused(self.refusal(status_code, &headers, &body.unwrap_or_default())));
        }
        let body = body.map_err(|error| ErrorKind::of_body(status_code, error))?;
        serde_json::from_slice(&body).map_err(|cause| ErrorKind::Nonsense {
            status: status_code,
            content_type: header(&headers, &CONTENT_TYPE)
                .map_or("no content type".to_owned(), |text| self.harmless(text)),
            cause,
        })
    }

    fn refusal(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let parsed: Option<ErrorBody> = serde_json::from_slice(body).ok();
        let by_api = parsed.as_ref().is_some_and(|body| !body.id.is_empty() || !body.message.is_empty());
        let parsed = parsed.unwrap_or_default();
        let named = |name: &'static str| header(headers, &HeaderName::from_static(name));
        let waits =
            WaitHeaders { retry_after: named("retry-after"), reset: named("ratelimit-reset"), date: named("date") };
        Refusal {
            status,
            by_api,
            id: self.harmless(&parsed.id),
            message: self.harmless(&parsed.message),
            request_id: parsed
                .request_id
                .as_deref()
                .or_else(|| named("x-request-id"))
                .map(|text| self.harmless(text))
                .filter(|text| !text.is_empty()),
            wait: wait(waits, clock::wall()),
            token_source: Arc::clone(&self.token_source),
        }
    }

    /// A text from outside that may be shown: one line, not endless, and without
    /// the token, should whoever answered have sent it back.
    fn harmless(&self, text: &str) -> String {
        match self.token.expose() {
            "" => clean(text),
            token => clean(&text.replace(token, "(token)")),
        }
    }

    fn error(&self, call: Call, kind: ErrorKind) -> Error {
        Error { call, host: Arc::clone(&self.host), kind }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the warming request failed as it should.
fn is_kept(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Kept>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests;
