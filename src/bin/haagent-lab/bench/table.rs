//! The one table: Markdown that can be read as it is, and pasted into `docs/performance.md`.

use std::time::Duration;

use super::statistics::Sample;

/// What the values of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    /// Megabytes of a million bytes.
    Megabytes,
    /// CPU seconds a minute.
    CpuSeconds,
}

impl Unit {
    fn show(self, value: Option<f64>) -> String {
        match (value, self) {
            (None, _) => "-".to_owned(),
            (Some(value), Self::Milliseconds) => format!("{value:.1} ms"),
            (Some(value), Self::Megabytes) => format!("{value:.2} MB"),
            (Some(value), Self::CpuSeconds) => format!("{value:.3} s"),
        }
    }
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Of what.
    pub(crate) what: String,
    /// `heartbeat.interval`, where it matters.
    pub(crate) interval: Option<Duration>,
    pub(crate) unit: Unit,
    pub(crate) values: Sample,
    /// What no program could beat here, measured in the same run; none where nothing says so.
    pub(crate) floor: Option<Sample>,
    /// What haagent itself adds: each value less its own floor.
    pub(crate) over: Option<Sample>,
}

impl Row {
    /// Each value with the floor of its own run.
    pub(crate) fn of_pairs(what: String, interval: Duration, unit: Unit, pairs: &[(f64, f64)]) -> Self {
        Self {
            what,
            interval: Some(interval),
            unit,
            values: pairs.iter().map(|(value, _)| *value).collect(),
            floor: Some(pairs.iter().map(|(_, floor)| *floor).collect()),
            over: Some(pairs.iter().map(|(value, floor)| value - floor).collect()),
        }
    }
}

const WIDTHS: [usize; 8] = [44, 6, 4, 10, 10, 10, 10, 14];

/// The head of the table: two lines.
pub(crate) fn head() -> String {
    let names = ["", "I", "n", "median", "p99", "max", "floor", "over the floor"];
    let rule: Vec<String> = WIDTHS
        .iter()
        .enumerate()
        .map(|(column, width)| if column == 0 { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" })
        .collect();
    format!("{}\n{}", line(&names.map(str::to_owned)), line(&rule))
}

/// One row. Floor and what is over it are medians.
pub(crate) fn row(row: &Row) -> String {
    let show = |value| row.unit.show(value);
    line(&[
        row.what.clone(),
        row.interval.map_or_else(|| "-".to_owned(), |interval| format!("{} ms", interval.as_millis())),
        row.values.len().to_string(),
        show(row.values.median()),
        show(row.values.p99()),
        show(row.values.max()),
        show(row.floor.as_ref().and_then(Sample::median)),
        show(row.over.as_ref().and_then(Sample::median)),
    ])
}

fn line(cells: &[String]) -> String {
    let cells =
        cells.iter().zip(WIDTHS).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
    format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_median_of_its_floor_and_of_what_each_run_is_over_its_own() {
        let pairs = [(1491.0, 1490.0), (1480.5, 1479.0), (1499.0, 1490.0)];
        let silent = Row::of_pairs("host silent".to_owned(), Duration::from_millis(500), Unit::Milliseconds, &pairs);
        let cells: Vec<String> = row(&silent).split('|').map(|cell| cell.trim().to_owned()).collect();
        assert_eq!(
            cells[1..9],
            ["host silent", "500 ms", "3", "1491.0 ms", "-", "1499.0 ms", "1490.0 ms", "1.5 ms"].map(str::to_owned)
        );
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_every_line_has_the_columns_of_the_head() {
        let size = Row {
            what: "the program".to_owned(),
            interval: None,
            unit: Unit::Megabytes,
            values: [4.25].into_iter().collect(),
            floor: None,
            over: None,
        };
        let line = row(&size);
        assert!(line.contains("4.25 MB") && line.ends_with("|              - |"), "{line}");
        let head = head();
        for other in head.lines() {
            assert_eq!((other.len(), other.matches('|').count()), (line.len(), line.matches('|').count()));
        }
    }
}
