//! All pages: each relative link leads somewhere, and each `haagent` command line can be typed.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

/// A page: where it is, and what it says.
struct Page {
    file: PathBuf,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<Page> {
    let beside = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name));
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let files = beside.into_iter().chain(docs).filter(|file| file.extension().is_some_and(|end| end == "md"));
    files.map(|file| Page { text: fs::read_to_string(&file).unwrap(), file }).collect()
}

/// The lines of a page, each with whether it stands in a block of code, and of which kind.
fn lines(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut block = None;
    text.lines().filter_map(move |line| match (line.strip_prefix("```"), block) {
        (Some(kind), None) => {
            block = Some(kind);
            None
        }
        (Some(_), Some(_)) => {
            block = None;
            None
        }
        (None, block) => Some((line, block)),
    })
}

/// The targets of the links of a page that do not leave the repository.
fn links(text: &str) -> Vec<&str> {
    let text = lines(text).filter(|(_, block)| block.is_none()).map(|(line, _)| line);
    let targets = text.flat_map(|line| line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)));
    targets.filter(|target| !target.contains("://")).collect()
}

/// What GitHub calls a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Why a link of this page leads nowhere.
fn broken(page: &Page, target: &str) -> Option<String> {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { page.file.clone() } else { page.file.parent().unwrap().join(path) };
    if !file.exists() {
        return Some(format!("{}: {target}: there is no such file", page.file.display()));
    }
    if heading.is_empty() {
        return None;
    }
    let text = fs::read_to_string(&file).unwrap();
    let headings = lines(&text).filter(|(_, block)| block.is_none()).filter_map(|(line, _)| line.strip_prefix('#'));
    let known = headings.map(|line| anchor(line.trim_start_matches('#').trim())).any(|known| known == heading);
    (!known).then(|| format!("{}: {target}: there is no such heading", page.file.display()))
}

/// The `haagent` commands that a line of a block would run, as words.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.split_once("$ ").map_or(line, |(_, typed)| typed);
    let mut commands = vec![vec![String::new()]];
    let (mut quote, mut before) = (None, ' ');
    for letter in line.chars() {
        let command: &mut Vec<String> = commands.last_mut().unwrap();
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            (letter, Some(_)) => command.last_mut().unwrap().push(letter),
            ('\'' | '"', None) => quote = Some(letter),
            ('#', None) if before == ' ' => break,
            ('|' | ';' | '&' | '>' | '<' | '(' | ')', None) => commands.push(vec![String::new()]),
            (' ', None) => command.push(String::new()),
            (letter, None) => command.last_mut().unwrap().push(letter),
        }
        before = letter;
    }
    let words = commands.into_iter().map(|words| words.into_iter().filter(|word| !word.is_empty()).collect());
    let ours = words.map(|words: Vec<String>| {
        let words = words.into_iter().skip_while(|word| word == "sudo");
        words.collect::<Vec<_>>()
    });
    // "haagent 0.1.0 on web-2" is what a command printed, and so is "2" of a "2>>".
    let typed = |words: &Vec<String>| {
        words.first().is_some_and(|word| word == "haagent")
            && words.get(1).is_none_or(|word| !word.starts_with(|c: char| c.is_ascii_digit()))
    };
    let without_descriptor = |mut words: Vec<String>| {
        words.pop_if(|word| word == "2");
        words
    };
    ours.filter(typed).map(without_descriptor).collect()
}

/// Why a command line cannot be typed.
fn refused(words: &[String]) -> Option<String> {
    let error = haagent::cli::definition().try_get_matches_from(words).err()?;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        _ => Some(format!("{}: {}", words.join(" "), error.to_string().lines().next().unwrap_or_default())),
    }
}

/// What the page shows as a command and is none. docs/lab.md is judged with the lab's own definition.
fn wrong_commands(text: &str) -> Vec<String> {
    let shown = lines(text).filter(|(_, block)| block.is_some_and(|kind| !kind.starts_with("toml")));
    let mut wrong: Vec<String> =
        shown.flat_map(|(line, _)| commands(line)).filter_map(|words| refused(&words)).collect();
    // In a sentence a command may be cut short, but its name must exist.
    let prose: Vec<&str> = lines(text).filter(|(_, block)| block.is_none()).map(|(line, _)| line).collect();
    let definition = haagent::cli::definition();
    for span in prose.join("\n").split('`').skip(1).step_by(2) {
        let Some(name) = span.strip_prefix("haagent ").and_then(|rest| rest.split_whitespace().next()) else {
            continue;
        };
        if name.starts_with(char::is_lowercase) && definition.find_subcommand(name).is_none() {
            wrong.push(format!("{span}: there is no such command"));
        }
    }
    wrong
}

#[test]
fn every_relative_link_leads_somewhere() {
    let pages = pages();
    assert!(pages.len() > 8);
    let broken: Vec<String> =
        pages.iter().flat_map(|page| links(&page.text).into_iter().filter_map(|target| broken(page, target))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_command_line_can_be_typed() {
    for page in pages().iter().filter(|page| !page.file.ends_with("docs/lab.md")) {
        let wrong = wrong_commands(&page.text);
        assert!(wrong.is_empty(), "{}:\n{}", page.file.display(), wrong.join("\n"));
    }
}

/// The commands that do something, with the names of those that they stand under.
fn leaves(command: &clap::Command, under: &str) -> Vec<String> {
    let name = |inner: &clap::Command| format!("{under} {}", inner.get_name()).trim_start().to_owned();
    let inner = command.get_subcommands().map(|inner| (name(inner), inner));
    inner.flat_map(|(name, inner)| if inner.has_subcommands() { leaves(inner, &name) } else { vec![name] }).collect()
}

/// Commands whose exit codes docs/status.md does not have.
fn without_exit_codes(page: &str) -> Vec<String> {
    let section = page.split("\n## ").find(|section| section.starts_with("Exit codes\n")).unwrap();
    let commands = leaves(&haagent::cli::definition(), "");
    assert!(commands.len() > 12);
    commands.into_iter().filter(|name| !section.contains(&format!("`{name}`"))).collect()
}

#[test]
fn every_command_has_its_exit_codes_in_the_table() {
    let page = fs::read_to_string(root().join("docs/status.md")).unwrap();
    assert_eq!(without_exit_codes(&page), [""; 0]);
    assert_eq!(without_exit_codes(&page.replace("`keygen`", "`key`")), ["keygen"], "it would notice");
}

#[test]
fn a_wrong_link_and_a_wrong_command_are_noticed() {
    let page = Page { file: root().join("README.md"), text: String::new() };
    assert!(broken(&page, "docs/nothing.md").is_some());
    assert!(broken(&page, "docs/status.md#exit-codes").is_none());
    assert!(broken(&page, "docs/status.md#no-such-heading").is_some());
    let block = |line: &str| wrong_commands(&format!("```\n{line}\n```\n")).len();
    assert_eq!(block("web-2$ haagent history -n 1 | head    # the newest"), 0);
    assert_eq!(block("haagent run 2>> /var/log/haagent.log &"), 0);
    assert_eq!(block("haagent drain --reason 'two words; and more' && sudo haagent resume"), 0);
    assert_eq!(block("haagent 0.1.0 on web-2, up 4.3 s"), 0);
    assert_eq!(block("true && haagent reboot"), 1);
    assert_eq!(block("haagent drain --fore 2h"), 1);
    assert_eq!(wrong_commands("`haagent statuss --json` says"), ["haagent statuss --json: there is no such command"]);
}
