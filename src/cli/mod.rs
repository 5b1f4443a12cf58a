//! The command line: arguments -> command, one file each.
//!
//! Data goes to stdout, complaints to stderr. A reader that goes away (`| head`)
//! is no error. Usage errors exit with 3: 2 would be "critical" to a monitoring system.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};

use crate::config::DEFAULT_FILE;
use crate::proto::ids::GroupName;
use crate::view::render::Style;

mod completions;
pub mod config;
mod drain;
mod failover;
mod history;
pub mod keygen;
mod man;
mod reload;
mod restart;
mod resume;
pub mod run;
mod status;
mod talk;
mod wait;
mod why;

/// Exit codes, as the contract has them.
mod exit {
    /// Done, reached, ok.
    pub(super) const OK: u8 = 0;
    /// Refused, failed, timed out.
    pub(super) const REFUSED: u8 = 1;
    /// Begun, and not finished in time.
    pub(super) const BEGUN: u8 = 2;
    /// Usage error, or the agent cannot be asked.
    pub(super) const CANNOT_ASK: u8 = 3;
}

const ACT_EXIT_CODES: &str = "Exit codes: 0 done, or already so; 1 refused or failed, all is as before; \
2 begun and not finished in --timeout; 3 usage error, or the agent cannot be asked.";

/// Of acts that take effect at once.
const PROMPT_EXIT_CODES: &str = "Exit codes: 0 done, or already so; 1 refused or failed, all is as before; \
3 usage error, or the agent cannot be asked.";

#[derive(Debug, Parser)]
#[command(
    name = "haagent",
    version,
    about = "Keeps a reserved IP on a server that works",
    // What a terminal is wide where nobody asked for more; and what is not a terminal gets the same.
    max_term_width = 80,
    after_help = after(
        "Exit codes: 3 usage error, for every command; each command's help has its others.",
        &["haagent status", "haagent drain --help", "haagent man | man -l -"],
    )
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Status(status::Arguments),
    History(history::Arguments),
    Why(why::Arguments),
    Wait(wait::Arguments),
    Drain(drain::Arguments),
    Resume(resume::Arguments),
    Failover(failover::Arguments),
    Reload(reload::Arguments),
    Restart(restart::Arguments),
    Config(ConfigArguments),
    Keygen(KeygenArguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Check, show or begin a configuration, without the agent
#[derive(Debug, Args)]
#[command(after_help = after(
    "Exit codes: 3 usage error; each command's help has its others.",
    &["haagent config check", "haagent config show"],
))]
struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the agent would start with the file, and all that is wrong with it
    #[command(after_help = after(
        "Exit codes: 0 the agent would start with it; 1 it would not, or, with --strict, something is odd; \
         3 usage error.",
        &["haagent config check", "haagent config check --strict new.toml"],
    ))]
    Check {
        #[command(flatten)]
        file: ConfigOption,
        /// The file; instead of --config
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        named: Option<PathBuf>,
        /// Fail on warnings too
        #[arg(long)]
        strict: bool,
    },
    /// Print the configuration in force, with every default; no secrets
    #[command(after_help = after(
        "Exit codes: 0 shown; 1 the file cannot be used; 3 usage error.",
        &["haagent config show", "haagent config show | grep -v '# default'"],
    ))]
    Show {
        #[command(flatten)]
        file: ConfigOption,
    },
    /// Print an annotated file to begin with
    #[command(after_help = after(
        "Exit codes: 0 shown; 1 not written; 3 usage error.",
        &["haagent config example > /etc/haagent/haagent.toml"],
    ))]
    Example {
        #[command(flatten)]
        file: ConfigOption,
    },
}

/// Make a heartbeat key, the same one for all nodes
#[derive(Debug, Args)]
#[command(after_help = after(
    "Exit codes: 0 made; 1 not made, a file that is there stays as it is; 3 usage error.",
    &["haagent keygen /etc/haagent/heartbeat.key"],
))]
struct KeygenArguments {
    #[command(flatten)]
    file: ConfigOption,
    /// The file to write, with mode 0640; else the key is printed
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    named: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ConfigOption {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE, value_hint = ValueHint::FilePath)]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct GroupOption {
    /// Only this group [default: all of them]
    #[arg(long, value_name = "NAME", value_parser = GroupName::new)]
    group: Option<GroupName>,
}

/// What stands below a command's options: its exit codes, and command lines to copy.
fn after(exit_codes: &str, examples: &[&str]) -> String {
    let lines: String = examples.iter().map(|example| format!("\n  {example}")).collect();
    format!("{exit_codes}\n\nExamples:{lines}")
}

