//! `haagent man [DIR]`: the manual, made from the same definition as the help and from
//! docs/configuration.md.
//!
//! haagent(8) and a page for each command come from clap's definition; haagent.toml(5) is the
//! documentation of the configuration, which a test compares with the program.

mod markdown;

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{ConfigOption, Terminal, after, definition, exit};
use crate::config::types::{Control, Node};
use crate::config::{DEFAULT_FILE, REFERENCE};
use crate::view::history;

/// Print the manual page haagent(8), or write all pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = after(
    "Exit codes: 0 done; 1 a page cannot be written; 3 usage error.",
    &["haagent man | man -l -", "haagent man /usr/local/share/man"],
))]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigOption,
    /// Write all pages into its folders man8 and man5, which are made
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// One page.
struct Page {
    /// `haagent-status`
    name: String,
    section: &'static str,
    text: String,
}

pub(super) fn run(arguments: &Arguments, terminal: &mut Terminal<'_>) -> u8 {
    let pages = match pages() {
        Ok(pages) => pages,
        Err(error) => {
            terminal.complain(&format!("haagent man: {error}"));
            return exit::REFUSED;
        }
    };
    let Some(folder) = &arguments.folder else {
        let main: String = pages.into_iter().take(1).map(|page| page.text).collect();
        return terminal.deliver(&main);
    };
    let mut written = String::new();
    for page in pages {
        let file = page.place(folder);
        if let Err(error) = page.write(&file) {
            terminal.complain(&format!("haagent man: {} cannot be written: {error}", file.display()));
            return exit::REFUSED;
        }
        written += &format!("{}\n", file.display());
    }
    terminal.deliver(&written)
}

impl Page {
    /// Where man(1) looks for it.
    fn place(&self, folder: &Path) -> PathBuf {
        folder.join(format!("man{}", self.section)).join(format!("{}.{}", self.name, self.section))
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(file, &self.text)
    }
}

/// All pages, haagent(8) first.
fn pages() -> io::Result<Vec<Page>> {
    let mut whole = definition().disable_help_subcommand(true);
    whole.build();
    let mut pages = vec![command(&whole, true)?];
    let mut waiting: Vec<&Command> = whole.get_subcommands().collect();
    while !waiting.is_empty() {
        let next = waiting.remove(0);
        pages.push(command(next, false)?);
        waiting.extend(next.get_subcommands());
    }
    pages.push(configuration());
    Ok(pages)
}

