//! `haagent resume`: end a drain.

use super::talk::AgentOption;
use super::{ACT_EXIT_CODES, GroupOption, ReasonOption, Terminal};
use crate::control::wire::Request;

/// End a drain, and what `failover` left: this node may be master again
#[derive(Debug, clap::Args)]
#[command(after_help = ACT_EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    agent: AgentOption,
    #[command(flatten)]
    group: GroupOption,
    #[command(flatten)]
    reason: ReasonOption,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> u8 {
    let request = Request::Resume { group: arguments.group.group, reason: arguments.reason.reason };
    arguments.agent.act(request, terminal)
}
