//! `haagent resume`: end a drain.

use super::talk::ActOption;
use super::{GroupOption, PROMPT_EXIT_CODES, Terminal, after};
use crate::control::wire::Request;

/// End a drain, and what `failover` left: this node may be master again
#[derive(Debug, clap::Args)]
#[command(after_help = after(PROMPT_EXIT_CODES, &["haagent resume", "haagent resume --group web"]))]
pub(super) struct Arguments {
    #[command(flatten)]
    act: ActOption,
    #[command(flatten)]
    group: GroupOption,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> u8 {
    let request = Request::Resume { group: arguments.group.group, reason: arguments.act.reason };
    arguments.act.agent.act(request, terminal)
}