/// The page of a command.
fn command(command: &Command, main: bool) -> io::Result<Page> {
    let source = format!("haagent {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).section("8").source(source).manual("haagent");
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    unhyphenated(&mut Roff::new()).to_writer(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    if main {
        let mut description = Roff::new();
        description.control("SH", ["DESCRIPTION"]);
        markdown::render(DESCRIPTION, &mut description);
        description.to_writer(&mut bytes)?;
    } else {
        man.render_description_section(&mut bytes)?;
    }
    man.render_options_section(&mut bytes)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    let mut rest = Roff::new();
    let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in below.split("\n\n") {
        self::below(&mut rest, paragraph);
    }
    if main {
        list(&mut rest, "FILES", &files());
        list(&mut rest, "ENVIRONMENT", &ENVIRONMENT.map(|(name, meaning)| (name.to_owned(), meaning)));
    }
    let others: &[&str] = if main { &["haagent.toml(5)"] } else { &["haagent(8)", "haagent.toml(5)"] };
    rest.control("SH", ["SEE ALSO"]).text([roman(others.join(", "))]);
    rest.to_writer(&mut bytes)?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    Ok(Page { name, section: "8", text: one_preamble(&String::from_utf8_lossy(&bytes)) })
}

/// A word of the configuration or a command line must not be broken. groff's macros hyphenate again
/// after each heading and entry, unless their register HY says no.
fn unhyphenated(page: &mut Roff) -> &mut Roff {
    page.control("nr", ["HY", "0"]).control("nh", []).control("ad", ["l"])
}

/// A paragraph of what stands below the options in the help, as a section of its own.
fn below(page: &mut Roff, paragraph: &str) {
    if let Some(codes) = paragraph.strip_prefix("Exit codes: ") {
        page.control("SH", ["EXIT STATUS"]);
        for (code, meaning) in exit_codes(codes) {
            page.control("TP", []).text([bold(code)]).text([roman(meaning)]);
        }
    } else if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
        page.control("SH", ["EXAMPLES"]).control("EX", []);
        for line in examples.lines() {
            page.text([roman(line.trim_start())]);
        }
        page.control("EE", []);
    } else if !paragraph.is_empty() {
        page.control("SH", ["NOTES"]).text([roman(paragraph)]);
    }
}

/// `0 done; 1 refused; 3 usage error` one by one.
fn exit_codes(text: &str) -> Vec<(&str, String)> {
    let mut codes: Vec<(&str, String)> = Vec::new();
    for part in text.trim_end_matches('.').split("; ") {
        match part.split_once(' ').filter(|(code, _)| code.bytes().all(|byte| byte.is_ascii_digit())) {
            Some((code, meaning)) => codes.push((code, meaning.to_owned())),
            None => match codes.last_mut() {
                Some((_, meaning)) => *meaning += &format!("; {part}"),
                None => codes.push(("", part.to_owned())),
            },
        }
    }
    codes
}

fn list(page: &mut Roff, title: &str, entries: &[(String, &str)]) {
    page.control("SH", [title]);
    for (name, meaning) in entries {
        page.control("TP", []).text([bold(name)]).text([roman(*meaning)]);
    }
}

fn files() -> [(String, &'static str); 4] {
    [
        (DEFAULT_FILE.to_owned(), "The configuration, the same on every node; see haagent.toml(5)."),
        (
            Node::STATE_DIR.to_owned(),
            "What must survive a restart: drains, and what the election must not forget. node.state_dir moves it.",
        ),
        (format!("{}/{}", Node::STATE_DIR, history::FILE), "What haagent history shows, one JSON object in each line."),
        (
            Control::SOCKET.to_owned(),
            "Where the commands reach the agent. Who may open it may act. control.socket moves it.",
        ),
    ]
}

const DESCRIPTION: &str = "\
haagent moves a reserved IP of the cloud provider to a server that works. It is one daemon per host. The daemons of a
group exchange heartbeats over the private network, each watches its own service, they elect a master as VRRP does, and
the master makes the address point at itself through the provider's API.

`haagent run` is the daemon. The other commands talk to it through its control socket, or need no daemon at all
(`config`, `keygen`, `completions`, `man`). `haagent status` on any node answers for the whole group: who holds the
address, and whether a failover would work.

The agent never takes the address from a node without giving it to another. Without the agent the service runs on.";

const ENVIRONMENT: [(&str, &str); 5] = [
    (
        "HAAGENT_LOG",
        "What the agent logs: a level (error, warn, info, debug, trace) or target=level pairs. Default: info.",
    ),
    (
        "NO_COLOR",
        "If it is set and not empty, nothing is coloured. Nothing is, either, where the output is no terminal.",
    ),
    ("SUDO_USER", "Who asked, where a command runs under sudo; shown beside the user by the kernel's word."),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM",
        "Set by systemd: readiness, the watchdog, and the form of log lines.",
    ),
    ("CREDENTIALS_DIRECTORY", "Set by systemd: where the credentials are that the configuration names."),
];

/// haagent.toml(5).
fn configuration() -> Page {
    let mut page = Roff::new();
    let source = format!("haagent {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["haagent.toml", "5", "", &source, "haagent"]);
    unhyphenated(&mut page);
    page.control("SH", ["NAME"]).text([roman("haagent.toml - the configuration of haagent")]);
    page.control("SH", ["DESCRIPTION"]).text([roman("The default of each key stands beside it in brackets.")]);
    markdown::render(REFERENCE, &mut page);
    page.control("SH", ["SEE ALSO"]).text([roman("haagent(8), haagent-config-check(8), haagent-config-show(8)")]);
    Page { name: "haagent.toml".to_owned(), section: "5", text: page.render() }
}

/// Each part of a page was rendered with a preamble; one is enough.
fn one_preamble(text: &str) -> String {
    let preamble = Roff::new().render();
    format!("{preamble}{}", text.replace(&preamble, ""))
}

#[cfg(test)]
mod tests;
