//! The processes of a stage. Each is ended by its own id, and with whoever started it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a process may take to come up or to go.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a process did not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    #[error("cannot start {name}")]
    Start { name: String, source: io::Error },
    #[error("{name} is not up: {}", log.display())]
    NotUp { name: String, log: PathBuf },
    #[error("{name} does not run")]
    Gone { name: String },
    #[error("{name} cannot be sent {signal}")]
    Signal { name: String, signal: Signal, source: nix::Error },
    #[error("{name} did not end within {} s", PATIENCE.as_secs())]
    Stays { name: String },
    #[error("the exit of {name} is not known")]
    Exit { name: String, source: io::Error },
}

/// A process that is killed when this is dropped, and gone afterwards.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) else { return };
        // Waits until it is dead, and leaves the rest to the runtime: what is killed and not yet dead could
        // write into the folder while that is removed. Nothing can hold up a SIGKILL for long.
        if self.child.start_kill().is_ok() {
            let _ = waitid(Id::Pid(Pid::from_raw(id)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a lab tool: its children are the programs under trial, killed on drop")]
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Process {
    /// Starts `program` with its words in the file `log`.
    pub(crate) fn start(name: &str, program: &Path, arguments: &[&str], log: &Path) -> Result<Self, ProcessError> {
        let spawn = || {
            let words = File::options().append(true).create(true).open(log)?;
            let mut command = command(program);
            // Words of its own: under systemd's journal the agent would not write the time.
            command.args(arguments).env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
            command.stdout(words.try_clone()?).stderr(words).spawn()
        };
        let child = spawn().map_err(|source| ProcessError::Start { name: name.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// Starts one of the lab's own servers, which ends when this process does, and reads its ready line.
    pub(crate) async fn server(
        name: &str,
        program: &Path,
        arguments: &[&str],
        log: &Path,
    ) -> Result<(Self, Value), ProcessError> {
        let spawn = || {
            let words = File::options().append(true).create(true).open(log)?;
            let mut command = command(program);
            command.args(arguments).arg("--until-stdin-closes");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(words).spawn()
        };
        let mut child = spawn().map_err(|source| ProcessError::Start { name: name.to_owned(), source })?;
        let not_up = || ProcessError::NotUp { name: name.to_owned(), log: log.to_owned() };
        let mut line = String::new();
        let mut ready = BufReader::new(child.stdout.take().ok_or_else(not_up)?);
        let read = tokio::time::timeout(PATIENCE, ready.read_line(&mut line)).await;
        read.map_err(|_| not_up())?.map_err(|_| not_up())?;
        let ready = serde_json::from_str(&line).map_err(|_| not_up())?;
        Ok((Self { name: name.to_owned(), child }, ready))
    }

    /// Runs a command to its end.
    pub(crate) async fn run(program: &Path, arguments: &[&str]) -> Result<Output, ProcessError> {
        let output = command(program).args(arguments).output();
        let started = |source| ProcessError::Start { name: program.display().to_string(), source };
        match tokio::time::timeout(PATIENCE, output).await {
            Ok(output) => output.map_err(started),
            Err(_) => Err(ProcessError::Stays { name: program.display().to_string() }),
        }
    }

    /// Its number, as long as it runs.
    pub(crate) fn id(&self) -> Result<u32, ProcessError> {
        self.child.id().ok_or_else(|| ProcessError::Gone { name: self.name.clone() })
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let gone = || ProcessError::Gone { name: self.name.clone() };
        let id = i32::try_from(self.id()?).map_err(|_| gone())?;
        let failed = |source| ProcessError::Signal { name: self.name.clone(), signal, source };
        kill(Pid::from_raw(id), signal).map_err(failed)
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus, ProcessError> {
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(ended) => ended.map_err(|source| ProcessError::Exit { name: self.name.clone(), source }),
            Err(_) => Err(ProcessError::Stays { name: self.name.clone() }),
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}
