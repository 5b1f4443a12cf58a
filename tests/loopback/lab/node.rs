//! One node: an agent, its engine, its service.

use std::cell::{Ref, RefCell};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::dataplane::Service;
use super::engine::Engine;
use super::process::{Process, program, tail};
use super::wait::{DEADLINE, until};

/// An answer of the control socket takes no longer, or the agent is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub address: Ipv4Addr,
    pub droplet: u64,
    pub engine: Engine,
    pub service: Service,
    folder: PathBuf,
    agent: RefCell<Option<Process>>,
    stopped: RefCell<bool>,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub complaints: String,
}

impl Node {
    /// The engine and the service; the agent is not started yet.
    pub fn new(name: &str, address: Ipv4Addr, droplet: u64, folder: PathBuf) -> Self {
        fs::create_dir(&folder).unwrap();
        Self {
            name: name.to_owned(),
            address,
            droplet,
            engine: Engine::start(&folder, &format!("the engine of {name}")),
            service: Service::start(name, address),
            folder,
            agent: RefCell::new(None),
            stopped: RefCell::new(false),
        }
    }

    pub fn token(&self) -> String {
        format!("dop_v1_{}", self.name.repeat(8))
    }

    /// The configuration file, and the secrets that it names.
    pub fn configure(&self, configuration: &str, key: &str) {
        fs::create_dir_all(self.file("state")).unwrap();
        secret(&self.file("token"), &self.token());
        self.change_key(key);
        fs::write(self.file("haagent.toml"), configuration).unwrap();
    }

    /// One of the files of this node.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file that only the agent may read.
    pub fn write_secret(&self, name: &str, text: &str) {
        secret(&self.file(name), text);
    }

    /// Another heartbeat key, for the next start.
    pub fn change_key(&self, key: &str) {
        secret(&self.file("key"), key);
    }

    pub fn socket(&self) -> PathBuf {
        self.file("agent.sock")
    }

    /// What it knew of earlier runs is lost: as on a new disk.
    pub fn forget(&self) {
        assert!(self.agent.borrow().is_none(), "only of an agent that does not run");
        fs::remove_dir_all(self.file("state")).unwrap();
        fs::create_dir(self.file("state")).unwrap();
    }

    /// Starts the agent; returns at once.
    pub fn start(&self) {
        let mut command = program(env!("CARGO_BIN_EXE_haagent"));
        command.arg("run").arg("--config").arg(self.file("haagent.toml"));
        let process = Process::agent(command, &format!("the agent of {}", self.name), &self.log());
        let before = self.agent.replace(Some(process));
        assert!(before.is_none(), "the agent of {} ran already", self.name);
    }

    /// Runs an agent beside, or instead of, the one of this node until it ends by itself.
    pub fn run_to_its_end(&self, variables: &[(&str, &str)]) -> Said {
        let mut command = program(env!("CARGO_BIN_EXE_haagent"));
        command.arg("run").arg("--config").arg(self.file("haagent.toml")).envs(variables.iter().copied());
        Said::by(&mut command)
    }

    /// `haagent config check` of its file, which needs no agent.
    pub fn check_configuration(&self) -> Said {
        let mut command = program(env!("CARGO_BIN_EXE_haagent"));
        Said::by(command.args(["config", "check"]).arg(self.file("haagent.toml")))
    }