/// The one definition of the command line: help, completions, manual and tests are made from it.
#[must_use]
pub fn definition() -> clap::Command {
    Arguments::command()
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write a number with a unit: 90s, 5m, 2h, 1d"))
}

/// Where a command reads and writes; tests give it their own.
struct Terminal<'a> {
    out: &'a mut dyn Write,
    complaints: &'a mut dyn Write,
    answers: &'a mut dyn BufRead,
    /// Somebody is there to be asked.
    interactive: bool,
    style: Style,
}

impl Terminal<'_> {
    /// Prints data. What nobody can read is not an error; that it could not be
    /// written (a full disk) is.
    fn print(&mut self, text: &str) -> io::Result<()> {
        let mut out = Quiet(self.out);
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Prints `text` and exits with `code`, or says that it cannot.
    fn finish(&mut self, text: &str, code: u8) -> u8 {
        match self.print(text) {
            Ok(()) => code,
            Err(error) => {
                self.complain(&format!("haagent: cannot write to the standard output: {error}"));
                exit::CANNOT_ASK
            }
        }
    }

    /// Prints what a command is for making. The exit code.
    fn deliver(&mut self, text: &str) -> u8 {
        match self.finish(text, exit::OK) {
            exit::OK => exit::OK,
            _ => exit::REFUSED,
        }
    }

    /// Says something to the person. There is nobody left to tell if that fails.
    fn complain(&mut self, text: &str) {
        drop(writeln!(self.complaints, "{text}"));
    }

    /// Asks for a yes. Where nobody can be asked (a script), it is one.
    fn confirm(&mut self, question: &str, yes: bool) -> bool {
        if yes || !self.interactive {
            return true;
        }
        drop(write!(self.complaints, "{question} [y/N] ").and_then(|()| self.complaints.flush()));
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer).is_ok();
        let agreed = read && matches!(answer.trim(), "y" | "Y" | "yes");
        if !agreed {
            self.complain("nothing was done");
        }
        agreed
    }
}

/// Runs the command that the arguments (the program's name first) ask for. The exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let (mut out, mut complaints) = (io::stdout(), io::stderr());
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let style = Style { colour: out.is_terminal() && !no_colour };
    // Not locked: the agent's log writer is a thread of its own and needs stderr.
    let mut terminal = Terminal {
        out: &mut out,
        complaints: &mut complaints,
        answers: &mut io::stdin().lock(),
        interactive: io::stdin().is_terminal(),
        style,
    };
    match parse(arguments, &mut terminal) {
        Ok(command) => dispatch(command, &mut terminal),
        Err(code) => code,
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>, terminal: &mut Terminal<'_>) -> Result<Command, u8> {
    Arguments::try_parse_from(arguments).map(|arguments| arguments.command).map_err(|error| {
        let text = error.render();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion if terminal.style.colour => {
                terminal.finish(&text.ansi().to_string(), exit::OK)
            }
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => terminal.finish(&text.to_string(), exit::OK),
            _ => {
                terminal.complain(text.to_string().trim_end());
                exit::CANNOT_ASK
            }
        }
    })
}

fn dispatch(command: Command, terminal: &mut Terminal<'_>) -> u8 {
    match command {
        Command::Run(arguments) => run::run(arguments),
        Command::Status(arguments) => status::run(&arguments, terminal),
        Command::History(arguments) => history::run(arguments, terminal),
        Command::Why(arguments) => why::run(&arguments, terminal),
        Command::Wait(arguments) => wait::run(&arguments, terminal),
        Command::Drain(arguments) => drain::run(arguments, terminal),
        Command::Resume(arguments) => resume::run(arguments, terminal),
        Command::Failover(arguments) => failover::run(&arguments, terminal),
        Command::Reload(arguments) => reload::run(arguments, terminal),
        Command::Restart(arguments) => restart::run(arguments, terminal),
        Command::Config(arguments) => config(arguments.command, terminal),
        Command::Keygen(arguments) => keygen::keygen(arguments.named.as_deref(), terminal.out, terminal.complaints),
        Command::Completions(arguments) => completions::run(&arguments, terminal),
        Command::Man(arguments) => man::run(&arguments, terminal),
    }
}

fn config(command: ConfigCommand, terminal: &mut Terminal<'_>) -> u8 {
    let out = &mut Quiet(terminal.out);
    match command {
        ConfigCommand::Check { file, named, strict } => {
            config::check(&named.unwrap_or(file.config), strict, out, terminal.complaints)
        }
        ConfigCommand::Show { file } => config::show(&file.config, out, terminal.complaints),
        ConfigCommand::Example { file: _ } => config::example(out),
    }
}

/// A stream whose reader may go away without that being an error.
struct Quiet<'a>(&'a mut dyn Write);

impl Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

#[cfg(test)]
mod tests;
