//! What all commands that talk to the agent share: where it is, and what its answers mean.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{ConfigOption, Terminal, exit};
use crate::config::types::Control;
use crate::control::client;
use crate::control::wire::{Refusal, Request, Response};
use crate::view::render::clean;

/// The longest configuration that is searched for the socket.
const CONFIG_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct AgentOption {
    #[command(flatten)]
    pub(super) file: ConfigOption,
    /// The agent's control socket; else control.socket of the configuration
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub(super) socket: Option<PathBuf>,
}

/// What every act has.
#[derive(Debug, Args)]
pub(super) struct ActOption {
    #[command(flatten)]
    pub(super) agent: AgentOption,
    /// Why; shown by status and history on every node
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

impl AgentOption {
    fn socket(&self) -> PathBuf {
        let configured = || socket_in(&self.file.config);
        self.socket.clone().or_else(configured).unwrap_or_else(|| PathBuf::from(Control::SOCKET))
    }

    /// Asks the agent. Where there is no answer, says why; the exit code then.
    pub(super) fn ask(&self, request: Request, terminal: &mut Terminal<'_>) -> Result<Response, u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            terminal.complain(&format!("haagent: cannot open a socket: {error}"));
            exit::CANNOT_ASK
        })?;
        let (socket, envelope) = (self.socket(), client::envelope(request));
        let asked = client::ask(&socket, &envelope, |words| terminal.complain(&clean(words)));
        runtime.block_on(asked).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            terminal.complain(&format!("haagent: {error}{cause}"));
            exit::CANNOT_ASK
        })
    }

    /// Gives an agent that was only just started so long to listen. How long it took.
    pub(super) fn listens_within(&self, within: Duration) -> Duration {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_or(Duration::ZERO, |runtime| runtime.block_on(client::listens_within(&self.socket(), within)))
    }

    /// Asks for something to be done, and tells what came of it.
    pub(super) fn act(&self, request: Request, terminal: &mut Terminal<'_>) -> u8 {
        match self.ask(request, terminal) {
            Ok(response) => told(response, terminal),
            Err(code) => code,
        }
    }
}

/// Tells the answer to an act; its exit code.
pub(super) fn told(response: Response, terminal: &mut Terminal<'_>) -> u8 {
    match response {
        Response::Done { message } => terminal.finish(&format!("{}\n", clean(&message)), exit::OK),
        Response::Begun { message } => terminal.finish(&format!("{}\n", clean(&message)), exit::BEGUN),
        Response::TimedOut { message } => {
            terminal.complain(&clean(&message));
            exit::REFUSED
        }
        Response::Refused(Refusal { what, why, mend }) => {
            terminal.complain(&format!("refused: {}\n  why: {}\n  mend: {}", clean(&what), clean(&why), clean(&mend)));
            exit::REFUSED
        }
        Response::Error { message } => {
            terminal.complain(&format!("haagent: {}", clean(&message)));
            exit::CANNOT_ASK
        }
        Response::Status { .. }
        | Response::History { .. }
        | Response::Reloaded { .. }
        | Response::FileRefused { .. } => {
            terminal.complain("haagent: the agent answered another question: is it of this version? (haagent restart, then start it anew)");
            exit::CANNOT_ASK
        }
    }
}

/// Tells an answer that is not what a question was for: whatever it says, nothing is known.
pub(super) fn unanswered(response: Response, terminal: &mut Terminal<'_>) -> u8 {
    told(response, terminal);
    exit::CANNOT_ASK
}

/// The socket that the configuration names. A file that cannot be read by this user, or that is
/// broken elsewhere, must not stand between an operator and a running agent.
fn socket_in(file: &Path) -> Option<PathBuf> {
    let mut text = String::new();
    std::fs::File::open(file).ok()?.take(CONFIG_BYTES).read_to_string(&mut text).ok()?;
    let table: toml::Table = text.parse().ok()?;
    table.get("control")?.get("socket")?.as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_option_then_the_configuration_then_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("haagent.toml");
        let option = |socket: Option<&str>| AgentOption {
            file: ConfigOption { config: file.clone() },
            socket: socket.map(PathBuf::from),
        };
        assert_eq!(option(None).socket(), Path::new(Control::SOCKET), "no file");
        std::fs::write(&file, "[control]\nsocket = \"/tmp/other.sock\"\n[group.web]\npeers = 7\n").unwrap();
        assert_eq!(option(None).socket(), Path::new("/tmp/other.sock"), "a mistake elsewhere in the file");
        assert_eq!(option(Some("/tmp/named.sock")).socket(), Path::new("/tmp/named.sock"));
        std::fs::write(&file, "[control\n").unwrap();
        assert_eq!(option(None).socket(), Path::new(Control::SOCKET), "a file that cannot be read");
    }
}