    /// What its agents said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.file("agent.log")
    }

    /// The agent's process.
    pub fn agent(&self) -> Ref<'_, Process> {
        Ref::map(self.agent.borrow(), |agent| agent.as_ref().expect("the agent runs"))
    }

    fn take_agent(&self) -> Process {
        self.agent.take().expect("the agent runs")
    }

    /// It runs, and is not stopped.
    pub fn is_live(&self) -> bool {
        self.agent.borrow().is_some() && !*self.stopped.borrow()
    }

    /// The agent dies without a word; its host lives and answers "port unreachable".
    pub fn kill9(&self) {
        drop(self.take_agent());
    }

    /// The agent is asked to stop, and does.
    pub fn term(&self) {
        let mut agent = self.take_agent();
        agent.signal(Signal::SIGTERM);
        let ended = agent.wait();
        assert!(ended.success(), "the agent of {} ended with {ended}\n{}", self.name, agent.tail());
    }

    /// An announced restart, as the package's upgrade does it.
    pub fn restart(&self) {
        self.command(&["restart", "--reason", "upgrade"]).expect_code(0);
        self.term();
        self.start();
    }

    /// The agent and the engine stop: from outside, the host is gone.
    pub fn vanish(&self) {
        self.agent().signal(Signal::SIGSTOP);
        self.engine.process.signal(Signal::SIGSTOP);
        self.service.vanish();
        self.stopped.replace(true);
    }

    /// They go on where they were.
    pub fn come_back(&self) {
        self.service.come_back();
        self.engine.process.signal(Signal::SIGCONT);
        self.agent().signal(Signal::SIGCONT);
        self.stopped.replace(false);
    }

    /// Runs `haagent ARGUMENTS --socket ...`.
    pub fn command(&self, arguments: &[&str]) -> Said {
        command_on(&self.socket(), arguments)
    }

    /// Asks the agent over its socket, without a process for it.
    fn ask(&self, request: &Value) -> Result<Value, String> {
        if !self.is_live() {
            return Err(format!("{} does not run", self.name));
        }
        let answer = || {
            let mut stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            writeln!(stream, "{request}")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line)
        };
        let line = answer().map_err(|error: std::io::Error| format!("{} does not answer: {error}", self.name))?;
        serde_json::from_str(&line).map_err(|error| format!("{} answers no JSON ({error}): {line}", self.name))
    }

    /// The status of the node.
    pub fn status(&self) -> Result<Value, String> {
        let answer = self.ask(&json!({"v": 1, "request": "status"}))?;
        if answer["status"].is_object() { Ok(answer["status"].clone()) } else { Err(answer.to_string()) }
    }

    /// The status of its only group.
    pub fn group(&self) -> Result<Value, String> {
        Ok(self.status()?["groups"][0].clone())
    }

    /// What it says of another node.
    pub fn peer(&self, address: Ipv4Addr) -> Result<Value, String> {
        let group = self.group()?;
        let found = group["peers"].as_array().and_then(|peers| peers.iter().find(|p| p["address"] == json!(address)));
        found.cloned().ok_or_else(|| format!("{} has no peer {address}: {group}", self.name))
    }

    /// `haagent history --json`, oldest first.
    pub fn history(&self) -> Result<Vec<Value>, String> {
        let said = self.command(&["history", "--json", "--number", "1000"]);
        serde_json::from_str(&said.out)
            .map_err(|error| format!("{}: {error}: {}{}", self.name, said.out, said.complaints))
    }

    /// Waits until it says so of itself.
    pub fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let seen = until(DEADLINE, || {
            let group = self.group()?;
            if is_so(&group) { Ok(group) } else { Err(group.to_string()) }
        });
        seen.unwrap_or_else(|why| panic!("{}, waiting for \"{what}\": {why}", self.name))
    }

    /// For people, when a test fails.
    pub fn story(&self) -> String {
        let how = match &mut *self.agent.borrow_mut() {
            None => "does not run".to_owned(),
            Some(_) if *self.stopped.borrow() => "is stopped".to_owned(),
            Some(agent) => match agent.ended() {
                Some(ended) => format!("ENDED with {ended}"),
                None => "runs".to_owned(),
            },
        };
        let shown = if self.is_live() {
            let said = self.command(&["status"]);
            format!("{}{}", said.out, said.complaints)
        } else {
            String::new()
        };
        let Self { name, address, droplet, .. } = self;
        format!("== {name} ({address}, droplet {droplet}) {how}\n{shown}-- its log ends:\n{}", tail(&self.log()))
    }
}

/// Runs `haagent ARGUMENTS --socket SOCKET`.
pub fn command_on(socket: &Path, arguments: &[&str]) -> Said {
    let mut command = program(env!("CARGO_BIN_EXE_haagent"));
    Said::by(command.args(arguments).arg("--socket").arg(socket))
}

impl Said {
    pub fn by(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), complaints: text(&output.stderr) }
    }

    /// Fails unless it ended so.
    #[track_caller]
    pub fn expect_code(&self, code: i32) {
        assert_eq!(self.code, code, "{}{}", self.out, self.complaints);
    }
}

fn secret(path: &Path, text: &str) {
    // A file that is there already keeps its mode through `write`.
    fs::write(path, format!("{text}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}
