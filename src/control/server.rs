//! The agent's side of the control socket.
//!
//! One task accepts, and one task serves each connection: read a line, ask the
//! [`Handler`], write the answer. Each may be dropped at any await. Whoever may
//! open the socket may read and act (mode 0660, group `haagent`); whoever cannot
//! be waited for is cut off, so that no client holds memory or a place for long.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::future::Future;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::line::{Cut, read_line};
use super::wire::{ANSWER_BYTES, Envelope, Line, REQUEST_BYTES, Request, Response};
use crate::view::render::clean;

/// Clients at one time; one more is told "busy". Operators and probes are few.
pub const CONNECTIONS: usize = 32;
/// Of these, the ones that may wait for something: `status` must always find a place.
pub const WAITERS: usize = 16;
/// How long answers under way may take when the agent stops.
const STOP_WITHIN: Duration = Duration::from_millis(500);
/// Progress lines that a client has not read yet; further ones are dropped, the next one says more anyway.
const PROGRESS: usize = 4;
/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 64;
/// The group whose members may command the agent.
const GROUP: &str = "haagent";
const MODE: u32 = 0o660;
/// The longest user data base that is searched for a name.
const ACCOUNTS_BYTES: u64 = 1024 * 1024;

/// How long one connection may keep us.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// For a client to send its line.
    read: Duration,
    /// For a client to read a line.
    write: Duration,
    /// For the agent to work on an answer, beside the time that the request grants.
    answer: Duration,
}

impl Limits {
    const USUAL: Self =
        Self { read: Duration::from_secs(5), write: Duration::from_secs(5), answer: Duration::from_secs(10) };
}

/// Who asks, by the kernel's word.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user's name, or "uid 1000"; what an act keeps as its author.
    pub user: String,
    progress: mpsc::Sender<String>,
}

impl Caller {
    /// A caller, and where its progress lines come out.
    fn new(user: String) -> (Self, mpsc::Receiver<String>) {
        let (progress, lines) = mpsc::channel(PROGRESS);
        (Self { user, progress }, lines)
    }

    /// Tells the caller what it waits for. Dropped if it does not listen.
    pub fn progress(&self, words: &str) {
        drop(self.progress.try_send(words.to_owned()));
    }
}

/// Who answers: the agent, and a fake in tests.
pub trait Handler: Send + Sync + 'static {
    /// The answer. Dropped, unfinished, when the time that the request grants is over, and
    /// for [`Request::Wait`] when the client is gone: an act must be done by somebody else
    /// (a channel to the agent's own task), and only be awaited here.
    fn handle(&self, request: Request, caller: Caller) -> impl Future<Output = Response> + Send;
}

/// Why the agent cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another agent answers there.
    #[error("another haagent answers on {}: stop it first (systemctl stop haagent)", .0.display())]
    AnotherAgent(PathBuf),
    /// Something that is not ours lies at this path.
    #[error("{} exists and is no socket: remove it, or set control.socket", .0.display())]
    NoSocket(PathBuf),
    /// The directory cannot be made or used.
    #[error("the directory of the control socket {} cannot be used: create it for the agent's user, or set control.socket", .path.display())]
    Directory {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on the control socket {}", .path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// A listening control socket. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    limits: Limits,
    /// Locked as long as we listen: who has it may replace a socket that nobody answers on.
    _lock: File,
}

impl Server {
    /// Listens on `path`. A socket file that a dead agent left is replaced; one that answers is not.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let listen = |cause| BindError::Listen { path: path.to_owned(), cause };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
            // One level only: a misspelt path must not grow a tree.
            DirBuilder::new()
                .mode(0o755)
                .create(parent)
                .map_err(|cause| BindError::Directory { path: path.to_owned(), cause })?;
        }
        let lock = lock(path)?;
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(BindError::NoSocket(path.to_owned())),
            Ok(_) if StdUnixStream::connect(path).is_ok() => return Err(BindError::AnotherAgent(path.to_owned())),
            Ok(_) => fs::remove_file(path).map_err(listen)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(listen(error)),
        }
        let listener = open(path).map_err(listen)?;
        Ok(Self { listener, path: path.to_owned(), limits: Limits::USUAL, _lock: lock })
    }

    /// Serves until `stop` is ready; answers under way then have half a second.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, stop: impl Future<Output = ()>) {
        let waiters = Arc::new(Semaphore::new(WAITERS));
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) if connections.len() >= CONNECTIONS => refuse(&stream),
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&handler), Arc::clone(&waiters), self.limits));
                }
                // No descriptor or no memory: it passes; until then not in a circle.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        let ended = timeout(STOP_WITHIN, async { while connections.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            connections.abort_all();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Best effort: the next agent replaces a file that nobody answers on.
        drop(fs::remove_file(&self.path));
    }
}

fn lock(path: &Path) -> Result<File, BindError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(PathBuf::from(name))
        .map_err(|cause| BindError::Directory { path: path.to_owned(), cause })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(BindError::AnotherAgent(path.to_owned())),
        Err(fs::TryLockError::Error(cause)) => Err(BindError::Listen { path: path.to_owned(), cause }),
    }
}

