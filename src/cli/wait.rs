//! `haagent wait`: until this node has come so far.

use std::time::Duration;

use super::talk::AgentOption;
use super::{GroupOption, Terminal, after, duration};
use crate::control::wire::{Request, WaitFor};
use crate::view::status::millis;

/// `haagent run & haagent wait` is what people write, and the agent listens a moment after it began.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// Wait until this node is healthy, master, backup, or holds the address
#[derive(Debug, clap::Args)]
#[command(after_help = after(
    "Exit codes: 0 reached; 1 timed out; 3 usage error, or the agent cannot be asked; \
     it is given ten seconds to come up.\n\n\
     healthy: every check passes; master, backup: the state; \
     held: the cloud says that this node holds every address. Without --group, all groups are meant.",
    &["haagent wait --for healthy", "haagent wait --for held --timeout 2m"],
))]
pub(super) struct Arguments {
    #[command(flatten)]
    agent: AgentOption,
    #[command(flatten)]
    group: GroupOption,
    /// What to wait for
    #[arg(long = "for", value_name = "STATE")]
    what: What,
    /// At most this long, as 90s or 5m; an hour at the most
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = duration)]
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    Healthy,
    Master,
    Backup,
    Held,
}

pub(super) fn run(arguments: &Arguments, terminal: &mut Terminal<'_>) -> u8 {
    let what = match arguments.what {
        What::Healthy => WaitFor::Healthy,
        What::Master => WaitFor::Master,
        What::Backup => WaitFor::Backup,
        What::Held => WaitFor::Held,
    };
    let waited = arguments.agent.listens_within(STARTS_WITHIN.min(arguments.timeout));
    let left = arguments.timeout.saturating_sub(waited);
    let request = Request::Wait { group: arguments.group.group.clone(), what, timeout_ms: millis(left) };
    arguments.agent.act(request, terminal)
}
