//! The commands, compared with their documentation and with the test that runs them.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory, Parser};

use crate::Arguments;
use crate::cloud::event::{DropletDeed, Event};

const PAGE: &str = include_str!("../../../../docs/lab.md");
const TEST: &str = include_str!("../../../../tests/loopback/lab_commands.rs");
/// Every page whose lines people paste.
const PAGES: [(&str, &str); 5] = [
    ("README.md", include_str!("../../../../README.md")),
    ("CONTRIBUTING.md", include_str!("../../../../CONTRIBUTING.md")),
    ("docs/lab.md", PAGE),
    ("docs/testing.md", include_str!("../../../../docs/testing.md")),
    ("docs/performance.md", include_str!("../../../../docs/performance.md")),
];

/// Every command of `haagent-lab tell` that has no commands below it: "cloud fail delay".
fn commands() -> BTreeSet<String> {
    fn walk(command: &Command, path: &str, found: &mut BTreeSet<String>) {
        let below: Vec<&Command> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
        if below.is_empty() {
            found.insert(path.trim_start().to_owned());
        }
        for next in below {
            walk(next, &format!("{path} {}", next.get_name()), found);
        }
    }
    let mut found = BTreeSet::new();
    walk(Arguments::command().find_subcommand("tell").unwrap(), "", &mut found);
    found
}

/// Whether the text has this command, whole: "cloud fail" is not "cloud fail delay".
fn has(text: &str, start: &str, command: &str) -> bool {
    let wanted = format!("{start}{command}");
    text.match_indices(&wanted).any(|(at, _)| {
        let next = text[at + wanted.len()..].chars().next();
        next.is_none_or(|next| !next.is_ascii_alphanumeric() && next != '-')
    })
}

/// The commands that the page does not have in a table of the section about their program.
fn undocumented(page: &str) -> Vec<String> {
    let section = |program: &str| {
        let start = page.split_once(&format!("\n## `tell {program}`\n")).map(|(_, rest)| rest);
        start.map(|rest| rest.split("\n## ").next().unwrap_or_default())
    };
    let missing = commands().into_iter().filter(|command| {
        let (program, words) = command.split_once(' ').unwrap();
        !section(program).is_some_and(|section| has(section, "`", words))
    });
    missing.collect()
}

fn untried(test: &str) -> Vec<String> {
    commands().into_iter().filter(|command| !has(test, "tell(\"", command)).collect()
}

/// The lines of a page's code blocks that call this program, as their words.
fn lines(page: &str) -> Vec<Vec<String>> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).filter_map(|line| {
        let line = line.trim_start_matches("$ ").trim_start_matches("target/debug/");
        line.starts_with("haagent-lab ").then(|| words(line))
    });
    lines.collect()
}

/// As a shell splits what our pages have: quotes, and an end at `|`, `>`, `&` and `#`.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '>' | '&' | '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn the_definition_is_in_order() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_is_documented_and_would_be_missed() {
    assert!(commands().len() > 50 && commands().contains("cloud fail action-not-found"), "{:?}", commands());
    assert_eq!(undocumented(PAGE), Vec::<String>::new(), "docs/lab.md has no line for these");
    assert_eq!(undocumented(&PAGE.replace("`fail drip", "`fail drop")), ["cloud fail drip"]);
}

#[test]
fn every_command_is_run_by_the_test_and_would_be_missed() {
    assert_eq!(untried(TEST), Vec::<String>::new(), "tests/loopback/lab_commands.rs runs none of these");
    assert_eq!(untried(&TEST.replace("tell(\"network cut", "tell(\"network cat")), ["network cut"]);
}

#[test]
fn every_line_in_the_documentation_can_be_pasted() {
    let mut count = 0;
    for (name, page) in PAGES {
        for line in lines(page) {
            count += 1;
            if let Err(error) = Arguments::try_parse_from(&line)
                && error.use_stderr()
            {
                panic!("{name}: {line:?}: {error}");
            }
        }
    }
    assert!(count > 10, "{count}");
    assert_eq!(lines("\n```\n$ haagent-lab x 'a b' --c=\"d\" | jq > e\n```\n"), [["haagent-lab", "x", "a b", "--c=d"]]);
}

#[test]
fn the_names_of_events_are_those_that_can_be_asked_for() {
    for event in [
        Event::Droplet { droplet: 1, change: DropletDeed::Added },
        Event::Faults { set: None, cleared: Vec::new() },
        Event::Created { ip: [203, 0, 113, 1].into(), by: String::new() },
    ] {
        assert!(Event::NAMES.contains(&event.name()));
        assert_eq!(serde_json::to_value(&event).unwrap()["event"], event.name());
    }
}
