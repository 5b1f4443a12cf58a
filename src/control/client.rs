//! The command line's side of the control socket. No daemon, no answer: nothing
//! that was true a while ago is ever shown.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::line::{Cut, read_line};
use super::wire::{ANSWER_BYTES, Envelope, Line, Request, Response};
use crate::sys::clock;

/// How long the agent may take for the first answer, beside the time that the request grants.
/// Longer than the agent's own limit, so that its words are heard rather than ours.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Between two looks whether an agent that is starting listens.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no agent answers on {}: it does not run on this host; to start it: haagent run, or its unit: systemctl start haagent", .0.display())]
    NotRunning(PathBuf),
    /// This user may not connect.
    #[error("this user may not open {}: use sudo; or be in the group haagent, which must be there when the agent starts", .0.display())]
    Permission(PathBuf),
    /// The agent does not answer.
    #[error("the agent on {} did not answer within {} s: see journalctl -u haagent", .path.display(), .within.as_secs())]
    Timeout {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        within: Duration,
    },
    /// The agent ended or broke off before its answer did.
    #[error("the agent on {} broke off before it answered: see journalctl -u haagent", .0.display())]
    BrokeOff(PathBuf),
    /// Something else listens, or an agent of another version.
    #[error("what came from {} is no answer: is it the socket of a haagent of this version?", .path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// Why, where JSON says so.
        #[source]
        cause: Option<serde_json::Error>,
    },
    /// Anything else.
    #[error("cannot ask the agent on {}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Asks, and waits for the answer. `progress` is called with what the agent waits for.
///
/// # Errors
/// See [`ClientError`].
pub async fn ask(socket: &Path, envelope: &Envelope, progress: impl FnMut(&str)) -> Result<Response, ClientError> {
    ask_within(socket, envelope, envelope.request.patience() + ANSWER_WITHIN, progress).await
}

/// Waits until somebody listens on the socket, but no longer than `within`: for whoever has only just
/// started the agent. How long that took; nothing if somebody listens already. What stands against
/// it otherwise is for [`ask`] to say.
pub async fn listens_within(socket: &Path, within: Duration) -> Duration {
    let absent = async || UnixStream::connect(socket).await.is_err_and(|error| is_absent(&error));
    if !absent().await {
        return Duration::ZERO;
    }
    let began = clock::now();
    let listens = async {
        while absent().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    drop(timeout(within, listens).await);
    clock::now() - began
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn ask_within(
    socket: &Path,
    envelope: &Envelope,
    within: Duration,
    progress: impl FnMut(&str),
) -> Result<Response, ClientError> {
    timeout(within, conversation(socket, envelope, progress))
        .await
        .unwrap_or_else(|_| Err(ClientError::Timeout { path: socket.to_owned(), within }))
}

async fn conversation(
    socket: &Path,
    envelope: &Envelope,
    mut progress: impl FnMut(&str),
) -> Result<Response, ClientError> {
    let path = || socket.to_owned();
    let stream = UnixStream::connect(socket).await.map_err(|cause| match cause.kind() {
        _ if is_absent(&cause) => ClientError::NotRunning(path()),
        io::ErrorKind::PermissionDenied => ClientError::Permission(path()),
        _ => ClientError::Io { path: path(), cause },
    })?;
    let (read, mut write) = stream.into_split();
    // An agent that is busy answers and closes before it has read: its answer counts, not our broken pipe.
    drop(write.write_all(envelope.to_line().as_bytes()).await);

    let mut read = BufReader::new(read);
    loop {
        let line = read_line(&mut read, ANSWER_BYTES).await.map_err(|cause| match cause {
            Cut::Ended => ClientError::BrokeOff(path()),
            Cut::TooLong => ClientError::NoAnswer { path: path(), cause: None },
        })?;
        match serde_json::from_slice(&line) {
            Ok(Line::Progress { progress: words }) => progress(&words),
            Ok(Line::Answer(response)) => return Ok(response),
            Err(cause) => return Err(ClientError::NoAnswer { path: path(), cause: Some(cause) }),
        }
    }
}

/// The envelope of a request from this process: with the person behind `sudo`, if there is one.
#[must_use]
pub fn envelope(request: Request) -> Envelope {
    Envelope { request, sudo_user: std::env::var("SUDO_USER").ok() }
}

#[cfg(test)]
mod tests;
