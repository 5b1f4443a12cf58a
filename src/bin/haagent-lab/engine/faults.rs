//! How the fake engine misbehaves: a mode per endpoint, and a containerd that hangs behind it.

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::{self, Reply};

/// A body that no client should read to its end.
const HUGE: u64 = 50 * 1024 * 1024;
pub(crate) const GARBAGE: &[u8] = b"\xff\x00}{ this is not JSON\n";

/// How an endpoint answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// The truth
    #[default]
    Ok,
    /// Nothing, until the mode is changed; then the answer comes
    Hang,
    /// The head of an answer, then nothing; an open event stream carries no events
    Silent,
    /// 500; an open event stream ends
    Error,
    /// The connection ends without an answer; an open event stream ends
    Close,
    /// 200 with what is not JSON
    Garbage,
    /// 200 with 50 MB; an open event stream begins a line without end
    Huge,
    /// 200 with a body, or an event line, without end
    Endless,
}

/// The modes in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Faults {
    pub(crate) ping: Mode,
    pub(crate) version: Mode,
    pub(crate) list: Mode,
    pub(crate) inspect: Mode,
    pub(crate) events: Mode,
    /// Every answer comes so late.
    pub(crate) delay_ms: u64,
    /// As when containerd is stopped: ping answers, the list and the details are those of the
    /// moment it began, events are withheld and come, with the time of then, when it is over.
    pub(crate) containerd_hung: bool,
}

/// `POST /_lab/faults`: what is not given stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Change {
    /// The five endpoints, unless one is given too.
    pub(crate) all: Option<Mode>,
    pub(crate) ping: Option<Mode>,
    pub(crate) version: Option<Mode>,
    pub(crate) list: Option<Mode>,
    pub(crate) inspect: Option<Mode>,
    pub(crate) events: Option<Mode>,
    pub(crate) delay_ms: Option<u64>,
    pub(crate) containerd_hung: Option<bool>,
}

impl Faults {
    /// The modes after a change.
    pub(crate) fn changed(self, change: Change) -> Self {
        let mode = |one: Option<Mode>, present| one.or(change.all).unwrap_or(present);
        Self {
            ping: mode(change.ping, self.ping),
            version: mode(change.version, self.version),
            list: mode(change.list, self.list),
            inspect: mode(change.inspect, self.inspect),
            events: mode(change.events, self.events),
            delay_ms: change.delay_ms.unwrap_or(self.delay_ms),
            containerd_hung: change.containerd_hung.unwrap_or(self.containerd_hung),
        }
    }
}

/// What an endpoint answers in a mode in which it does not say the truth. `prefix` is how its
/// body would begin.
pub(crate) fn misbehave(mode: Mode, prefix: &'static str) -> Option<Reply> {
    let spoilt = |body| {
        let mut response = http::answer(StatusCode::OK, "application/json", Bytes::new());
        *response.body_mut() = body;
        Reply::Answer(response)
    };
    match mode {
        Mode::Ok | Mode::Hang => None,
        Mode::Silent => Some(spoilt(http::silent_after(Bytes::new()))),
        Mode::Error => {
            let body = json!({"message": "the lab says: internal error"});
            Some(Reply::Answer(http::json(StatusCode::INTERNAL_SERVER_ERROR, &body)))
        }
        Mode::Close => Some(Reply::Close),
        Mode::Garbage => Some(spoilt(http::full(GARBAGE))),
        Mode::Huge => Some(spoilt(http::padded(prefix, Some(HUGE)))),
        Mode::Endless => Some(spoilt(http::padded(prefix, None))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_the_rest() {
        let change = |text| serde_json::from_str::<Change>(text);
        let hung = Faults::default().changed(change(r#"{"all":"hang","delay_ms":5,"list":"huge"}"#).unwrap());
        let faults = hung.changed(change(r#"{"ping":"ok"}"#).unwrap());
        assert_eq!((faults.ping, faults.list, faults.events, faults.delay_ms), (Mode::Ok, Mode::Huge, Mode::Hang, 5));
        assert!(change(r#"{"pong":"ok"}"#).is_err() && change(r#"{"ping":"no"}"#).is_err());
    }
}
