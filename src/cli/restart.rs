//! `haagent restart`: announce that the next stop is a restart.

use super::talk::AgentOption;
use super::{ACT_EXIT_CODES, ReasonOption, Terminal};
use crate::control::wire::Request;

/// Announce a restart: a stop within ten seconds hands nothing over
#[derive(Debug, clap::Args)]
#[command(after_help = ACT_EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    agent: AgentOption,
    #[command(flatten)]
    reason: ReasonOption,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> u8 {
    arguments.agent.act(Request::Restart { reason: arguments.reason.reason }, terminal)
}
