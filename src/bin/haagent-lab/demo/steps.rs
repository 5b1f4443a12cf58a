//! The steps of an event, as three witnesses tell them: the agent's history, the cloud's log, the client.

use std::time::Duration;

use serde_json::Value;

use super::DemoError;
use super::paint::Tone;
use super::show::{Event, Show};
use super::timeline::{self, Step};
use crate::stage::{NAMES, StageError};

/// What happened, who says so, and when: milliseconds since the event began.
pub(super) type Mark = (&'static str, &'static str, i64);

const DETECTED: &str = "detected";
pub(super) const ASSIGN_SENT: &str = "assign sent";
/// The phases of a move by their keys in `history --json`, in their order.
const PHASES: [(&str, &str); 7] = [
    ("last_heartbeat", "last heartbeat heard"),
    (DETECTED, "silence noticed"),
    ("decided", "decided"),
    ("promoted", "promoted"),
    ("assign_sent", ASSIGN_SENT),
    ("action_completed", "action completed"),
    ("verified", "verified"),
];

/// The newest move to this host since the event began: its phases by the history of the agent that got
/// the address, and the move itself by the cloud's log. `offered` is the mark of an old master's own word
/// that its check failed: it had noticed the fault by then.
///
/// # Errors
/// There is none, or somebody cannot be asked.
pub(super) async fn of_move(
    show: &Show,
    event: &Event,
    host: usize,
    offered: Option<Mark>,
) -> Result<Vec<Mark>, DemoError> {
    let name = NAMES[host];
    let history = show.stage.history(host).await?;
    let newest = history.iter().rev().find(|entry| entry["entry"] == "move" && entry["to"] == name);
    let decided = newest.and_then(|entry| Some((entry, time_of(&entry["at"])?)));
    let Some((entry, decided)) = decided.filter(|(_, decided)| *decided >= event.begun) else {
        return Err(StageError::Odd(Value::from(history.clone()).to_string()).into());
    };
    let phase = |key: &str| entry["phases_ms"][key].as_i64();
    let first = Show::since(event, decided) - phase("decided").unwrap_or(0);
    let mark = |(key, what): &(&str, &'static str)| {
        let at = first + phase(key)?;
        Some(match offered {
            // Told as an age: it may be off by what the message took.
            Some((old, _, failed)) if *key == DETECTED => (old, "first bad look", at.min(failed)),
            Some(_) | None => (name, *what, at),
        })
    };
    let mut marks: Vec<Mark> = PHASES.iter().filter_map(mark).chain(offered).collect();

    let (moves, _) = show.stage.cloud_events(event.cloud, "moved", Duration::ZERO).await?;
    let at = |one: &Value| Some(Show::since(event, Duration::from_micros(one["unix_us"].as_u64()?)));
    marks.extend(moves.iter().filter_map(|one| Some(("cloud", "the address moved", at(one)?))));
    Ok(marks)
}

/// The bars: one step after the other, and the client's view below them.
///
/// # Errors
/// Standard output is gone.
pub(super) fn draw(show: &Show, event: &Event, mut marks: Vec<Mark>, reached: Duration) -> Result<(), DemoError> {
    marks.sort_by_key(|(_, _, at)| *at);
    let mut steps = timeline::chain(marks);
    let failed = show.client.record().first_failure(event.begun);
    let ends = Show::since(event, reached);
    if let Some(failed) = failed.map(|failed| Show::since(event, failed)) {
        steps.push(Step::new("client", "first failed request", failed, failed).toned(Tone::Bad));
        steps.push(Step::new("client", "served again", failed, ends).toned(Tone::Bad));
    }
    show.page.blank()?;
    show.page.lines(&timeline::lines(&steps, show.page.paint))?;
    show.page.blank()?;
    Ok(())
}

/// RFC 3339, as time since 1970.
pub(super) fn time_of(value: &Value) -> Option<Duration> {
    let time = humantime::parse_rfc3339(value.as_str()?).ok()?;
    time.duration_since(std::time::UNIX_EPOCH).ok()
}
