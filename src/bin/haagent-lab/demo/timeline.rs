//! An event as a timeline: a line with a bar for each step. Pure.

use super::page::{INDENT, WIDTH};
use super::paint::{Paint, Tone};

/// The columns: who, what, when, how long; the bar has the rest.
const WHO: usize = 8;
const WHAT: usize = 24;
const AT: usize = 10;
const TOOK: usize = 11;
const BAR: usize = WIDTH - INDENT - WHO - WHAT - AT - TOOK - 3;

/// A step that went on from one time to another. Milliseconds since the fault; what lies before it is
/// negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) who: String,
    pub(super) what: String,
    pub(super) from: i64,
    pub(super) at: i64,
    pub(super) tone: Tone,
}

impl Step {
    pub(super) fn new(who: &str, what: &str, from: i64, at: i64) -> Self {
        Self { who: who.to_owned(), what: what.to_owned(), from, at, tone: Tone::Plain }
    }

    pub(super) fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

/// Steps one after the other: each goes on from the end of the one before, the first from the fault.
pub(super) fn chain<'a>(steps: impl IntoIterator<Item = (&'a str, &'a str, i64)>) -> Vec<Step> {
    let mut before = 0;
    let mut step = |(who, what, at): (&str, &str, i64)| {
        let from = before.min(at);
        before = before.max(at);
        Step::new(who, what, from, at)
    };
    steps.into_iter().map(&mut step).collect()
}

/// A line for each step: when it ended, how long it took, and its bar on a scale that all of them share.
pub(super) fn lines(steps: &[Step], paint: Paint) -> Vec<String> {
    let begin = steps.iter().map(|step| step.from).min().unwrap_or(0).min(0);
    let end = steps.iter().map(|step| step.at).max().unwrap_or(0).max(begin + 1);
    let column = |at: i64| {
        let share = i128::from(at.clamp(begin, end) - begin) * BAR as i128 / i128::from(end - begin);
        usize::try_from(share).unwrap_or(0).min(BAR)
    };
    let line = |step: &Step| {
        let first = column(step.from).min(BAR - 1);
        let length = column(step.at).saturating_sub(first).max(1);
        let bar = format!("{}{}", " ".repeat(first), paint.paint(step.tone, &"#".repeat(length)));
        let rest = " ".repeat(BAR - first - length);
        let took = if step.from == step.at { String::new() } else { format!("+{}", signed(step.at - step.from)) };
        let (who, what) = (cut(&step.who, WHO - 1), cut(&step.what, WHAT - 1));
        let at = signed(step.at);
        format!("{:INDENT$}{who:WHO$}{what:WHAT$}{at:>AT$}{took:>TOOK$} |{bar}{rest}|", "")
    };
    steps.iter().map(line).collect()
}

/// `-180 ms`, `1.014 s`, and whole seconds from a thousand on
pub(super) fn signed(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    match ms {
        0..1_000 => format!("{sign}{ms} ms"),
        1_000..1_000_000 => format!("{sign}{}.{:03} s", ms / 1000, ms % 1000),
        1_000_000.. => format!("{sign}{} s", ms / 1000),
    }
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(steps: &[Step]) -> Vec<String> {
        lines(steps, Paint::with(false))
    }

    fn bar(line: &str) -> &str {
        line.split('|').nth(1).unwrap()
    }

    #[test]
    fn every_bar_begins_where_the_one_before_ended() {
        let steps = chain([("web-1", "detected", 1000), ("web-2", "decided", 1001), ("web-2", "verified", 2000)]);
        let lines = plain(&steps);
        assert_eq!(
            lines,
            [
                "   web-1   detected                   1.000 s   +1.000 s |##########           |",
                "   web-2   decided                    1.001 s      +1 ms |          #          |",
                "   web-2   verified                   2.000 s    +999 ms |          ###########|",
            ]
        );
    }

    #[test]
    fn nothing_is_wider_than_80_columns_however_long_it_took() {
        let long = "a very long name of a host, and a longer one of a step";
        for end in [0, 1, 999, 3_600_000, 86_400_000, i64::MAX / 2] {
            let steps = [Step::new(long, long, 0, end), Step::new("web-1", "x", end, end), Step::new("", "", -1, end)];
            for line in plain(&steps).iter().filter(|_| end < 1_000_000_000) {
                assert_eq!(line.chars().count(), WIDTH, "{line}");
            }
            assert!(plain(&steps).iter().all(|line| bar(line).len() == BAR), "{end}");
        }
    }

    #[test]
    fn what_lies_before_the_fault_has_its_place() {
        let steps = [Step::new("web-2", "last heartbeat", -500, -500), Step::new("web-1", "decided", -500, 500)];
        let lines = plain(&steps);
        assert!(lines[0].contains(" -500 ms ") && bar(&lines[0]).starts_with("# "), "{lines:?}");
        assert_eq!(bar(&lines[1]), "#".repeat(BAR));
        assert!(lines[1].contains("+1.000 s"), "{lines:?}");
    }

    #[test]
    fn a_step_that_took_no_time_is_seen_and_has_no_duration() {
        let lines = plain(&[Step::new("a", "b", 7, 7), Step::new("a", "end", 7, 700)]);
        assert!(bar(&lines[0]).contains('#') && !lines[0].contains('+'), "{lines:?}");
    }

    #[test]
    fn colour_changes_no_column() {
        let step = Step::new("client", "no answer", 0, 10).toned(Tone::Bad);
        let painted = lines(std::slice::from_ref(&step), Paint::with(true)).remove(0);
        let bare = painted.replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert!(painted.contains("\x1b[31m") && bare == plain(&[step])[0], "{painted:?}");
    }

    #[test]
    fn a_clock_that_goes_back_draws_no_nonsense() {
        let steps = chain([("a", "late", 50), ("a", "earlier", 20), ("a", "end", 60)]);
        assert_eq!((steps[1].from, steps[2].from), (20, 50));
        assert!(plain(&steps).iter().all(|line| line.chars().count() == WIDTH));
    }

    #[test]
    fn milliseconds_below_a_second_then_seconds() {
        let shown = [0, 999, 1000, -180, -61_005, 3_600_999].map(signed);
        assert_eq!(shown, ["0 ms", "999 ms", "1.000 s", "-180 ms", "-61.005 s", "3600 s"]);
    }

    #[test]
    fn no_steps_are_no_lines() {
        assert!(plain(&[]).is_empty());
    }
}
