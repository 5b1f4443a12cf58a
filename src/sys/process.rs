//! One program of the operator, run to its end.
//!
//! No shell: an argument list. No inheritance: a clean environment, no input, `/` for
//! its folder, a process group of its own. No waiting for ever: a deadline, after which
//! the whole group is told to end (SIGTERM) and, after a moment, killed. No flood: what
//! it prints is read to the end, so that it never blocks, and kept within a bound.
//!
//! What a program that ended in time leaves running is left alone, as keepalived does:
//! a hook may start a daemon. (Under systemd it ends with the agent's unit.)

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, killpg, sigaction};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::clock;
use super::program::{self, ProgramError};
use crate::proto::time::Time;

mod output;

pub use output::Output;

/// The agent's own `PATH` may be anything; this one is Debian's.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes read at a time.
const CHUNK: usize = 8 * 1024;

/// Looking at a program and starting it take no longer, or its disk hangs.
const START: Duration = Duration::from_secs(5);

/// The programs that are being started. Each is started once at a time: a start takes a thread of
/// the runtime, for ever if the program's disk hangs, and other programs must go on.
static STARTS: Mutex<Option<HashMap<PathBuf, Weak<Semaphore>>>> = Mutex::new(None);

/// From SIGTERM to SIGKILL, and from there to the end of waiting for what cannot be killed.
const GRACE: Duration = Duration::from_secs(2);

/// What is still in the pipes of a program that has ended is there at once; longer
/// waits only for what it left running, which may hold them open for ever.
const DRAIN: Duration = Duration::from_millis(200);

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Absolute.
    pub program: PathBuf,
    /// Without the program's own name.
    pub arguments: Vec<String>,
    /// All that the program sees beside `PATH` and `LANG`. No value has a zero byte.
    pub environment: Vec<(&'static str, String)>,
    /// Its time.
    pub deadline: Duration,
}

/// How a program ended that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that was not the agent's.
    Signalled(i32),
    /// Not in time: it was ended, with all of its group.
    TimedOut,
    /// Not at all: it hangs in the kernel, or runs as somebody whom this user may not kill.
    Unkillable,
}

/// A program that was started, afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// What it said.
    pub output: Output,
    /// How long it ran.
    pub took: Duration,
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It must not be run, or cannot be.
    #[error("{0}: {mend}", mend = .0.mend())]
    Program(#[from] ProgramError),
    /// Its first line names an interpreter that is not there, or it has none.
    #[error("{} cannot be run ({reason}): its first line must name a program that exists: #!/bin/sh", path.display())]
    Interpreter {
        /// The program.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The system has no room for another process, for one.
    #[error("{} was not started: {reason}", path.display())]
    System {
        /// The program.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// Its file system does not answer, or an earlier run of it cannot be killed.
    #[error("{} was not started within {START:?}: its disk hangs, or an earlier run of it that cannot be killed", .0.display())]
    Hangs(PathBuf),
}

/// Runs a program to its end. To be called within a tokio runtime.
///
/// May be dropped at any point: the program and its group are killed then.
///
/// # Errors
/// It was not started.
pub async fn run(order: Order) -> Result<Ended, StartError> {
    let path = order.program.clone();
    let deadline = order.deadline;
    let starts = starts_of(&path);
    let starting = async {
        let place = starts.acquire_owned().await;
        tokio::task::spawn_blocking(move || {
            let _place = place;
            Running::start(&order)
        })
        .await
    };
    let mut running = match timeout(START, starting).await {
        Ok(Ok(started)) => started?,
        Ok(Err(stopped)) => return Err(StartError::System { path, reason: io::Error::other(stopped) }),
        // Should it start after all, it is killed at once: nobody keeps it.
        Err(_) => return Err(StartError::Hangs(path)),
    };
    let ended = running.finish(deadline).await;
    if ended.end == End::Unkillable {
        // Not started again beside itself: whoever repeats it would pile them up.
        tokio::spawn(async move {
            let _place = starts_of(&path).acquire_owned().await;
            let _ = running.child.wait().await;
        });
    }
    Ok(ended)
}

/// Whoever starts this program takes the one place. Programs that nobody starts are forgotten.
fn starts_of(program: &Path) -> Arc<Semaphore> {
    let mut starts = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
    let starts = starts.get_or_insert_default();
    starts.retain(|_, place| place.strong_count() > 0);
    match starts.get(program).and_then(Weak::upgrade) {
        Some(place) => place,
        None => {
            let place = Arc::new(Semaphore::new(1));
            starts.insert(program.to_owned(), Arc::downgrade(&place));
            place
        }
    }
}

/// A started program; killed with its group when dropped before its end.
#[derive(Debug)]
struct Running {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    group: Group,
    began: Time,
}

/// The process group of a child, whose number is the child's own.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    /// A group that has gone already is told nothing.
    ///
    /// The number cannot be another group's: it is taken until the child was waited for,
    /// and after that as long as the group has a member. Between the last member's end
    /// and this call all other numbers of the host would have to be used up.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// How far the end of a program that is late has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    No,
    Asked,
    Killed,
}

impl Running {
    fn start(order: &Order) -> Result<Self, StartError> {
        program::vet(&order.program)?;
        let mut child = command(order).spawn().map_err(|reason| not_started(&order.program, reason))?;
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        Ok(Self {
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            group: Group(number.map(Pid::from_raw)),
            began: clock::now(),
            child,
        })
    }

    async fn finish(&mut self, deadline: Duration) -> Ended {
        let mut output = Output::default();
        let (mut out, mut err) = ([0; CHUNK], [0; CHUNK]);
        let mut late = Late::No;
        let mut limit = pin!(sleep(deadline));
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status.ok(),
                read = read(&mut self.stdout, &mut out) => output.add(read),
                read = read(&mut self.stderr, &mut err) => output.add(read),
                () = &mut limit => {
                    late = match late {
                        Late::No => {
                            self.group.signal(Signal::SIGTERM);
                            Late::Asked
                        }
                        Late::Asked => {
                            self.group.signal(Signal::SIGKILL);
                            Late::Killed
                        }
                        // It hangs in the kernel, on a dead disk, and ends when that does; or it is another user's.
                        Late::Killed => break None,
                    };
                    limit.set(sleep(GRACE));
                }
            }
        };
        if late != Late::No {
            // It may have gone and left behind what did not hear SIGTERM.
            self.group.signal(Signal::SIGKILL);
        }
        self.group.0 = None;
        let took = clock::now() - self.began;
        let rest = async {
            while self.stdout.is_some() || self.stderr.is_some() {
                tokio::select! {
                    read = read(&mut self.stdout, &mut out) => output.add(read),
                    read = read(&mut self.stderr, &mut err) => output.add(read),
                }
            }
        };
        let _ = timeout(DRAIN, rest).await;
        Ended { end: end(status, late), output, took }
    }
}

