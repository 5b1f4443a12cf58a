//! The limits and the usual mistakes of docs/configuration.md, compared with what the program says.

use haagent::config;

use super::{CONFIGURATION, examples, haagent, known};

/// A number outside of every limit: the program then says what the limits are.
const ABSURD: &str = "-99999999999999";

/// The tables of a file, each with its header as the first line.
fn tables(text: &str) -> Vec<(&str, String)> {
    let mut tables: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            tables.push((line, String::new()));
        }
        if let Some((_, text)) = tables.last_mut() {
            *text += &format!("{line}\n");
        }
    }
    tables
}

/// The page's smallest file, `changed` being in the place of those of its tables.
fn smallest_with(page: &str, changed: &str) -> String {
    let smallest = examples(page)[0];
    let changed_tables = tables(changed);
    let kept =
        tables(smallest).into_iter().filter(|(header, _)| !changed_tables.iter().any(|(name, _)| name == header));
    format!("{changed}\n{}", kept.map(|(_, text)| text).collect::<String>())
}

/// "from X to Y" of the message about an absurd value, as the page should have it: `500 ms to 30 s`.
fn limits(name: &str) -> Option<String> {
    let (header, key) = name.split_once(' ').unwrap();
    let header = header.replace("NAME", "web");
    let own = tables(examples(CONFIGURATION)[0]).into_iter().find(|(name, _)| *name == header);
    let lines = own.map_or(format!("{header}\n"), |(_, text)| text);
    let lines = lines.lines().filter(|line| !line.starts_with(&format!("{key} =")));
    let changed = lines.chain([format!("{key} = {ABSURD}").as_str()]).collect::<Vec<_>>().join("\n");
    let problems = match config::parse("f", smallest_with(CONFIGURATION, &changed).as_bytes()) {
        Ok(_) => panic!("{name} takes any number"),
        Err(problems) => problems.to_string(),
    };
    let mut mends = ["write a number from ", "write a duration from "].into_iter();
    let bounds = mends.find_map(|mend| problems.split_once(mend)?.1.lines().next())?;
    match bounds.split_once(" to ").unwrap_or_else(|| panic!("{name}: {bounds}")) {
        (from, to) if to == i64::MAX.to_string() => Some(format!("{from} or more")),
        (from, to) => Some(format!("{} to {}", in_words(from), in_words(to))),
    }
}

/// `"5m"` -> `5 min`; a plain number is itself.
fn in_words(bound: &str) -> String {
    let bound = bound.trim_matches('"');
    let Some(unit) = bound.find(|c: char| c.is_ascii_alphabetic()) else { return bound.to_owned() };
    let (number, unit) = bound.split_at(unit);
    format!("{number} {}", if unit == "m" { "min" } else { unit })
}

/// Keys whose row on the page does not say what the program's limits are.
fn unsaid_limits(page: &str) -> Vec<String> {
    let mut table = "";
    let mut rows = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            table = heading.trim_matches('`');
        }
        if line.starts_with("| `") {
            rows.push((table, line));
        }
    }
    let unsaid = |name: &String| {
        let limits = limits(name)?;
        let (header, key) = name.split_once(' ')?;
        let says = |(table, row): &(&str, &str)| {
            let (keys, meaning) = row.split_once(" | ").unwrap_or_default();
            *table == header && keys.contains(&format!("`{key}`")) && says(meaning, &limits)
        };
        (!rows.iter().any(says)).then(|| format!("{name}: {limits}"))
    };
    known().keys().filter_map(unsaid).collect()
}

/// Whether `text` has `limits` in it, not as a part of other numbers.
fn says(text: &str, limits: &str) -> bool {
    text.match_indices(limits).any(|(at, _)| {
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !text[..at].ends_with(joins) && !text[at + limits.len()..].starts_with(joins)
    })
}

/// Each block of mistakes with what the page says that the program says.
fn mistakes(page: &str) -> Vec<(&str, &str)> {
    page.split("```toml mistakes\n")
        .skip(1)
        .map(|rest| {
            let (lines, rest) = rest.split_once("```\n\n```text\n").expect("the answer follows the mistakes");
            (lines, rest.split("```").next().unwrap_or_default())
        })
        .collect()
}

/// What `haagent config check haagent.toml` says of this file.
fn checked(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("haagent.toml"), text).unwrap();
    let said = haagent(&["config", "check", "haagent.toml"], folder.path());
    assert_eq!(said.status.code(), Some(1), "the mistakes are none:\n{text}");
    String::from_utf8([said.stdout, said.stderr].concat()).unwrap()
}

#[test]
fn every_limit_is_documented() {
    let unsaid = unsaid_limits(CONFIGURATION);
    assert!(unsaid.is_empty(), "docs/configuration.md does not say:\n{}", unsaid.join("\n"));
}

#[test]
fn the_comparison_of_limits_notices() {
    let wrong = CONFIGURATION.replace("500 ms to 30 s", "50 ms to 30 s");
    assert_eq!(unsaid_limits(&wrong), ["[digitalocean] timeout: 500 ms to 30 s"]);
    let wrong = CONFIGURATION.replace("1 to 250", "1 to 2500");
    assert_eq!(unsaid_limits(&wrong), ["[digitalocean] calls_per_minute: 1 to 250"]);
}

#[test]
fn every_mistake_is_told_as_documented() {
    let mistakes = mistakes(CONFIGURATION);
    assert_eq!(mistakes.len(), CONFIGURATION.matches("\n## `[").count(), "each table has its mistakes");
    for (lines, said) in mistakes {
        assert_eq!(checked(&smallest_with(CONFIGURATION, lines)), said, "docs/configuration.md:\n{lines}");
    }
}

#[test]
fn the_comparison_of_mistakes_notices() {
    let (lines, said) = mistakes(CONFIGURATION)[0];
    let other = lines.replace("kepp", "kerp");
    assert_ne!(other, lines);
    assert_ne!(checked(&smallest_with(CONFIGURATION, &other)), said);
}
