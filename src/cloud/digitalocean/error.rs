//! What can go wrong with a call, what class of failure that is, and the mend.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::net::explain;
use crate::net::http::BodyError;
use crate::proto::claim::event::{CloudActionId, Failure, FailureClass};
use crate::proto::ids::DropletId;
use crate::proto::time::Duration;

/// The longest wait that a `Retry-After` can ask for. The burst window is a
/// minute; a longer wait than this is taken for a broken header, and costs one call.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(300);
/// The longest wait that a `ratelimit-reset` can ask for. It names the time when
/// the *oldest* of 5,000 requests expires, by a clock that is not ours.
pub const RESET_CAP: Duration = Duration::from_secs(60);
/// The wait after a 429 that says nothing about it.
pub const UNSAID_WAIT: Duration = Duration::from_secs(10);
/// The shortest wait after any 429.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Who holds the address.
    ReservedIp(Ipv4Addr),
    /// Make it point to the droplet.
    Assign { address: Ipv4Addr, droplet: DropletId },
    /// How far the action is.
    Action { address: Ipv4Addr, action: CloudActionId },
    /// What the droplet is.
    Droplet(DropletId),
    /// Open a connection; no request.
    Warm,
}

impl Call {
    /// Whether the call changes something, so that a lost answer may have worked.
    const fn writes(&self) -> bool {
        match self {
            Self::Assign { .. } => true,
            Self::ReservedIp(_) | Self::Action { .. } | Self::Droplet(_) | Self::Warm => false,
        }
    }

    /// The scopes that a token needs for the call.
    const fn scopes(&self) -> &'static str {
        match self {
            Self::ReservedIp(_) => "reserved_ip:read and droplet:read",
            Self::Assign { .. } => "reserved_ip:update",
            Self::Action { .. } => "reserved_ip:read",
            Self::Droplet(_) => "droplet:read",
            Self::Warm => "none",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedIp(address) => write!(f, "reading reserved IP {address}"),
            Self::Assign { address, droplet } => write!(f, "assigning {address} to droplet {droplet}"),
            Self::Action { address, action } => write!(f, "asking for action {} on {address}", action.0),
            Self::Droplet(droplet) => write!(f, "reading droplet {droplet}"),
            Self::Warm => f.write_str("opening a connection"),
        }
    }
}

/// A call that did not work.
#[derive(Debug, thiserror::Error)]
#[error("{call} at {host}")]
pub struct Error {
    /// What was asked.
    pub call: Call,
    /// Whom.
    pub host: Arc<str>,
    /// Why it did not work.
    #[source]
    pub kind: ErrorKind,
}