/// Rights are set between `bind` and `listen`: nobody can connect before them.
fn open(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    if let Some(group) = group_id(GROUP) {
        // Fails where the agent is neither root nor a member: then the socket keeps the agent's own group.
        drop(std::os::unix::fs::chown(path, None, Some(group)));
    }
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(std::os::fd::OwnedFd::from(socket).into())
}

/// A short answer that needs no task. The client's buffer is empty: it fits, or the client is gone.
fn refuse(stream: &UnixStream) {
    drop(stream.try_write(to_line(&Line::Answer(busy())).as_bytes()));
}

fn busy() -> Response {
    Response::Error { message: "the agent serves as many clients as it may: try again".to_owned() }
}

async fn connection<H: Handler>(stream: UnixStream, handler: Arc<H>, waiters: Arc<Semaphore>, limits: Limits) {
    let uid = stream.peer_cred().map(|peer| peer.uid());
    let (read, write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut write = Writer { half: write, within: limits.write };
    let envelope = match timeout(limits.read, read_line(&mut read, REQUEST_BYTES)).await {
        Ok(Ok(line)) => match Envelope::from_line(&line) {
            Ok(envelope) => envelope,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                return write.answer(Response::Error { message: clean(&format!("{error}{cause}")) }).await;
            }
        },
        Ok(Err(Cut::TooLong)) => {
            let message = format!("the request is longer than {REQUEST_BYTES} bytes");
            return write.answer(Response::Error { message }).await;
        }
        // Gone, or too slow to be worth an answer.
        Ok(Err(Cut::Ended)) | Err(_) => return,
    };
    let Ok(uid) = uid else {
        return write.answer(Response::Error { message: "the kernel does not say who asks".to_owned() }).await;
    };

    let request = envelope.request;
    let _place = if request.patience() > Duration::ZERO {
        match waiters.try_acquire() {
            Ok(place) => Some(place),
            Err(_) => return write.answer(busy()).await,
        }
    } else {
        None
    };
    let (caller, mut progress) = Caller::new(user(uid, envelope.sudo_user.as_deref()));
    let within = request.patience() + limits.answer;
    let only_waits = matches!(request, Request::Wait { .. });
    let mut work = std::pin::pin!(timeout(within, handler.handle(request, caller)));
    let mut gone = std::pin::pin!(gone(&mut read));
    let mut listening = true;
    let response = loop {
        tokio::select! {
            done = &mut work => break done,
            Some(progress) = progress.recv() => {
                listening = listening && write.line(&Line::Progress { progress }).await;
            }
            () = &mut gone, if listening => listening = false,
        }
        if only_waits && !listening {
            return;
        }
    };
    let response = response.unwrap_or_else(|_| Response::Error {
        message: format!("the agent did not answer within {} s; it may still do what was asked", within.as_secs()),
    });
    if listening {
        write.answer(response).await;
    }
}

/// Ready when the client has hung up. What it says after its request is not read.
async fn gone(read: &mut (impl AsyncRead + Unpin)) {
    match read.read(&mut [0; 1]).await {
        Ok(0) | Err(_) => {}
        Ok(_) => std::future::pending().await,
    }
}

struct Writer {
    half: OwnedWriteHalf,
    within: Duration,
}

impl Writer {
    async fn answer(&mut self, response: Response) {
        self.line(&Line::Answer(response)).await;
    }

    /// Whether it was written in time.
    async fn line(&mut self, line: &Line) -> bool {
        let text = to_line(line);
        matches!(timeout(self.within, self.half.write_all(text.as_bytes())).await, Ok(Ok(())))
    }
}

fn to_line(line: &Line) -> String {
    let text = match serde_json::to_string(line) {
        Ok(text) if text.len() < ANSWER_BYTES => text,
        Ok(_) => r#"{"answer":"error","message":"the answer is too long: ask for less"}"#.to_owned(),
        Err(_) => r#"{"answer":"error","message":"the answer cannot be written"}"#.to_owned(),
    };
    text + "\n"
}

/// What an act keeps as its author. Root is whoever `sudo` says, as root could write anything into our files anyway.
fn user(uid: u32, sudo_user: Option<&str>) -> String {
    let plain = |name: &&str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
    };
    match sudo_user.filter(plain) {
        Some(person) if uid == 0 => format!("{person} (sudo)"),
        Some(_) | None => user_name(uid).unwrap_or_else(|| format!("uid {uid}")),
    }
}

/// From the local file, not by NSS: a directory service that hangs must not hang the agent.
fn user_name(uid: u32) -> Option<String> {
    let id = uid.to_string();
    account("/etc/passwd", |fields| (fields.get(2) == Some(&id.as_str())).then(|| fields[0].to_owned()))
}

fn group_id(name: &str) -> Option<u32> {
    account("/etc/group", |fields| (fields[0] == name).then(|| fields.get(2)?.parse().ok()).flatten())
}

fn account<T>(path: &str, choose: impl Fn(&[&str]) -> Option<T>) -> Option<T> {
    let mut text = String::new();
    File::open(path).ok()?.take(ACCOUNTS_BYTES).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| choose(&line.split(':').collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
