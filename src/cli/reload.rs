//! `haagent reload`: the configuration is read again.

use super::talk::{ActOption, told};
use super::{Terminal, after, exit};
use crate::control::wire::{Request, Response};
use crate::view::render::clean;

/// What a change that waits for a restart needs; an announced restart moves nothing.
const RESTART: &str = "in force after: haagent restart, then systemctl restart haagent (nothing moves)";

const EXIT_CODES: &str = "Exit codes: 0 in force, also where keys that wait for a restart are named; \
1 refused, the old configuration goes on; 3 usage error, or the agent cannot be asked.";

/// Read the configuration again, and put all of it in force or nothing
#[derive(Debug, clap::Args)]
#[command(after_help = after(EXIT_CODES, &["haagent reload --reason 'nine containers'", "haagent config check && haagent reload"]))]
pub(super) struct Arguments {
    #[command(flatten)]
    act: ActOption,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> u8 {
    match arguments.act.agent.ask(Request::Reload { reason: arguments.act.reason }, terminal) {
        Ok(Response::Reloaded { applied, restart_needed, warnings }) => {
            warnings.iter().for_each(|line| terminal.complain(&clean(line)));
            let mut text = match applied.as_slice() {
                [] if restart_needed.is_empty() => "nothing changed\n".to_owned(),
                [] => String::new(),
                applied => format!("applied: {}\n", clean(&applied.join("; "))),
            };
            if !restart_needed.is_empty() {
                text += &format!("restart needed: {}\n  {RESTART}\n", clean(&restart_needed.join("; ")));
            }
            terminal.finish(&text, exit::OK)
        }
        Ok(Response::FileRefused { problems }) => {
            problems.iter().for_each(|line| terminal.complain(&clean(line)));
            terminal.complain("refused: the old configuration goes on");
            exit::REFUSED
        }
        Ok(other) => told(other, terminal),
        Err(code) => code,
    }
}