/// Why a call did not work.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// DNS, a refused or filtered connection, TLS: the request did not leave.
    #[error("no connection, nothing was sent")]
    Connect(#[source] reqwest::Error),
    /// The request may have left, and its answer did not come.
    #[error("the connection was lost before the answer was whole")]
    Lost(#[source] reqwest::Error),
    /// The request may have left, and its answer did not come in time.
    #[error("no whole answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// Success, with a body that no answer of this API has.
    #[error("answered {status} with more than {limit} bytes")]
    TooBig { status: u16, limit: usize },
    /// Success, with a body that is not the API's JSON.
    #[error("answered {status} with something that is not the API's JSON ({content_type})")]
    Nonsense {
        status: u16,
        content_type: String,
        #[source]
        cause: serde_json::Error,
    },
    /// An answer that is no success.
    #[error("{0}")]
    Refused(Refusal),
}

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The API's own body could be read; else some gateway answered.
    pub by_api: bool,
    /// The API's kind of error, or empty.
    pub id: String,
    /// The API's text, cleaned and cut, or empty.
    pub message: String,
    /// What DigitalOcean's support asks for.
    pub request_id: Option<String>,
    /// 429: how long not to ask.
    pub wait: Duration,
    /// Where the token came from (never the token), to be looked at after a 401 or 403.
    pub token_source: Arc<str>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {}", self.status)?;
        match (self.id.as_str(), self.message.as_str()) {
            ("", "") if !self.by_api => f.write_str(" without the API's error body (a gateway?)")?,
            ("", "") => {}
            (id, "") => write!(f, " {id}")?,
            (_, message) => write!(f, " \"{message}\"")?,
        }
        match &self.request_id {
            Some(request) => write!(f, " (request {request})"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// The HTTP status of an answer that was no success.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match &self.kind {
            ErrorKind::Refused(refusal) => Some(refusal.status),
            ErrorKind::Connect(_)
            | ErrorKind::Lost(_)
            | ErrorKind::TimedOut(_)
            | ErrorKind::TooBig { .. }
            | ErrorKind::Nonsense { .. } => None,
        }
    }

    /// The failure in the reconciler's words.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure { class: self.class(), text: self.text().into() }
    }

    /// What is done about it (the table in `docs/design.md`, "The claim").
    #[must_use]
    pub fn class(&self) -> FailureClass {
        // An answer that was lost on a write may have worked; one that makes no sense on a read did nothing.
        let unreadable = if self.call.writes() { FailureClass::Unanswered } else { FailureClass::Again };
        match &self.kind {
            ErrorKind::Connect(_) => FailureClass::Again,
            ErrorKind::Lost(_) | ErrorKind::TimedOut(_) => FailureClass::Unanswered,
            ErrorKind::TooBig { .. } | ErrorKind::Nonsense { .. } => unreadable,
            ErrorKind::Refused(refusal) => match refusal.status {
                429 => FailureClass::NotBefore(refusal.wait),
                422 => class_of_422(&refusal.message),
                409 => FailureClass::Refused,
                // A redirect, or a request that the server did not wait for.
                300..=399 | 408 | 425 => FailureClass::Again,
                400..=499 => FailureClass::Never,
                // 502, 504, 520 to 524 and every other 5xx that is not in the API's
                // own words: whoever answered does not know what became of the request.
                _ if refusal.by_api => FailureClass::Again,
                _ => unreadable,
            },
        }
    }

    /// What failed, on what, why, and what to do about it: one line.
    fn text(&self) -> String {
        let mut text = explain(self);
        if self.call.writes() && self.class() == FailureClass::Unanswered {
            text.push_str("; it may have worked all the same");
        }
        if let Some(mend) = self.mend(&text) {
            text.push_str("; ");
            text.push_str(&mend);
        }
        text
    }

    fn mend(&self, text: &str) -> Option<String> {
        let refusal = match &self.kind {
            ErrorKind::Connect(_) if text.contains("certificate") => {
                return Some(
                    "check this host's clock, its ca-certificates package, and digitalocean.ca_file".to_owned(),
                );
            }
            ErrorKind::Connect(error) if error.is_dns() => return Some("check this host's DNS".to_owned()),
            ErrorKind::Connect(_)
            | ErrorKind::Lost(_)
            | ErrorKind::TimedOut(_)
            | ErrorKind::TooBig { .. }
            | ErrorKind::Nonsense { .. } => return None,
            ErrorKind::Refused(refusal) => refusal,
        };
        let (source, scopes) = (&refusal.token_source, self.call.scopes());
        match refusal.status {
            300..=399 => Some("check digitalocean.api_url".to_owned()),
            401 => {
                let renewed = renewed(source);
                Some(format!("the token is wrong, expired or revoked: put a valid one into {source}, then {renewed}"))
            }
            // python-digitalocean issue 353: the text of an account that is locked or has not paid.
            403 if refusal.message.to_lowercase().contains("not allowed") => {
                Some("the account may be locked or its bill unpaid: look at the control panel".to_owned())
            }
            403 => Some(format!(
                "the token lacks a scope: make one with {scopes} and put it into {source}, then {}",
                renewed(source)
            )),
            404 => Some(match &self.call {
                Call::ReservedIp(address) | Call::Assign { address, .. } | Call::Action { address, .. } => {
                    format!("check that {address} exists in the account of the token in {source}")
                }
                Call::Droplet(droplet) => {
                    format!("check that droplet {droplet} exists in the account of the token in {source}")
                }
                Call::Warm => "check digitalocean.api_url".to_owned(),
            }),
            422 => mend_of_422(&refusal.message).map(str::to_owned),
            429 => Some("the quota is the token's: give haagent one that nothing else uses".to_owned()),
            _ => None,
        }
    }
}

/// How a running agent comes to use a new token: a file is read again at a reload, the rest is the process's own.
fn renewed(source: &str) -> &'static str {
    if source.starts_with('/') { "`haagent reload`" } else { "`haagent restart` and `systemctl restart haagent`" }
}

/// All 422s share one id; only the English message tells them apart.
fn class_of_422(message: &str) -> FailureClass {
    let message = message.to_lowercase();
    if message.contains("pending event") {
        FailureClass::PendingEvent
    } else if message.contains("already assigned") {
        FailureClass::AlreadyAssigned
    } else if mend_of_422(&message).is_some() {
        FailureClass::Never
    } else {
        FailureClass::Refused
    }
}

