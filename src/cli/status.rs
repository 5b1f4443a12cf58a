//! `haagent status`: the one snapshot, for people or programs.

use super::talk::{AgentOption, unanswered};
use super::{GroupOption, Terminal, after, exit};
use crate::control::wire::{Request, Response};
use crate::proto::ids::GroupName;
use crate::view::render;
use crate::view::status::Status;

/// Show who holds the address, whether a failover would work, and what blocks it
#[derive(Debug, clap::Args)]
#[command(after_help = after(
    "Exit codes: 0 ok; 1 warning: served, and a failover would not work; \
     2 critical: not served, two holders, or a foreign holder; \
     3 unknown: the agent cannot be asked, or cannot tell; usage error.",
    &["haagent status", "haagent status --json | jq '.groups[].served'"],
))]
pub(super) struct Arguments {
    #[command(flatten)]
    agent: AgentOption,
    #[command(flatten)]
    group: GroupOption,
    /// Print JSON, for programs; docs/status.md describes the fields
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, terminal: &mut Terminal<'_>) -> u8 {
    let chosen = match snapshot(&arguments.agent, &arguments.group, terminal) {
        Ok(status) => status,
        Err(code) => return code,
    };
    let text = if arguments.json { json(&chosen) } else { render::status(&chosen, terminal.style) };
    terminal.finish(&text, chosen.severity().exit_code())
}

/// The agent's snapshot, with no other group than the one that was asked for. Where there is none,
/// says why; the exit code then.
pub(super) fn snapshot(agent: &AgentOption, group: &GroupOption, terminal: &mut Terminal<'_>) -> Result<Status, u8> {
    let status = match agent.ask(Request::Status {}, terminal)? {
        Response::Status { status } => *status,
        other => return Err(unanswered(other, terminal)),
    };
    match &group.group {
        None => Ok(status),
        Some(name) => only(status, name, terminal),
    }
}

fn only(status: Status, name: &GroupName, terminal: &mut Terminal<'_>) -> Result<Status, u8> {
    let names: Vec<&str> = status.groups.iter().map(|group| group.facts.name.as_str()).collect();
    let mend = format!("name one of: {}", names.join(", "));
    status.only(name).ok_or_else(|| {
        terminal.complain(&format!("haagent: there is no group {name}; {mend}"));
        exit::CANNOT_ASK
    })
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    // Plain data with text keys: serde_json has no reason to refuse it.
    serde_json::to_string_pretty(value).map(|text| text + "\n").unwrap_or_default()
}
