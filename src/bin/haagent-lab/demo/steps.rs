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
    let history = show.stage.history(host).await?;
    let Some(mut marks) = newest_move(&history, NAMES[host], event, offered) else {
        return Err(StageError::Odd(Value::from(history).to_string()).into());
    };
    let (moves, _) = show.stage.cloud_events(event.cloud, "moved", Duration::ZERO).await?;
    let at = |one: &Value| Some(Show::since(event, Duration::from_micros(one["unix_us"].as_u64()?)));
    marks.extend(moves.iter().filter_map(|one| Some(("cloud", "the address moved", at(one)?))));
    Ok(marks)
}

/// The phases of the newest move to this host, if it was decided after the event had begun.
fn newest_move(history: &[Value], host: &'static str, event: &Event, offered: Option<Mark>) -> Option<Vec<Mark>> {
    let entry = history.iter().rev().find(|entry| entry["entry"] == "move" && entry["to"] == host)?;
    let decided = time_of(&entry["at"]).filter(|decided| *decided >= event.begun)?;
    let phase = |key: &str| entry["phases_ms"][key].as_i64();
    // Phases count from the first one that was reached.
    let first = Show::since(event, decided) - phase("decided")?;
    let mark = |(key, what): &(&str, &'static str)| {
        let at = first + phase(key)?;
        Some(match offered {
            // Told as an age: it may be off by what the message took.
            Some((old, _, failed)) if *key == DETECTED => (old, "first bad look", at.min(failed)),
            Some(_) | None => (host, *what, at),
        })
    };
    Some(PHASES.iter().filter_map(mark).chain(offered).collect())
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
        steps.push(Step::new("client", "no service until", failed, ends).toned(Tone::Bad));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An event that began at 12:00.
    fn event() -> Event {
        Event { name: "", begun: time_of(&json!("2026-11-20T12:00:00.000Z")).unwrap(), cloud: 0 }
    }

    fn history(at: &str) -> Vec<Value> {
        let phases = json!({"last_heartbeat": null, "detected": 0, "decided": 1004, "promoted": 1004,
            "assign_sent": 1007, "action_completed": 2768, "verified": null});
        vec![
            json!({"entry": "move", "to": "web-2", "at": at, "phases_ms": phases}),
            json!({"entry": "state", "at": at}),
            json!({"entry": "move", "to": "web-1", "at": at, "phases_ms": {"decided": 0}}),
        ]
    }

    #[test]
    fn phases_count_from_the_events_begin_and_those_not_reached_are_left_out() {
        let marks = newest_move(&history("2026-11-20T12:00:01.006Z"), "web-2", &event(), None).unwrap();
        assert_eq!(
            marks,
            [
                ("web-2", "silence noticed", 2),
                ("web-2", "decided", 1006),
                ("web-2", "promoted", 1006),
                ("web-2", "assign sent", 1009),
                ("web-2", "action completed", 2770),
            ]
        );
    }

    #[test]
    fn of_an_offered_move_the_old_master_noticed_the_fault() {
        let offered = ("web-1", "check failed", 1);
        let marks = newest_move(&history("2026-11-20T12:00:01.006Z"), "web-2", &event(), Some(offered)).unwrap();
        assert_eq!(marks[0], ("web-1", "first bad look", 1), "not after the check had failed");
        assert_eq!(marks.last(), Some(&offered));
    }

    #[test]
    fn an_older_move_is_not_this_one() {
        assert!(newest_move(&history("2026-11-20T11:59:59.999Z"), "web-2", &event(), None).is_none());
        assert!(newest_move(&[], "web-2", &event(), None).is_none());
    }
}