/// The mend of the refusals that waiting cannot heal.
fn mend_of_422(message: &str) -> Option<&'static str> {
    let message = message.to_lowercase();
    if message.contains("can't be blank") {
        Some("no such droplet in this account: check digitalocean.droplet_id and the account of the token")
    } else if message.contains("same region") || message.contains("same datacenter") {
        Some("a reserved IP can be assigned only within its region: reserve one in this droplet's region")
    } else {
        None
    }
}

/// The headers of a 429 that speak of the wait.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WaitHeaders<'a> {
    /// `retry-after`: seconds or an HTTP date; only with the burst limit.
    pub(super) retry_after: Option<&'a str>,
    /// `ratelimit-reset`: Unix seconds by the API's clock.
    pub(super) reset: Option<&'a str>,
    /// `date`: the API's clock.
    pub(super) date: Option<&'a str>,
}

/// How long not to ask after a 429. `wall` is this host's clock, used only where
/// the answer does not carry the API's own.
pub(super) fn wait(headers: WaitHeaders<'_>, wall: SystemTime) -> Duration {
    let now = headers.date.and_then(|date| httpdate::parse_http_date(date.trim()).ok()).unwrap_or(wall);
    // A time in the past, or a negative number, asks for no wait; garbage asks for nothing at all.
    let until = |then: SystemTime| then.duration_since(now).unwrap_or_default();
    let seconds = |text: &str| match text.parse::<i128>() {
        Ok(number) => Some(u64::try_from(number.max(0)).unwrap_or(u64::MAX)),
        // More digits than any number has is a number all the same.
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => Some(u64::MAX),
        Err(_) => None,
    };
    let retry_after = headers.retry_after.map(str::trim).and_then(|text| {
        seconds(text).map(Duration::from_secs).or_else(|| httpdate::parse_http_date(text).ok().map(until))
    });
    let reset = || {
        let reset = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds(headers.reset?.trim())?));
        Some(reset.map_or(RESET_CAP, until).min(RESET_CAP))
    };
    retry_after.map(|wait| wait.min(RETRY_AFTER_CAP)).or_else(reset).unwrap_or(UNSAID_WAIT).max(SHORTEST_WAIT)
}

impl ErrorKind {
    /// The request ended without an answer.
    pub(super) fn of_exchange(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() || error.is_builder() { Self::Connect(error) } else { Self::Lost(error) }
    }

