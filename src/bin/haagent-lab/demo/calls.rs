//! What an agent asked the API, by the API's own log.

use std::time::Duration;

use serde_json::Value;

use super::DemoError;
use super::page::INDENT;
use super::paint::{Paint, Tone};
use super::show::{Event, Show};
use super::timeline::signed;
use crate::stage::RESERVED_IP;

/// The column of paths.
const PATH: usize = 30;

/// A call, or several in a row with the same answer. Times in milliseconds since the event began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    received: i64,
    answered: i64,
    method: String,
    path: String,
    /// 0: no answer.
    pub(super) status: u16,
    times: u32,
}

/// The calls of this host's agent since the event began.
pub(super) async fn of(show: &Show, event: &Event, host: usize) -> Result<Vec<Call>, DemoError> {
    let (requests, _) = show.stage.cloud_events(event.cloud, "request", Duration::ZERO).await?;
    let own = requests.iter().filter(|one| one["face"] == "api" && one["by"] == show.name(host));
    Ok(own.filter_map(|one| Call::of(one, event)).collect())
}

impl Call {
    fn of(request: &Value, event: &Event) -> Option<Self> {
        let answered = Show::since(event, Duration::from_micros(request["unix_us"].as_u64()?));
        let took = request["at_ms"].as_i64()? - request["received_ms"].as_i64()?;
        Some(Self {
            received: answered - took,
            answered,
            method: request["method"].as_str()?.to_owned(),
            path: shown(request["path"].as_str()?),
            status: request["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(0),
            times: 1,
        })
    }

    /// It changes nothing.
    pub(super) fn reads(&self) -> bool {
        self.method == "GET"
    }

    /// The answer to an assign, as a step of the event: when, and what.
    pub(super) fn assign(&self) -> Option<(&'static str, i64)> {
        let what = match (self.method.as_str(), self.status) {
            ("POST", 422) => "422 pending event",
            ("POST", 429) => "429 too many requests",
            ("POST", 201) => "201 accepted",
            _ => return None,
        };
        Some((what, self.answered))
    }

    fn said(&self) -> (Tone, String) {
        let (tone, word) = match self.status {
            0 => (Tone::Bad, "no answer"),
            200..=299 if self.method == "POST" => (Tone::Good, "accepted"),
            200..=299 => (Tone::Plain, ""),
            422 => (Tone::Doubt, "pending event"),
            429 => (Tone::Doubt, "too many"),
            _ => (Tone::Bad, "refused"),
        };
        (tone, format!("{} {word}", self.status))
    }
}

/// The path without what is the same in all, and without numbers.
fn shown(path: &str) -> String {
    let parts = path.trim_start_matches("/v2/").split('/').map(|part| match part.parse::<u64>() {
        Ok(_) => "ID".to_owned(),
        Err(_) if part == RESERVED_IP.to_string() => "IP".to_owned(),
        Err(_) => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The refused calls, and how long after each the next call came.
pub(super) fn refusals(calls: &[Call]) -> Vec<(&Call, Option<i64>)> {
    let next = calls.iter().skip(1).map(Some).chain([None]);
    let refused = calls.iter().zip(next).filter(|(call, _)| call.status >= 400);
    refused.map(|(call, next)| (call, next.map(|next| next.received - call.answered))).collect()
}

/// A line for each call; those in a row that are alike are one.
pub(super) fn lines(calls: &[Call], paint: Paint) -> Vec<String> {
    let mut rows: Vec<(Call, Option<i64>)> = Vec::new();
    let mut before = None;
    for call in calls {
        let waited = before.map(|answered| call.received - answered);
        before = Some(call.answered);
        match rows.last_mut() {
            Some((last, _)) if (&last.method, &last.path, last.status) == (&call.method, &call.path, call.status) => {
                last.times += 1;
            }
            _ => rows.push((call.clone(), waited)),
        }
    }
    let line = |(call, waited): &(Call, Option<i64>)| {
        let waited = waited.map(|ms| format!("+{}", signed(ms))).unwrap_or_default();
        let times = if call.times > 1 { format!("  {} times", call.times) } else { String::new() };
        let path: String = call.path.chars().take(PATH - 1).collect();
        let (tone, said) = call.said();
        let (at, method, said) = (signed(call.received), &call.method, paint.paint(tone, said.trim_end()));
        format!("{:INDENT$}{at:>9}{waited:>11}  {method:<5}{path:<PATH$}{said}{times}", "")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::page::WIDTH;
    use super::*;

    fn call(received: i64, method: &str, path: &str, status: u16) -> Call {
        Call { received, answered: received + 1, method: method.into(), path: path.into(), status, times: 1 }
    }

    #[test]
    fn waits_count_from_the_answer_and_polls_are_one_line() {
        let [assign, poll] = ["/v2/reserved_ips/203.0.113.10/actions", "/v2/actions/2300000001"].map(shown);
        let calls = [
            call(1500, "POST", &assign, 422),
            call(2601, "POST", &assign, 201),
            call(2902, "GET", &poll, 200),
            call(3403, "GET", &poll, 200),
        ];
        assert_eq!(
            lines(&calls, Paint::with(false)),
            [
                "     1.500 s             POST reserved_ips/IP/actions       422 pending event",
                "     2.601 s   +1.100 s  POST reserved_ips/IP/actions       201 accepted",
                "     2.902 s    +300 ms  GET  actions/ID                    200  2 times",
            ]
        );
        assert_eq!(refusals(&calls), [(&calls[0], Some(1100))]);
        assert!(lines(&calls, Paint::with(false)).iter().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn after_the_last_refusal_nothing_may_have_come_yet() {
        let calls = [call(1, "POST", "x", 429)];
        assert_eq!(refusals(&calls), [(&calls[0], None)]);
    }
}
