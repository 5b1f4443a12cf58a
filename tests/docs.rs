//! The documentation, compared with the program. Here: every key of the configuration, its default,
//! and that the examples can be used. Each comparison proves that it would notice.

#![allow(clippy::unwrap_used, reason = "a test program")]

#[path = "docs/generated.rs"]
mod generated;
#[path = "docs/mistakes.rs"]
mod mistakes;
#[path = "docs/pages.rs"]
mod pages;
#[path = "docs/protocol.rs"]
mod protocol;
#[path = "docs/tables.rs"]
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use haagent::config::diff::Effect;
use haagent::config::{self, Loaded};

const CONFIGURATION: &str = include_str!("../docs/configuration.md");
const HOOKS: &str = include_str!("../docs/hooks.md");
const README: &str = include_str!("../README.md");

/// Files that together have every key. What the first one leaves out has its default in it.
const FILES: [&str; 4] = [
    r#"
[digitalocean]
token.file = "/token"
[heartbeat]
key.file = "/key"
[group.web]
peers = ["10.0.0.4", "10.0.0.5"]
[[group.web.check]]
docker.max = 3
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"#,
    r#"
[digitalocean]
token.env = "TOKEN"
[heartbeat]
key.env = "KEY"
old_key.file = "/old"
[group.web]
peers = ["10.0.0.4", "10.0.0.5"]
probe.http = "http://203.0.113.10/"
preempt = true
[[group.web.check]]
docker.running = 3
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"#,
    r#"
[digitalocean]
token.credential = "token"
[heartbeat]
key.credential = "key"
old_key.env = "OLD"
[group.web]
peers = ["10.0.0.4", "10.0.0.5"]
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"#,
    r#"
[digitalocean]
token.credential = "token"
[heartbeat]
key.credential = "key"
old_key.credential = "old"
[group.web]
peers = ["10.0.0.4", "10.0.0.5"]
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"#,
];

/// Told, not written: with no `old_key` the listing has the bare name.
const NOT_A_KEY: &str = "old_key";

#[allow(clippy::disallowed_methods, reason = "these are programs under test, not children of the agent")]
fn program(name: &str) -> Command {
    Command::new(name)
}

/// The built program, run in a folder.
fn haagent(arguments: &[&str], folder: &Path) -> Output {
    program(env!("CARGO_BIN_EXE_haagent")).args(arguments).current_dir(folder).output().unwrap()
}

fn loaded(text: &str) -> Loaded {
    config::parse("haagent.toml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}\nin:\n{text}"))
}

/// Every key, "[node] name", with its default as the documentation should have it; none where a
/// default depends on what else is written.
fn known() -> BTreeMap<String, Option<String>> {
    let mut known = BTreeMap::new();
    for (number, text) in FILES.into_iter().enumerate() {
        let loaded = loaded(text);
        for setting in loaded.config.settings().into_iter().filter(|setting| setting.key != NOT_A_KEY) {
            let name = format!("{} {}", setting.header.replace(".web", ".NAME"), setting.key);
            let default = match &setting.value {
                config::Value::Toml(value) => format!("`{value}`"),
                config::Value::Unset(text) => (*text).to_owned(),
            };
            let is_default =
                loaded.written(&setting.path()).is_none() && (number == 0 || setting.key == "preempt_delay");
            let known: &mut Option<String> = known.entry(name).or_default();
            if is_default {
                *known = Some(default);
            }
        }
    }
    known
}

/// The words at the end of a row whose key waits for a restart.
const NEEDS_RESTART: &str = "Needs a restart |";

/// Every key that waits for a restart when it changes while the agent runs.
fn waiting() -> BTreeSet<String> {
    let settings = FILES.into_iter().flat_map(|text| loaded(text).config.settings());
    let settings = settings.filter(|setting| match setting.effect() {
        Some(effect) => effect == Effect::Restart,
        None => panic!("nobody has said what a reload does with {}", setting.path()),
    });
    settings.map(|setting| format!("{} {}", setting.header.replace(".web", ".NAME"), setting.key)).collect()
}

