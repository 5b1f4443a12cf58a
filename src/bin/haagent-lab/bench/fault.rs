//! Faults of the master, and how long after them the request to assign arrives.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::BenchError;
use crate::clock::Clock;
use crate::stage::{Stage, StageError};

/// The longest wait for the request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// `fall` of a check to which the configuration gives none.
pub(crate) const DEFAULT_FALL: u8 = 2;
/// Missed heartbeats that make a node dead.
const DEAD_INTERVALS: f64 = 3.0;
/// The entries of the history among which the newest move is.
const HISTORY: &str = "50";
/// The golden ratio: the fractions of its multiples spread evenly, however many there are.
const GOLDEN: f64 = 1.618_033_988_749_895;
const CONTAINER: &str = "app-3";

/// What happens to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Silence,
    Kill,
    Stop,
    Container { fall: u8 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("host silent (agent and engine stopped)"),
            Self::Kill => f.write_str("agent killed (kill -9)"),
            Self::Stop => f.write_str("agent stopped in order (SIGTERM)"),
            Self::Container { fall: DEFAULT_FALL } => f.write_str("container dies, at the defaults"),
            Self::Container { fall } => write!(f, "container dies, fall = {fall}"),
        }
    }
}

/// Two points in wall time (since 1970).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Just before the fault was injected.
    pub(crate) fault: Duration,
    /// The request to assign had arrived whole.
    pub(crate) asked: Duration,
}

impl Run {
    /// From the one to the other, milliseconds.
    pub(crate) fn took(&self) -> f64 {
        ms(self.asked) - ms(self.fault)
    }

    /// What the arithmetic of silence allows in this very run, milliseconds: the dead interval, less
    /// the age that the last heartbeat had when the fault came.
    pub(crate) fn floor_of_silence(&self, last_heartbeat: Duration, interval: Duration) -> f64 {
        ms(last_heartbeat) - ms(self.fault) + DEAD_INTERVALS * ms(interval)
    }
}

/// How long to wait before the `number`th fault: one interval, so that all has come to rest (a node
/// that has just become backup counts silence from then), and a part of one, so that faults come at
/// every phase of the heartbeat alike, as they do in life.
pub(crate) fn pause(number: u32, interval: Duration) -> Duration {
    interval + interval.mul_f64((f64::from(number) * GOLDEN).fract())
}

/// Injects the fault into the master, and waits until the other one has asked for the address.
pub(crate) async fn inject(stage: &mut Stage, master: usize, fault: Fault) -> Result<Run, BenchError> {
    let (_, mut next) = stage.cloud_events(0, "accepted", Duration::ZERO).await?;
    let clock = Clock::start();
    match fault {
        Fault::Silence => stage.hosts[master].freeze()?,
        Fault::Kill => stage.hosts[master].signal_agent(Signal::SIGKILL)?,
        Fault::Stop => stage.hosts[master].signal_agent(Signal::SIGTERM)?,
        Fault::Container { .. } => stage.hosts[master].container_dies(CONTAINER).await?,
    }
    while clock.now() < PATIENCE {
        let left = PATIENCE.saturating_sub(clock.now());
        let (events, after) = stage.cloud_events(next, "request", left).await?;
        if let Some(asked) = asked_at(&events) {
            return Ok(Run { fault: clock.unix_at_start(), asked });
        }
        next = after;
    }
    Err(BenchError::NoRequest { fault })
}

/// When the first request to assign among these events of a cloud had arrived, since 1970.
pub(crate) fn asked_at(events: &[Value]) -> Option<Duration> {
    let asked = events.iter().find(|event| {
        event["method"] == "POST" && event["path"].as_str().is_some_and(|path| path.ends_with("/actions"))
    })?;
    asked["unix_us"].as_u64().map(Duration::from_micros)
}

/// Undoes the fault.
pub(crate) async fn recover(stage: &mut Stage, at: usize, fault: Fault) -> Result<(), BenchError> {
    match fault {
        Fault::Silence => stage.hosts[at].thaw()?,
        Fault::Kill | Fault::Stop => {
            stage.hosts[at].agent_ended().await?;
            stage.hosts[at].start_agent()?;
        }
        Fault::Container { .. } => stage.hosts[at].container_starts(CONTAINER).await?,
    }
    Ok(())
}

