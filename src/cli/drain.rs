//! `haagent drain`: hand over and take no part.

use std::time::Duration;

use super::talk::ActOption;
use super::{ACT_EXIT_CODES, GroupOption, Terminal, duration, exit};
use crate::control::wire::Request;
use crate::view::status::millis;

/// Hand over, and take no part until resumed; survives restart and reboot
#[derive(Debug, clap::Args)]
#[command(after_help = ACT_EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    act: ActOption,
    #[command(flatten)]
    group: GroupOption,
    /// End by itself after this long; else only by `haagent resume`
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// Wait for the hand-over at most this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> u8 {
    let what = match &arguments.group.group {
        Some(group) => format!("group {group}"),
        None => "all groups".to_owned(),
    };
    if !terminal.confirm(&format!("Drain this node in {what}?"), arguments.yes) {
        return exit::REFUSED;
    }
    let request = Request::Drain {
        group: arguments.group.group,
        reason: arguments.act.reason,
        for_ms: arguments.duration.map(millis),
        timeout_ms: millis(arguments.timeout),
    };
    arguments.act.agent.act(request, terminal)
}
