//! An answer before it is sent, and the ways to spoil it.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::order::Effect;
use crate::http::{self, Body, Reply};

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=UTF-8";

/// A gateway's page: a few KiB of HTML, as it stands between a client and the API.
const GATEWAY_PAGE: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head><title>api.digitalocean.com | 502: Bad gateway</title></head>\n",
    "<body>\n<h1>Bad gateway</h1>\n<p>The web server reported a bad gateway error.</p>\n",
);
const GATEWAY_FILLER: &str = "<p>Please try again in a few minutes.</p>\n";

/// A whole answer, not yet sent.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// The `message` of an error body, for the event log.
    pub(crate) message: Option<String>,
}

impl Plain {
    pub(crate) fn json(status: u16, value: &Value) -> Self {
        let message = value.get("message").and_then(Value::as_str).map(str::to_owned);
        Self { message, ..Self::new(status, JSON, value.to_string()) }
    }

    pub(crate) fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, TEXT, body)
    }

    pub(crate) fn gateway_page(status: u16) -> Self {
        let body = format!("{GATEWAY_PAGE}{}</body>\n</html>\n", GATEWAY_FILLER.repeat(60));
        Self::new(status, HTML, body).with("server", "cloudflare")
    }

    pub(crate) fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: Bytes::new(), message: None }
    }

    /// Adds a header, in place of one of the same name; an empty value only removes.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value));
        }
        self
    }

    fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![(CONTENT_TYPE.to_string(), content_type.to_owned())];
        Self { status, headers, body: body.into(), message: None }
    }

    fn response(&self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        // Faults are checked when they are ordered; what still fits no header is left out.
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }

    /// Sends it, spoilt as `ending` says.
    pub(crate) fn send(self, ending: Option<&Effect>) -> Reply {
        let declared = |mut response: Response<Body>, bytes: u64| {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
            response
        };
        let length = self.body.len() as u64;
        match ending {
            Some(Effect::LostAnswer) => Reply::Close,
            Some(Effect::HeadThenSilence) => {
                let first = self.body.slice(..self.body.len().min(1));
                Reply::Answer(declared(self.response(http::silent_after(first)), length.max(2)))
            }
            Some(Effect::ResetMidBody) => {
                Reply::AnswerThenReset(declared(self.response(http::cut_in_half(&self.body)), length.max(1)))
            }
            Some(Effect::Truncated) => Reply::Answer(self.response(http::full(self.body.slice(..self.body.len() / 2)))),
            Some(Effect::Drip { ms }) => {
                let body = http::dripped(self.body.clone(), Duration::from_millis(*ms));
                Reply::Answer(declared(self.response(body), length))
            }
            Some(Effect::Huge { bytes }) => Reply::Answer(self.response(http::padded("{\"padding\":\"", Some(*bytes)))),
            Some(Effect::Endless) => Reply::Answer(self.response(http::padded("{\"padding\":\"", None))),
            Some(_) | None => Reply::Answer(self.response(http::full(self.body.clone()))),
        }
    }
}
