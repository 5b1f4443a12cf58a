//! `haagent-lab tell`: names for everything that the control endpoints of the running programs can do.
//!
//! Requests and answers are the servers' own types, and the faults of the cloud are commands by their
//! own definition: what a server learns, the command has, or it does not compile.
//!
//! * [`cloud`], [`docker`], [`network`]: the commands for each program, and what they print.
//! * [`words`]: how ids, shares and tables are written for people.

mod cloud;
mod docker;
mod network;
mod words;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{CallError, Server};

/// Shown under the help.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused or failed, nothing was changed; \
3 usage error, or the program cannot be asked.";
const REFUSED: u8 = 1;
const CANNOT_ASK: u8 = 3;

/// What `haagent-lab tell` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    whom: Whom,
}

#[derive(Debug, clap::Subcommand)]
enum Whom {
    /// The fake cloud: what is true, what happened, faults, settings, droplets
    #[command(after_help = EXIT_CODES)]
    Cloud(cloud::Options),
    /// The fake Docker engine: containers, and how it answers
    #[command(after_help = EXIT_CODES)]
    Docker(docker::Options),
    /// The private network: cut links, lost and late datagrams
    #[command(after_help = EXIT_CODES)]
    Network(network::Options),
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TellError {
    #[error("where is {whom}? Give {option}, or set {variable}; its ready line says it as `{member}`")]
    Where { whom: &'static str, option: &'static str, variable: &'static str, member: &'static str },
    #[error("cannot ask {whom} at {at}; if it runs, its ready line says where")]
    CannotAsk { whom: &'static str, at: Server, source: CallError },
    #[error("{whom} at {at} answered what this command does not know; both must be of one version")]
    Odd { whom: &'static str, at: Server, source: serde_json::Error },
    #[error("{whom} at {at} refused it (status {status}): {message}")]
    Refused { whom: &'static str, at: Server, status: u16, message: String },
    #[error("there is no droplet {name}; there are {known}")]
    NoSuchDroplet { name: String, known: String },
    #[error("there is no such setting, or it cannot have that value")]
    Setting(#[source] serde_json::Error),
    #[error("nothing of that came within {0}")]
    NothingCame(humantime::FormattedDuration),
    #[error("cannot write the answer")]
    Print(#[source] io::Error),
}

impl TellError {
    /// As [`EXIT_CODES`] says.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Where { .. } | Self::CannotAsk { .. } | Self::Odd { .. } | Self::Setting(_) => CANNOT_ASK,
            Self::Refused { .. } | Self::NoSuchDroplet { .. } | Self::NothingCame(_) | Self::Print(_) => REFUSED,
        })
    }
}

impl Options {
    /// Asks, and prints what the answer is.
    ///
    /// # Errors
    /// The program cannot be asked, or refuses.
    pub(crate) async fn tell(self) -> Result<(), TellError> {
        let told = match self.whom {
            Whom::Cloud(options) => options.tell().await,
            Whom::Docker(options) => options.tell().await,
            Whom::Network(options) => options.tell().await,
        };
        match told {
            // Who reads only the beginning has what he wants.
            Err(TellError::Print(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            told => told,
        }
    }
}

/// A running program, and how its answers are printed.
#[derive(Debug)]
struct Running {
    whom: &'static str,
    server: Server,
    json: bool,
}

impl Running {
    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, TellError> {
        self.ask("GET", path, "").await
    }

    async fn post<A: DeserializeOwned>(&self, path: &str, order: &impl Serialize) -> Result<A, TellError> {
        self.send("POST", path, order).await
    }

    async fn delete<A: DeserializeOwned>(&self, path: &str) -> Result<A, TellError> {
        self.ask("DELETE", path, "").await
    }

    async fn send<A: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        order: &impl Serialize,
    ) -> Result<A, TellError> {
        let body = serde_json::to_string(order).map_err(|source| self.odd(source))?;
        self.ask(method, path, &body).await
    }

    async fn ask<A: DeserializeOwned>(&self, method: &str, path: &str, body: &str) -> Result<A, TellError> {
        let (whom, at) = (self.whom, self.server.clone());
        let answer = self.server.ask(method, path, body).await.map_err(|error| match error {
            CallError::Refused { status, text } => TellError::Refused { whom, at, status, message: message(text) },
            source => TellError::CannotAsk { whom, at, source },
        })?;
        serde_json::from_slice(&answer).map_err(|source| self.odd(source))
    }

    fn odd(&self, source: serde_json::Error) -> TellError {
        TellError::Odd { whom: self.whom, at: self.server.clone(), source }
    }

    /// Prints the answer: as it is for programs, in words for people.
    fn say<A: Serialize>(&self, answer: &A, in_words: impl FnOnce(&A) -> String) -> Result<(), TellError> {
        let text = if self.json {
            serde_json::to_string(answer).map_err(|source| self.odd(source))? + "\n"
        } else {
            in_words(answer)
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(TellError::Print)
    }
}

/// The `message` of an error's body, or the body.
fn message(body: String) -> String {
    let value: Value = serde_json::from_str(&body).unwrap_or_default();
    value["message"].as_str().map_or(body, str::to_owned)
}

#[cfg(test)]
mod tests;
