//! `haagent run`: the agent itself.

use super::{ConfigOption, after};

/// Run the agent in the foreground
#[derive(Debug, clap::Args)]
#[command(after_help = after(
    "Exit codes: 0 stopped as asked; 1 anything else; 3 usage error; 78 the configuration cannot work.",
    &["haagent run", "haagent run --config /tmp/haagent.toml"],
))]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigOption,
}

pub(super) fn run(arguments: Arguments) -> u8 {
    crate::agent::run(&arguments.file.config)
}