/// Every key that the page says waits for one.
fn said_to_wait(page: &str) -> BTreeSet<String> {
    let marked: Vec<&str> =
        page.lines().filter(|line| !line.starts_with("| `") || line.ends_with(NEEDS_RESTART)).collect();
    documented(&marked.join("\n")).into_keys().collect()
}

/// Every key that the page names in its tables, with what it says of the default.
fn documented(page: &str) -> BTreeMap<String, String> {
    let mut table = "";
    let mut found = BTreeMap::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            table = heading.trim_matches('`');
        }
        let Some(cells) = line.strip_prefix("| `") else { continue };
        let mut cells = cells.splitn(3, " | ");
        let (Some(keys), Some(default)) = (cells.next(), cells.next()) else { panic!("an odd row: {line}") };
        for key in keys.split(", ") {
            found.insert(format!("{table} {}", key.trim_matches('`')), default.to_owned());
        }
    }
    found
}

/// What the page says that is not so, or does not say.
fn differences(page: &str) -> Vec<String> {
    let (known, documented) = (known(), documented(page));
    let names: BTreeSet<&String> = known.keys().chain(documented.keys()).collect();
    let differs = |name: &&String| match (known.get(*name), documented.get(*name)) {
        (None, _) => Some(format!("{name} is documented, and no key")),
        (_, None) => Some(format!("{name} is not documented")),
        (Some(Some(is)), Some(said)) if is != said => Some(format!("{name}: the default is {is}, not {said}")),
        _ => None,
    };
    names.iter().filter_map(differs).collect()
}

/// The TOML blocks of a page.
fn examples(page: &str) -> Vec<&str> {
    blocks(page, "toml")
}

fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    page.split(&format!("```{language}\n")).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_key_is_documented_with_its_default() {
    let differences = differences(CONFIGURATION);
    assert!(differences.is_empty(), "docs/configuration.md:\n{}", differences.join("\n"));
}

#[test]
fn every_key_that_waits_for_a_restart_says_so_and_no_other() {
    assert_eq!(said_to_wait(CONFIGURATION), waiting(), "docs/configuration.md");
    let unsaid = CONFIGURATION.replacen(NEEDS_RESTART, "|", 1);
    assert_ne!(said_to_wait(&unsaid), waiting());
}

#[test]
fn the_comparison_notices() {
    let missing = CONFIGURATION.replace("| `on_stop` |", "| `on_stopp` |");
    assert_eq!(
        differences(&missing),
        ["[node] on_stop is not documented", "[node] on_stopp is documented, and no key"]
    );
    let wrong = CONFIGURATION.replace("| `port` | `17112` |", "| `port` | `17113` |");
    assert_eq!(differences(&wrong), ["[heartbeat] port: the default is `17112`, not `17113`"]);
}

#[test]
fn the_examples_can_be_used() {
    let examples: Vec<&str> = [CONFIGURATION, HOOKS, README].into_iter().flat_map(examples).collect();
    assert!(examples.len() >= 2);
    for example in examples {
        loaded(example);
    }
}

/// Whether a shell can read a script.
#[allow(clippy::disallowed_methods, reason = "a test, not the agent")]
fn is_sh(script: &str) -> Result<(), String> {
    let mut shell = Command::new("sh")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    shell.stdin.take().ok_or("no input")?.write_all(script.as_bytes()).map_err(|error| error.to_string())?;
    let ended = shell.wait_with_output().map_err(|error| error.to_string())?;
    if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ended.stderr).into_owned()) }
}

#[test]
fn the_scripts_are_valid_sh_and_say_who_reads_them() {
    let scripts = blocks(HOOKS, "sh");
    assert!(scripts.len() >= 2);
    for script in scripts {
        assert!(script.starts_with("#!/bin/sh\n"), "{script}");
        assert_eq!(is_sh(script), Ok(()), "{script}");
    }
    assert!(is_sh("if true; then").is_err(), "the shell notices");
}