    /// The body of a success could not be read.
    pub(super) fn of_body(status: u16, error: BodyError) -> Self {
        match error {
            BodyError::TooBig { limit } => Self::TooBig { status, limit },
            BodyError::Broken(error) => Self::Lost(error.without_url()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

    fn refused(call: Call, status: u16, message: &str, by_api: bool) -> Error {
        Error {
            call,
            host: "api.example".into(),
            kind: ErrorKind::Refused(Refusal {
                status,
                by_api,
                id: String::new(),
                message: message.to_owned(),
                request_id: Some("r-1".to_owned()),
                wait: Duration::from_secs(7),
                token_source: "/etc/haagent/do-token".into(),
            }),
        }
    }

    fn assign() -> Call {
        Call::Assign { address: ADDRESS, droplet: DropletId(4711) }
    }

    #[test]
    fn every_answer_has_its_class() {
        use FailureClass::{Again, AlreadyAssigned, Never, NotBefore, PendingEvent, Refused, Unanswered};
        let wait = NotBefore(Duration::from_secs(7));
        for (status, message, by_api, of_read, of_write) in [
            (302, "", false, Again, Again),
            (400, "error parsing request body", true, Never, Never),
            (401, "Unable to authenticate you", true, Never, Never),
            (403, "You are not authorized to perform this operation", true, Never, Never),
            (404, "The resource you requested could not be found.", true, Never, Never),
            (408, "", false, Again, Again),
            (409, "conflict", true, Refused, Refused),
            (422, "Droplet already has a pending event.", true, PendingEvent, PendingEvent),
            (422, "The floating IP already has a pending event.", true, PendingEvent, PendingEvent),
            (422, "The reserved IP already has a Pending Event", true, PendingEvent, PendingEvent),
            (422, "Reserved IP is already assigned to this Droplet.", true, AlreadyAssigned, AlreadyAssigned),
            (422, "Droplet is Already Assigned a reserved IP.", true, AlreadyAssigned, AlreadyAssigned),
            (422, "Droplet can't be blank", true, Never, Never),
            (422, "Droplet and reserved IP must be in the same region.", true, Never, Never),
            (422, "Something new.", true, Refused, Refused),
            (422, "", false, Refused, Refused),
            (429, "API Rate limit exceeded.", true, wait, wait),
            (429, "", false, wait, wait),
            (500, "Unexpected server-side error", true, Again, Again),
            (503, "Service is currently unavailable.", true, Again, Again),
            (502, "", false, Again, Unanswered),
            (504, "", false, Again, Unanswered),
            (524, "", false, Again, Unanswered),
            (999, "", false, Again, Unanswered),
        ] {
            let read = refused(Call::ReservedIp(ADDRESS), status, message, by_api).class();
            let write = refused(assign(), status, message, by_api).class();
            assert_eq!((read, write), (of_read, of_write), "{status} {message:?}");
        }
    }

    #[test]
    fn a_lost_answer_is_unanswered_and_a_senseless_one_counts_as_lost_only_for_a_write() {
        let timed_out = |call| Error { call, host: "h".into(), kind: ErrorKind::TimedOut(Duration::from_secs(5)) };
        assert_eq!(timed_out(assign()).class(), FailureClass::Unanswered);
        assert_eq!(timed_out(Call::ReservedIp(ADDRESS)).class(), FailureClass::Unanswered);
        let too_big =
            |call| Error { call, host: "h".into(), kind: ErrorKind::TooBig { status: 201, limit: 1 } }.class();
        assert_eq!(too_big(assign()), FailureClass::Unanswered);
        assert_eq!(too_big(Call::ReservedIp(ADDRESS)), FailureClass::Again);
    }

    #[test]
    fn a_text_says_what_failed_on_what_why_and_the_mend() {
        for (error, words) in [
            (
                refused(assign(), 401, "Unable to authenticate you", true),
                "assigning 203.0.113.10 to droplet 4711 at api.example: answered 401 \"Unable to authenticate you\" \
                 (request r-1); the token is wrong, expired or revoked: put a valid one into /etc/haagent/do-token, \
                 then `haagent reload`",
            ),
            (
                refused(assign(), 403, "You are not authorized to perform this operation", true),
                "make one with reserved_ip:update and put it into /etc/haagent/do-token",
            ),
            (refused(Call::Droplet(DropletId(1)), 403, "", true), "make one with droplet:read"),
            (refused(assign(), 403, "You are not allowed to perform this operation", true), "bill unpaid"),
            (refused(Call::ReservedIp(ADDRESS), 404, "", true), "check that 203.0.113.10 exists in the account"),
            (refused(assign(), 422, "Droplet can't be blank", true), "check digitalocean.droplet_id"),
            (refused(assign(), 504, "", false), "a gateway?) (request r-1); it may have worked all the same"),
            (refused(assign(), 422, "Something new.", true), "answered 422 \"Something new.\""),
        ] {
            let text = error.failure().text;
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_wait_is_honoured_within_reason() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let cases = [
            (Some("29"), None, None, 29),
            (Some(" 29 "), None, None, 29),
            (Some("0"), None, None, 1),
            (Some("-5"), None, None, 1),
            (Some("999999999"), None, None, 300),
            (Some("99999999999999999999999999999999999999999999"), None, None, 300),
            (Some("garbage"), None, None, 10),
            (Some("1.5"), None, None, 10),
            (Some(""), None, None, 10),
            (Some("Fri, 15 Jan 2027 08:00:30 GMT"), None, None, 30),
            (Some("Fri, 15 Jan 2027 07:00:00 GMT"), None, None, 1),
            (Some("Fri, 15 Jan 2027 08:00:30 GMT"), None, Some("Fri, 15 Jan 2027 08:00:20 GMT"), 10),
            (Some("garbage"), Some("1800000020"), None, 20),
            (None, Some("1800000020"), None, 20),
            (None, Some("1799999000"), None, 1),
            (None, Some("1800003600"), None, 60),
            (None, Some("18446744073709551615"), None, 60),
            (None, Some("-1"), None, 1),
            (None, Some("soon"), None, 10),
            // This host's clock is an hour off: the API's own decides.
            (None, Some("1800003620"), Some("Fri, 15 Jan 2027 09:00:00 GMT"), 20),
            (None, None, None, 10),
        ];
        for (retry_after, reset, date, seconds) in cases {
            let headers = WaitHeaders { retry_after, reset, date };
            assert_eq!(wait(headers, wall), Duration::from_secs(seconds), "{headers:?}");
        }
    }
}
