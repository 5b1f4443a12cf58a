//! `haagent-lab docker`: a fake Docker engine on a unix socket, as far as an observer sees one.
//!
//! * [`state`]: containers and what may be done with them, pure. [`filter`]: Docker's filters.
//! * [`api`]: the socket, event streams, and the control paths under `/_lab`. [`faults`]: how it fails.
//! * [`wire`]: what the control paths take and answer, for the command too.
//!
//! To see an engine that hangs altogether, stop the process with SIGSTOP: the kernel then accepts
//! connections and nobody answers, as with the real one.

mod api;
pub(crate) mod faults;
mod filter;
mod state;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::net::UnixListener;

use self::api::Api;
use self::state::{Engine, Health};
use crate::http;

/// What `haagent-lab docker` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the engine listens
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// How many containers run at the start
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=10_000))]
    containers: u32,
    /// What their names begin with: PREFIX-1, PREFIX-2 ...
    #[arg(long, value_name = "PREFIX", default_value = "web")]
    name: String,
    /// A label of all of them; may be given more than once
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// They have a HEALTHCHECK, which passes
    #[arg(long)]
    healthcheck: bool,
    /// The newest API version served is 1.MINOR; from 52 on the list says each container's health
    #[arg(long, value_name = "MINOR", default_value_t = 47)]
    api_minor: u32,
    /// How long after a death the list still shows the container as running, as the real engine's does
    #[arg(long, value_name = "MS", default_value_t = 200)]
    list_lag_ms: u64,
    /// End when standard input closes, so that nothing is left behind
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

/// Why the fake engine does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot listen on {}", path.display())]
    Listen { path: PathBuf, source: io::Error },
    #[error("{} is in use: somebody answers there", path.display())]
    InUse { path: PathBuf },
}

/// The line that is printed when the socket is up.
#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    ready: bool,
    pid: u32,
    socket: PathBuf,
    containers: u32,
}

/// The fake engine at work. Its socket is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) ready: Ready,
    listener: UnixListener,
    api: Api,
    _file: SocketFile,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Running {
    /// Serves for ever.
    pub(crate) async fn serve(self) {
        let Self { listener, api, _file, .. } = self;
        http::serve_unix(listener, api).await;
    }
}

impl Options {
    /// Binds the socket.
    ///
    /// # Errors
    /// It is in use, or its folder is not there or not ours.
    pub(crate) fn start(&self) -> Result<Running, StartError> {
        let path = self.socket.clone();
        remove_left_over(&path)?;
        let listener = UnixListener::bind(&path).map_err(|source| StartError::Listen { path: path.clone(), source })?;
        let labels: BTreeMap<String, String> = self.label.iter().cloned().collect();
        let health = self.healthcheck.then_some(Health::Healthy);
        let api = Api::new(self.api_minor, |now| {
            let mut engine = Engine::new(now, self.containers, &self.name, &labels, health);
            engine.list_lag = Duration::from_millis(self.list_lag_ms);
            engine
        });
        let ready = Ready { ready: true, pid: std::process::id(), socket: path.clone(), containers: self.containers };
        Ok(Running { ready, listener, api, _file: SocketFile(path) })
    }
}

/// Removes the socket of an engine that was killed: only a socket, and only if nobody answers.
fn remove_left_over(path: &Path) -> Result<(), StartError> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    if UnixStream::connect(path).is_ok() {
        return Err(StartError::InUse { path: path.to_owned() });
    }
    std::fs::remove_file(path).map_err(|source| StartError::Listen { path: path.to_owned(), source })
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests;