/// When the last heartbeat of the old master had arrived at the new one, since 1970: by the new one's
/// history, to the millisecond.
pub(crate) async fn last_heartbeat(stage: &Stage, new_master: usize, run: Run) -> Result<Duration, BenchError> {
    let text = stage.haagent(new_master, &["history", "--json", "-n", HISTORY]).await?;
    let entries: Value = serde_json::from_str(&text).unwrap_or_default();
    last_heartbeat_in(&entries, &stage.hosts[new_master].name, run.fault)
        .ok_or_else(|| StageError::Odd(format!("no move after the fault in the history: {text}")).into())
}

fn last_heartbeat_in(entries: &Value, to: &str, after: Duration) -> Option<Duration> {
    entries.as_array()?.iter().rev().find_map(|entry| {
        let decided = humantime::parse_rfc3339(entry["at"].as_str()?).ok()?.duration_since(UNIX_EPOCH).ok()?;
        let steps = &entry["phases_ms"];
        let (heard, taken) = (steps["last_heartbeat"].as_u64()?, steps["decided"].as_u64()?);
        (entry["entry"] == "move" && entry["to"] == to && decided >= after)
            .then(|| decided.saturating_sub(Duration::from_millis(taken.saturating_sub(heard))))
    })
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_floor_of_silence_is_three_intervals_less_the_age_of_the_last_heartbeat() {
        let at = Duration::from_millis;
        let run = Run { fault: at(10_200), asked: at(11_501) };
        assert!((run.took() - 1301.0).abs() < 1e-6);
        assert!((run.floor_of_silence(at(10_000), at(500)) - 1300.0).abs() < 1e-6);
        // It had just been on its way.
        assert!((run.floor_of_silence(at(10_201), at(500)) - 1501.0).abs() < 1e-6);
    }

    #[test]
    fn the_faults_come_at_every_phase_of_the_heartbeat_alike() {
        let interval = Duration::from_millis(100);
        let mut tenths = [0; 10];
        for number in 0..100 {
            let phase = pause(number, interval).checked_sub(interval).unwrap();
            tenths[usize::try_from(phase.as_millis() / 10).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (9..=11).contains(count)), "{tenths:?}");
    }

    #[test]
    fn the_last_heartbeat_is_that_of_the_newest_move_to_the_new_master() {
        let entry = |kind: &str, to: &str, at: &str, heard: u64, decided: u64| json!({"entry": kind, "to": to, "at": at, "phases_ms": {"last_heartbeat": heard, "decided": decided}});
        let entries = json!([
            entry("move", "web-2", "2026-07-14T10:00:00.000Z", 0, 1500),
            entry("move", "web-1", "2026-07-14T10:00:10.000Z", 0, 1500),
            entry("move", "web-2", "2026-07-14T10:00:20.000Z", 0, 1501),
            {"entry": "state", "at": "2026-07-14T10:00:21.000Z"},
        ]);
        let unix = |text: &str| humantime::parse_rfc3339(text).unwrap().duration_since(UNIX_EPOCH).unwrap();
        let fault = unix("2026-07-14T10:00:18.700Z");
        assert_eq!(last_heartbeat_in(&entries, "web-2", fault), Some(unix("2026-07-14T10:00:18.499Z")));
        assert_eq!(last_heartbeat_in(&entries, "web-1", fault), None, "a move before the fault");
    }

    #[test]
    fn the_request_is_the_first_post_to_actions() {
        let request = |method: &str, path: &str, at: u64| json!({"method": method, "path": path, "unix_us": at});
        let events = [
            request("GET", "/v2/reserved_ips/203.0.113.10", 1),
            request("POST", "/v2/reserved_ips/203.0.113.10/actions", 2),
            request("POST", "/v2/reserved_ips/203.0.113.10/actions", 3),
        ];
        assert_eq!(asked_at(&events), Some(Duration::from_micros(2)));
        assert_eq!(asked_at(&events[..1]), None);
    }
}
