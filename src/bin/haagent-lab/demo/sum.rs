//! The table at the end.

use std::time::Duration;

use super::DemoError;
use super::evidence::{Evidence, agree, told};
use super::page::INDENT;
use super::paint::{Paint, Tone};
use super::show::{FIRST, Over, Show};
use super::timeline::signed;

/// How often the address must have moved in all.
const MOVES: usize = 2;

pub(super) async fn play(show: &mut Show) -> Result<(), DemoError> {
    show.page.heading("4. The sum")?;
    show.close().await?;
    show.page.lines(&table(&show.over, show.page.paint))?;
    let mut evidence = Evidence::default();
    let (moves, _) = show.stage.cloud_events(0, "moved", Duration::ZERO).await?;
    let what = format!("{MOVES} moves in the cloud's log since its start, none without a fault");
    evidence.must(moves.len() == MOVES, what, || told(&moves));
    let lost: usize = show.over.iter().filter(|row| row.moves == 0).map(|row| row.account.failed).sum();
    evidence.must(lost == 0, "no request failed where nothing moved", || format!("{lost} failed"));
    agree(show, FIRST, &mut evidence).await?;
    evidence.say(show)
}

/// A row for each event, and one for all of them.
fn table(rows: &[Over], paint: Paint) -> Vec<String> {
    let line = |name: &str, sent: &str, failed: &str, gap: &str, moves: &str| {
        format!("{:INDENT$}{name:<34}{sent:>9}{failed:>9}{gap:>16}{moves:>8}", "")
    };
    let mut lines = vec![paint.paint(Tone::Strong, &line("event", "requests", "failed", "longest gap", "moves"))];
    let mut total = Over { name: "all", ..Over::default() };
    for row in rows {
        total.account.sent += row.account.sent;
        total.account.failed += row.account.failed;
        total.account.longest_gap = total.account.longest_gap.max(row.account.longest_gap);
        total.moves += row.moves;
    }
    for row in rows.iter().chain([&total]) {
        let gap = signed(i64::try_from(row.account.longest_gap.as_millis()).unwrap_or(i64::MAX));
        let [sent, failed, moves] = [row.account.sent, row.account.failed, row.moves].map(|count| count.to_string());
        lines.push(line(row.name, &sent, &failed, &gap, &moves));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::page::WIDTH;
    use super::super::traffic::Account;
    use super::*;

    fn row(name: &'static str, sent: usize, failed: usize, gap_ms: u64, moves: usize) -> Over {
        Over { name, account: Account { sent, failed, longest_gap: Duration::from_millis(gap_ms) }, moves }
    }

    #[test]
    fn the_last_row_sums_and_has_the_longest_gap() {
        let lines = table(&[row("1  one", 100, 3, 2_033, 1), row("2  two", 50, 0, 25, 0)], Paint::with(false));
        assert_eq!(
            lines,
            [
                "   event                              requests   failed     longest gap   moves",
                "   1  one                                  100        3         2.033 s       1",
                "   2  two                                   50        0           25 ms       0",
                "   all                                     150        3         2.033 s       1",
            ]
        );
    }

    #[test]
    fn large_numbers_fit() {
        let lines =
            table(&[row("2  the host dies, the API refuses", 20_000, 20_000, 3_600_000, 99)], Paint::with(false));
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
    }
}
