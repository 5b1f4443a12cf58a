//! How the fake engine misbehaves: a mode per endpoint, and a containerd that hangs behind it.

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::http::{self, Reply};

/// A body that no client should read to its end.
const HUGE: u64 = 50 * 1024 * 1024;
pub(crate) const GARBAGE: &[u8] = b"\xff\x00}{ this is not JSON\n";

/// How an endpoint answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Ok,
    /// Nothing, until the mode is changed; then the answer comes.
    Hang,
    /// The head of an answer, then nothing. An open event stream carries no events.
    Silent,
    /// 500. An open event stream ends.
    Error,
    /// The connection ends without an answer. An open event stream ends.
    Close,
    /// 200 with what is not JSON.
    Garbage,
    /// 200 with 50 MB. An open event stream begins a line without end.
    Huge,
    /// 200 with a body, or an event line, without end.
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

impl Faults {
    /// The modes after a change: some of the members, or `all` for the five endpoints.
    ///
    /// # Errors
    /// It has a member or a mode that there is not.
    pub(crate) fn changed(self, change: &[u8]) -> Result<Self, serde_json::Error> {
        let mut change: Map<String, Value> = serde_json::from_slice(change)?;
        let mut value = serde_json::to_value(self)?;
        if let Some(all) = change.remove("all") {
            for endpoint in ["ping", "version", "list", "inspect", "events"] {
                value[endpoint] = all.clone();
            }
        }
        for (key, new) in change {
            value[key] = new;
        }
        serde_json::from_value(value)
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
        let hung = Faults::default().changed(br#"{"all":"hang","delay_ms":5}"#).unwrap();
        let faults = hung.changed(br#"{"ping":"ok"}"#).unwrap();
        assert_eq!((faults.ping, faults.list, faults.events, faults.delay_ms), (Mode::Ok, Mode::Hang, Mode::Hang, 5));
        assert!(faults.changed(br#"{"pong":"ok"}"#).is_err() && faults.changed(br#"{"ping":"no"}"#).is_err());
    }
}
