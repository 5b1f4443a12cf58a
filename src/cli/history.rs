//! `haagent history`: what happened, and how long each step took.

use super::status::json;
use super::talk::{AgentOption, unanswered};
use super::{GroupOption, Terminal, after, exit};
use crate::control::wire::{Request, Response};
use crate::view::history;

/// Show the last moves, changes of state and human acts, with the timeline of each move
#[derive(Debug, clap::Args)]
#[command(after_help = after(
    "Exit codes: 0 shown; 3 usage error, or the agent cannot be asked.",
    &["haagent history", "haagent history -n 1 --group web"],
))]
pub(super) struct Arguments {
    #[command(flatten)]
    agent: AgentOption,
    #[command(flatten)]
    group: GroupOption,
    /// How many entries, the newest ones, from 1 on
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    number: u32,
    /// Print JSON, for programs; docs/status.md describes the fields
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> u8 {
    let request = Request::History { group: arguments.group.group, limit: arguments.number };
    match arguments.agent.ask(request, terminal) {
        Ok(Response::History { entries }) => {
            let text = if arguments.json { json(&entries) } else { history::render(&entries, terminal.style) };
            terminal.finish(&text, exit::OK)
        }
        Ok(other) => unanswered(other, terminal),
        Err(code) => code,
    }
}
