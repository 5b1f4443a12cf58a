//! `haagent restart`: announce that the next stop is a restart.

use super::talk::ActOption;
use super::{PROMPT_EXIT_CODES, Terminal, after};
use crate::control::wire::Request;

/// Announce a restart: a stop within ten seconds hands nothing over
#[derive(Debug, clap::Args)]
#[command(after_help = after(PROMPT_EXIT_CODES, &["haagent restart && systemctl restart haagent"]))]
pub(super) struct Arguments {
    #[command(flatten)]
    act: ActOption,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> u8 {
    arguments.act.agent.act(Request::Restart { reason: arguments.act.reason }, terminal)
}
