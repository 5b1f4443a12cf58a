//! `haagent failover`: move the address now.

use std::time::Duration;

use super::talk::{ActOption, told};
use super::{ACT_EXIT_CODES, Terminal, after, duration, exit};
use crate::control::wire::{Request, Response};
use crate::proto::ids::{GroupName, NodeName};
use crate::view::render::clean;
use crate::view::status::millis;

/// Move the address to another node now
#[derive(Debug, clap::Args)]
#[command(after_help = after(
    ACT_EXIT_CODES,
    &["haagent failover --dry-run", "haagent failover --to web-2 --reason 'new disk in web-1'"],
))]
pub(super) struct Arguments {
    #[command(flatten)]
    act: ActOption,
    /// The group; it must be named where there are several
    #[arg(long, value_name = "NAME", value_parser = GroupName::new)]
    group: Option<GroupName>,
    /// To this node; else to the best candidate
    #[arg(long, value_name = "NODE", value_parser = NodeName::new)]
    to: Option<NodeName>,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Take the address from a droplet that is no member
    #[arg(long)]
    take: bool,
    /// Wait for the verified claim at most this long, as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Do not ask a person at a terminal first
    #[arg(short, long)]
    yes: bool,
}

impl Arguments {
    fn request(&self, dry_run: bool) -> Request {
        Request::Failover {
            group: self.group.clone(),
            to: self.to.clone(),
            dry_run,
            take: self.take,
            reason: self.act.reason.clone(),
            timeout_ms: millis(self.timeout),
        }
    }
}

pub(super) fn run(arguments: &Arguments, terminal: &mut Terminal<'_>) -> u8 {
    // A person is told what would happen before being asked.
    if terminal.interactive && !arguments.yes && !arguments.dry_run {
        match arguments.act.agent.ask(arguments.request(true), terminal) {
            Ok(Response::Done { message }) => terminal.complain(&clean(&message)),
            Ok(other) => return told(other, terminal),
            Err(code) => return code,
        }
        if !terminal.confirm("Do it?", false) {
            return exit::REFUSED;
        }
    }
    arguments.act.agent.act(arguments.request(arguments.dry_run), terminal)
}
