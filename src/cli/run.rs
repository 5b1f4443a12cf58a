//! `haagent run`: the agent itself.

use super::ConfigOption;

/// Run the agent in the foreground
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 stopped as asked; 78 the configuration cannot work; 3 usage error; 1 anything else."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigOption,
}

pub(super) fn run(arguments: Arguments) -> u8 {
    crate::agent::run(&arguments.file.config)
}
