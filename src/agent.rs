//! The agent: the composition root.

use crate::cli::run::RunOptions;

/// Runs the agent until it is stopped. The exit code of the process.
#[must_use]
pub fn run(_options: RunOptions) -> u8 {
    1
}
