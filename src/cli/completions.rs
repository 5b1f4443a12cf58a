//! `haagent completions SHELL`: what a shell needs to complete the commands and options.

use clap_complete::aot;

use super::{ConfigOption, Terminal, after, definition};

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = after(
    "Exit codes: 0 printed; 1 not printed; 3 usage error.",
    &[
        "haagent completions bash > /usr/share/bash-completion/completions/haagent",
        "haagent completions zsh > /usr/share/zsh/site-functions/_haagent",
        "haagent completions fish > /usr/share/fish/completions/haagent.fish",
    ],
))]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigOption,
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(arguments: &Arguments, terminal: &mut Terminal<'_>) -> u8 {
    terminal.deliver(&script(arguments.shell))
}

fn script(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut script = Vec::new();
    aot::generate(shell, &mut definition(), "haagent", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for command in definition().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell:?} does not know {}", command.get_name());
            }
        }
    }
}
