//! A child process that cannot outlive its test.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::wait::{DEADLINE, until};

/// What is shown of a log when a test fails.
const TAIL_LINES: usize = 60;

/// A child and its log. It is killed, by its id, when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    what: String,
    log: PathBuf,
    /// Lab processes end when it is closed.
    _stdin: Option<ChildStdin>,
}

/// A program with nothing of this process's environment but what it needs to be found.
#[allow(clippy::disallowed_methods, reason = "these are the processes under test, not children of the agent")]
pub fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::null());
    command
}

impl Process {
    /// Starts an agent. What it says is appended to `log`.
    pub fn agent(mut command: Command, what: &str, log: &Path) -> Self {
        let child = command.stdout(appended(log)).stderr(appended(log)).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        Self { child, what: what.to_owned(), log: log.to_owned(), _stdin: None }
    }

    /// Starts a lab process and reads the line that says what it listens on.
    pub fn lab(mut command: Command, what: &str, log: &Path) -> (Self, Value) {
        command.arg("--until-stdin-closes").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(appended(log));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let process = Self { child, what: what.to_owned(), log: log.to_owned(), _stdin: stdin };
        let (told, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            drop(told.send(read.map(|_| line)));
        });
        let line = ready.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what} is not ready in time")).unwrap();
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{what} does not say that it is ready ({error}): {line}{}", process.tail()));
        (process, ready)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap_or_else(|error| panic!("cannot send {signal} to {}: {error}", self.what));
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let ended = until(DEADLINE, || self.ended().ok_or_else(|| "it runs".to_owned()));
        ended.unwrap_or_else(|why| panic!("{} does not end: {why}", self.what))
    }

    /// The most memory that was ever resident, in bytes (`VmHWM` of proc_pid_status(5)).
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL also ends what is stopped. An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES));
    shown.map(|line| format!("  {line}\n")).collect()
}

fn appended(log: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(log).unwrap()
}
