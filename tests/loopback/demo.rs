//! The demo as a person runs it: it succeeds, and it says so only if it is true.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::lab::cloud::RESERVED_IP;
use crate::lab::http;
use crate::lab::process::{Process, program};
use crate::lab::wait::{DEADLINE, until};

/// Many times what `--fast` needs.
const PATIENCE: Duration = Duration::from_secs(150);
/// In the environment of all its processes.
const MARK: &str = "HAAGENT_TEST_DEMO";

/// A demo that runs, with a folder for its files and one for what it says.
struct Demo {
    process: Process,
    files: TempDir,
    own: TempDir,
}

impl Demo {
    /// Plays the built program with these options.
    fn play(options: &[&str]) -> Self {
        Self::play_program(Path::new(env!("CARGO_BIN_EXE_haagent-lab")), options)
    }

    fn play_program(lab: &Path, options: &[&str]) -> Self {
        let folder = || tempfile::Builder::new().prefix("haagent-demo-").tempdir().unwrap();
        let (files, own) = (folder(), folder());
        let mut command = program(lab.to_str().unwrap());
        command.args(["demo", "--fast"]).args(options).env("NO_COLOR", "1").env("TMPDIR", files.path());
        command.env(MARK, files.path());
        let process = Process::agent(command, "the demo", &own.path().join("said"));
        Self { process, files, own }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.own.path().join("said")).unwrap()
    }

    /// Waits until it has said this; all that it said.
    fn until_it_says(&mut self, text: &str) -> String {
        let said = until(PATIENCE, || {
            let said = self.said();
            match self.process.ended() {
                _ if said.contains(text) => Ok(Ok(said)),
                Some(ended) => Ok(Err(format!("it ended with {ended} before: {said}"))),
                None => Err(said),
            }
        });
        said.and_then(|said| said).unwrap_or_else(|why| panic!("waiting for \"{text}\": {why}"))
    }

    /// Waits for its end: its exit code and all that it said.
    fn ends(&mut self) -> (Option<i32>, String) {
        let ended = until(PATIENCE, || self.process.ended().ok_or_else(|| self.said()));
        let ended = ended.unwrap_or_else(|why| panic!("the demo does not end: {why}"));
        (ended.code(), self.said())
    }

    /// Neither a file nor a process of it is there any more.
    #[track_caller]
    fn left_nothing(&self) {
        let files: Vec<_> = fs::read_dir(self.files.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.is_empty(), "left behind: {files:?}");
        let mark = format!("{MARK}={}", self.files.path().display());
        let runs = |process: &PathBuf| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let gone = until(DEADLINE, || {
            let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
            let left: Vec<PathBuf> = processes.filter(runs).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("left running: {left:?}")) }
        });
        gone.unwrap();
    }

    /// The fake cloud's control endpoint, which the demo says.
    fn cloud(&self) -> String {
        let said = self.said();
        let url = said.split_once("faults:").and_then(|(_, rest)| rest.split_whitespace().next());
        url.unwrap_or_else(|| panic!("no URL of the cloud in: {said}")).to_owned()
    }
}

#[test]
fn quick_the_demo_verifies_every_step_and_fits_80_columns() {
    let mut demo = Demo::play(&[]);
    let (code, said) = demo.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.trim_end().lines().last().unwrap().starts_with("Verified: every step"), "{said}");
    for line in said.lines() {
        assert!(line.chars().count() <= 80 && !line.contains('\x1b'), "{line:?}");
    }
    for step in ["\n1. ", "\n2. ", "\n3. ", "\n4. ", "422", "429", "web-1$ haagent status", "web-2$ haagent status"] {
        assert!(said.contains(step), "no {step:?} in: {said}");
    }
    demo.left_nothing();
}

#[test]
fn the_demo_fails_when_the_address_moves_where_nothing_should() {
    let mut demo = Demo::play(&[]);
    demo.until_it_says("No heartbeat passes");
    // It must not be over before the hand is at work: it stands still meanwhile, what it watches does not.
    demo.process.signal(Signal::SIGSTOP);
    let by_hand = json!({"ip": RESERVED_IP, "droplet": null, "takes_ms": 0});
    http::tcp(&demo.cloud(), "POST", "/move", &by_hand).unwrap();
    demo.process.signal(Signal::SIGCONT);
    let (code, said) = demo.ends();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("haagent-lab: NOT VERIFIED: ") && said.contains("by hand"), "{said}");
    assert!(!said.contains("Verified: every step"), "{said}");
    demo.left_nothing();
}

#[test]
fn the_demo_fails_when_an_agent_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let lab = folder.path().join("haagent-lab");
    fs::copy(env!("CARGO_BIN_EXE_haagent-lab"), &lab).unwrap();
    // The real agent for everything but `run` on web-2.
    let agent = folder.path().join("haagent");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *run*web-2*) exit 1 ;; esac\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_haagent")
    );
    fs::write(&agent, script).unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let mut demo = Demo::play_program(&lab, &[]);
    let (code, said) = demo.ends();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("haagent-lab: the agent of web-2 does not run"), "{said}");
    demo.left_nothing();
}

#[test]
fn interrupted_the_demo_leaves_nothing_behind() {
    let mut demo = Demo::play(&[]);
    demo.until_it_says("\n1. ");
    demo.process.signal(Signal::SIGINT);
    let (code, said) = demo.ends();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stopped before its end"), "{said}");
    demo.left_nothing();
}

#[test]
fn what_the_demo_keeps_can_be_played_with_as_printed() {
    let mut demo = Demo::play(&["--keep"]);
    let said = demo.until_it_says("Ctrl-C ends");
    let (_, printed) = said.split_once("another terminal:").unwrap();
    let (printed, _) = printed.split_once("Ctrl-C ends").unwrap();
    let commands = printed.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let commands: Vec<&str> = commands.collect();
    assert!(commands.len() > 10, "{printed}");
    // As pasted into a shell: one after the other, in one shell. `status` may warn.
    let mut script = String::new();
    for command in commands {
        let most = u8::from(command.starts_with("haagent status"));
        script.push_str(&format!("{command}\n[ $? -le {most} ] || exit 1\n"));
    }
    let output = program("/bin/sh").args(["-xc", &script]).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert!(output.status.success(), "{script}{}", String::from_utf8_lossy(&output.stderr));
    demo.process.signal(Signal::SIGINT);
    let (code, said) = demo.ends();
    assert_eq!(code, Some(0), "{said}");
    demo.left_nothing();
}