fn end(status: Option<ExitStatus>, late: Late) -> End {
    use std::os::unix::process::ExitStatusExt as _;
    match (status, late) {
        (Some(status), Late::No) => match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code),
            (None, signal) => End::Signalled(signal.unwrap_or_default()),
        },
        // Only what cannot be waited for has no status, and that has ended unknown to all.
        (None, Late::No) => End::Signalled(0),
        (Some(_), Late::Asked | Late::Killed) => End::TimedOut,
        (None, Late::Asked | Late::Killed) => End::Unkillable,
    }
}

#[allow(clippy::disallowed_methods)] // the one place: with deadline, group and clean environment
fn command(order: &Order) -> Command {
    let mut command = Command::new(&order.program);
    command
        .args(&order.arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C.UTF-8")
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn not_started(path: &Path, reason: io::Error) -> StartError {
    let path = path.to_owned();
    match reason.raw_os_error().map(Errno::from_raw) {
        // The program itself is there: it has just been looked at.
        Some(Errno::ENOENT | Errno::ENOEXEC) => StartError::Interpreter { path, reason },
        _ => StartError::System { path, reason },
    }
}

/// The next bytes of a pipe; pends for ever once it is closed, which it is at its end.
async fn read<'b, R: AsyncRead + Unpin>(pipe: &mut Option<R>, buffer: &'b mut [u8; CHUNK]) -> &'b [u8] {
    let Some(open) = pipe else { return std::future::pending().await };
    match open.read(buffer).await {
        Ok(read @ 1..) => buffer.get(..read).unwrap_or_default(),
        Ok(0) | Err(_) => {
            *pipe = None;
            &[]
        }
    }
}

/// Keeps from programs what whoever started this process left to it. To be called once,
/// before anything listens for signals.
pub fn pass_nothing_on() {
    hear_all_signals();
    close_at_exec();
}

/// Descriptors that are open and were not opened here: Rust opens its own with O_CLOEXEC.
#[allow(unsafe_code)]
fn close_at_exec() {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4; // linux/close_range.h
    // SAFETY: it takes numbers, closes nothing in this process, and changes no memory. A
    // kernel before 5.11 refuses it, and programs inherit what they always did.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
}

/// Gives every signal that this process was started to ignore (`nohup`, a shell's `&`) its
/// usual meaning again: programs inherit what is ignored, and with SIGCHLD ignored nobody
/// can be waited for.
#[allow(unsafe_code)]
fn hear_all_signals() {
    use nix::sys::signal::{SaFlags, SigAction, SigSet};
    let usual = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        // std ignores SIGPIPE in this process on purpose, and in no child.
        if matches!(signal, Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGPIPE) {
            continue;
        }
        // SAFETY: no handler is installed, and none but the ignoring one is replaced: a
        // handler that somebody installed before is put back at once.
        unsafe {
            if let Ok(before) = sigaction(signal, &usual)
                && !matches!(before.handler(), SigHandler::SigIgn)
            {
                let _ = sigaction(signal, &before);
            }
        }
    }
}

#[cfg(test)]
mod tests;
