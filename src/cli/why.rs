//! `haagent why`: why this node is or is not master, and what blocks a failover.

use super::status::{json, snapshot};
use super::talk::AgentOption;
use super::{GroupOption, Terminal, after, exit};
use crate::view::{render, why};

/// Show why this node is or is not master, what it waits for, and what a failover would do now
#[derive(Debug, clap::Args)]
#[command(after_help = after(
    "Exit codes: 0 answered; 3 usage error, or the agent cannot be asked.",
    &["haagent why", "haagent why --group web --json"],
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
    let answers = match snapshot(&arguments.agent, &arguments.group, terminal) {
        Ok(status) => why::why(&status),
        Err(code) => return code,
    };
    let text = if arguments.json { json(&answers) } else { render::why(&answers, terminal.style) };
    terminal.finish(&text, exit::OK)
}
