//! How the answers are written for people.

use serde::Serialize;
use serde_json::Value;

/// Rows with their columns under each other, two spaces apart.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// "a, b, c", or `none` where there is nothing.
pub(super) fn list(parts: impl IntoIterator<Item = String>, none: &str) -> String {
    let parts: Vec<String> = parts.into_iter().collect();
    if parts.is_empty() { none.to_owned() } else { parts.join(", ") }
}

/// "1 call", "2 calls".
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Milliseconds as people write them: 1s 500ms.
pub(super) fn time(ms: u64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
}

/// The word that JSON has for it.
pub(super) fn word(value: &impl Serialize) -> String {
    plain(&serde_json::to_value(value).unwrap_or_default())
}

/// Text without quotes, everything else as JSON has it.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "bb", "c"], ["aaa", "b", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "a    bb  c\naaa  b\n");
        assert_eq!(
            (list([], "none"), counted(1, "call"), counted(2, "call")),
            ("none".into(), "1 call".into(), "2 calls".into())
        );
    }
}
