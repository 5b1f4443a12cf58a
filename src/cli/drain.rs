//! `haagent drain`: hand over and take no part.

use std::time::Duration;

use super::talk::ActOption;
use super::{ACT_EXIT_CODES, GroupOption, Terminal, after, duration, exit};
use crate::control::wire::Request;
use crate::view::status::millis;

/// Hand over, and take no part until resumed; survives restart and reboot
#[derive(Debug, clap::Args)]
#[command(after_help = after(
    ACT_EXIT_CODES,
    &["haagent drain --for 2h --reason 'kernel update'", "haagent drain --group web --yes"],
))]
pub(super) struct Arguments {
    #[command(flatten)]
    act: ActOption,
    #[command(flatten)]
    group: GroupOption,
    /// End by itself after this long, as 90s, 2h or 1d; else only by `haagent resume`
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// Wait for the hand-over at most this long, as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Do not ask a person at a terminal first
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
