use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;
use crate::control::server::{Caller, Handler, Server};
use crate::control::wire::{Refusal, Request, Response, WaitFor};
use crate::view::history::{Entry, Event};
use crate::view::status::{ClaimHolder, Status, samples};

struct Ran {
    code: u8,
    out: String,
    complaints: String,
}

/// Runs a command line. `answers` is what a person at a terminal types; none means a script.
fn run(line: &[&str], answers: Option<&str>) -> Ran {
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let mut terminal = Terminal {
        out: &mut out,
        complaints: &mut complaints,
        answers: &mut Cursor::new(answers.unwrap_or_default().as_bytes()),
        interactive: answers.is_some(),
        style: Style { colour: false },
    };
    let arguments = ["haagent"].iter().chain(line).map(OsString::from);
    let code = match parse(arguments, &mut terminal) {
        Ok(command) => dispatch(command, &mut terminal),
        Err(code) => code,
    };
    Ran { code, out: String::from_utf8(out).unwrap(), complaints: String::from_utf8(complaints).unwrap() }
}

/// Answers each request by a table, and keeps what it was asked.
struct Fake {
    asked: Mutex<Vec<Request>>,
    answer: Box<dyn Fn(&Request) -> Response + Send + Sync>,
}

impl Handler for Fake {
    async fn handle(&self, request: Request, _caller: Caller) -> Response {
        let answer = (self.answer)(&request);
        self.asked.lock().unwrap().push(request);
        answer
    }
}

/// Runs a command line against an agent that answers by `answer`; and what the agent was asked.
fn against(
    answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    line: &[&str],
    answers: Option<&str>,
) -> (Ran, Vec<Request>) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let fake = Arc::new(Fake { asked: Mutex::new(Vec::new()), answer: Box::new(answer) });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let agent = {
        let (fake, socket) = (Arc::clone(&fake), socket.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::bind(&socket).unwrap();
                ready.send(()).unwrap();
                server.serve(fake, async { drop(stopped.await) }).await;
            });
        })
    };
    is_ready.recv().unwrap();
    let mut line = line.to_vec();
    line.extend(["--socket", socket.to_str().unwrap()]);
    let ran = run(&line, answers);
    stop.send(()).unwrap();
    agent.join().unwrap();
    let asked = std::mem::take(&mut *fake.asked.lock().unwrap());
    (ran, asked)
}

fn healthy(_: &Request) -> Response {
    Response::Status { status: Box::new(samples::status("web-1", samples::master_facts())) }
}

fn done(request: &Request) -> Response {
    match request {
        Request::Failover { dry_run: true, .. } => {
            Response::Done { message: "web would move from web-1 to web-2".to_owned() }
        }
        _ => Response::Done { message: "done".to_owned() },
    }
}

#[test]
fn every_usage_error_exits_with_3_and_never_with_2() {
    for line in [
        &["reboot"][..],
        &[],
        &["status", "--jsn"],
        &["status", "extra"],
        &["wait"],
        &["wait", "--for", "rich"],
        &["wait", "--for", "held", "--timeout", "300"],
        &["drain", "--for", "an hour"],
        &["failover", "--to", "no name"],
        &["history", "-n", "many"],
        &["history", "--group", ""],
        &["run", "now"],
        &["config"],
        &["config", "chekc"],
        &["keygen", "a", "b"],
        &["completions"],
        &["completions", "tcsh"],
        &["man", "a", "b"],
    ] {
        let ran = run(line, None);
        assert_eq!(ran.code, 3, "{line:?}: {}", ran.complaints);
        assert!(ran.out.is_empty() && !ran.complaints.is_empty(), "{line:?}");
    }
}

/// Every command line that names a command: `[]`, `["status"]`, `["config", "check"]`.
fn commands() -> Vec<(Vec<String>, clap::Command)> {
    let mut found = Vec::new();
    let mut waiting = vec![(Vec::new(), definition().disable_help_subcommand(true))];
    while let Some((path, command)) = waiting.pop() {
        for inner in command.get_subcommands() {
            let path = path.iter().cloned().chain([inner.get_name().to_owned()]).collect();
            waiting.push((path, inner.clone()));
        }
        found.push((path, command));
    }
    found
}

#[test]
fn help_is_data_fits_80_columns_and_names_exit_codes_and_examples() {
    assert!(commands().len() > 15, "the walk finds the commands");
    for (path, _) in commands() {
        let line: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let ran = run(&line, None);
        assert_eq!((ran.code, ran.complaints.as_str()), (0, ""), "{line:?}");
        assert!(ran.out.contains("\nExit codes: "), "{line:?}: {}", ran.out);
        let flowing = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, three) = flowing.split_once(" 3 ").unwrap_or_else(|| panic!("{line:?} has no exit code 3: {flowing}"));
        assert!(three.contains("usage error"), "{line:?}: {flowing}");
        let wide: Vec<&str> = ran.out.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{line:?}: {wide:?}");
        let example = format!("\n  haagent {}", path.join(" "));
        assert!(ran.out.contains("\nExamples:\n") && ran.out.contains(example.trim_end()), "{line:?}: {}", ran.out);
    }
    let version = run(&["--version"], None);
    assert_eq!((version.code, version.out), (0, format!("haagent {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn every_command_and_option_says_what_it_is_for() {
    for (path, command) in commands() {
        assert!(command.get_about().is_some(), "{path:?}");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with(char::is_uppercase) && !help.ends_with('.'), "{path:?} {argument:?}: {help}");
            let takes_a_time = argument.get_value_names().is_some_and(|names| names.iter().any(|n| n == "DURATION"));
            assert!(!takes_a_time || help.contains(", as "), "{path:?} shows no unit: {help}");
        }
    }
}

#[test]
fn the_manual_and_the_completions_are_data() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let page = run(&["man"], None);
    assert_eq!((page.code, page.complaints.as_str()), (0, ""));
    assert!(page.out.contains(".TH haagent 8"), "{}", page.out);
    let pages = run(&["man", folder.path().to_str().unwrap()], None);
    assert_eq!(pages.code, 0);
    assert!(pages.out.lines().count() > 15 && pages.out.lines().all(|file| Path::new(file).is_file()), "{}", pages.out);
    let nowhere = run(&["man", file.to_str().unwrap()], None);
    assert_eq!((nowhere.code, nowhere.out.as_str()), (1, ""));
    assert!(nowhere.complaints.contains("cannot be written: "), "{}", nowhere.complaints);
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell], None);
        assert_eq!((script.code, script.complaints.as_str()), (0, ""));
        assert!(script.out.contains("haagent"));
    }
}

#[test]
fn every_command_refuses_an_unknown_option_with_3() {
    for (path, _) in commands() {
        let line: Vec<&str> = path.iter().map(String::as_str).chain(["--no-such-option"]).collect();
        let ran = run(&line, None);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{line:?}: {}", ran.complaints);
    }
}

#[test]
fn the_command_definition_has_no_contradiction() {
    use clap::CommandFactory as _;
    Arguments::command().debug_assert();
}

#[test]
fn without_an_agent_everything_exits_with_3_and_shows_nothing() {
    for line in [
        &["status"][..],
        &["status", "--json"],
        &["history"],
        &["why"],
        &["why", "--json"],
        &["wait", "--for", "held", "--timeout", "100ms"],
        &["resume"],
        &["reload"],
        &["drain"],
    ] {
        let mut line = line.to_vec();
        line.extend(["--socket", "/nowhere/haagent.sock"]);
        let ran = run(&line, None);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{line:?}");
        assert!(ran.complaints.contains("systemctl start haagent"), "{}", ran.complaints);
    }
}

#[test]
fn status_prints_the_snapshot_and_exits_by_its_severity() {
    let (ran, asked) = against(healthy, &["status"], None);
    assert_eq!((ran.code, asked), (0, vec![Request::Status {}]));
    assert!(ran.out.contains("SERVED: 203.0.113.10 is on web-1"), "{}", ran.out);

    let nobody = |_: &Request| {
        let mut facts = samples::master_facts();
        facts.claims[0].holder = Some(ClaimHolder::Nobody);
        Response::Status { status: Box::new(samples::status("web-1", facts)) }
    };
    assert_eq!(against(nobody, &["status"], None).0.code, 2);
    let drained = |_: &Request| {
        let mut facts = samples::master_facts();
        facts.acts.push(samples::drain("web-2"));
        Response::Status { status: Box::new(samples::status("web-1", facts)) }
    };
    assert_eq!(against(drained, &["status", "--json"], None).0.code, 1);
}

#[test]
fn json_is_the_snapshot_and_nothing_else() {
    let (ran, _) = against(healthy, &["status", "--json"], None);
    let status: Status = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(status, samples::status("web-1", samples::master_facts()));
    assert!(ran.complaints.is_empty());
}

#[test]
fn a_group_that_is_not_there_is_not_healthy() {
    let (ran, _) = against(healthy, &["status", "--group", "db"], None);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert_eq!(ran.complaints, "haagent: there is no group db; name one of: web\n");
}

#[test]
fn why_answers_with_0_however_bad_the_answer_is() {
    let foreign = |_: &Request| {
        let mut facts = samples::master_facts();
        facts.claims[0].holder = Some(ClaimHolder::Nobody);
        Response::Status { status: Box::new(samples::status("web-1", facts)) }
    };
    let (ran, asked) = against(foreign, &["why"], None);
    assert_eq!((ran.code, asked), (0, vec![Request::Status {}]));
    assert!(ran.out.starts_with("web-1 is master in group web\n"), "{}", ran.out);

    let (ran, _) = against(healthy, &["why", "--json", "--group", "web"], None);
    let answers: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &answers["groups"][0]["failover"]["turns"][0]["node"]), (0, &"web-2".into()));
    assert_eq!(against(healthy, &["why", "--group", "db"], None).0.code, 3);
}

#[test]
fn history_shows_the_timeline_or_its_json() {
    let answer = |_: &Request| Response::History {
        entries: vec![Entry {
            group: GroupName::new("web").unwrap(),
            node: samples::node("web-1"),
            event: Event::Move(samples::last_move()),
        }],
    };
    let (ran, asked) = against(answer, &["history", "-n", "3", "--group", "web"], None);
    assert_eq!((ran.code, asked), (0, vec![Request::History { group: GroupName::new("web").ok(), limit: 3 }]));
    assert!(ran.out.contains("failover web-2 -> web-1"), "{}", ran.out);
    let (ran, _) = against(answer, &["history", "--json"], None);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&json[0]["entry"], &json[0]["phases_ms"]["verified"]), (&"move".into(), &2340.into()));
}

#[test]
fn the_answers_of_the_agent_are_the_exit_codes() {
    type Answer = fn(&Request) -> Response;
    let refused: Answer = |_| {
        Response::Refused(Refusal {
            what: "resume".to_owned(),
            why: "no".to_owned(),
            mend: "haagent status".to_owned(),
        })
    };
    let cases: [(Answer, u8, &str, &str); 5] = [
        (done, 0, "done\n", ""),
        (|_| Response::Begun { message: "web-2 takes over".to_owned() }, 2, "web-2 takes over\n", ""),
        (refused, 1, "", "refused: resume\n  why: no\n  mend: haagent status\n"),
        (|_| Response::TimedOut { message: "not held".to_owned() }, 1, "", "not held\n"),
        (|_| Response::Error { message: "busy\u{1b}[2J".to_owned() }, 3, "", "haagent: busy?[2J\n"),
    ];
    for (answer, code, out, complaints) in cases {
        let (ran, _) = against(answer, &["resume"], None);
        assert_eq!((ran.code, ran.out.as_str(), ran.complaints.as_str()), (code, out, complaints));
        assert_eq!(against(answer, &["status"], None).0.code, 3, "no answer to this question");
    }
}

#[test]
fn a_reload_prints_what_it_did_and_fails_only_when_it_is_refused() {
    let reloaded = |applied: &[&str], waiting: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Response::Reloaded { applied: owned(applied), restart_needed: owned(waiting), warnings: owned(&["warning: x"]) }
    };
    let restart = "restart needed: heartbeat.port (17112 -> 17113)\n  in force after: haagent restart, then systemctl restart haagent (nothing moves)\n";
    let running = "group.web.check docker.running 10 -> 9";
    let cases: [(Response, u8, String, &str); 4] = [
        (reloaded(&[], &[]), 0, "nothing changed\n".to_owned(), "warning: x\n"),
        (
            reloaded(&[running, "docker.socket 1 -> 2"], &[]),
            0,
            format!("applied: {running}; docker.socket 1 -> 2\n"),
            "warning: x\n",
        ),
        (reloaded(&[], &["heartbeat.port (17112 -> 17113)"]), 0, restart.to_owned(), "warning: x\n"),
        (
            Response::FileRefused {
                problems: vec!["haagent.toml:3:1: unknown key".to_owned(), "  mend: x".to_owned()],
            },
            1,
            String::new(),
            "haagent.toml:3:1: unknown key\n  mend: x\nrefused: the old configuration goes on\n",
        ),
    ];
    for (response, code, out, complaints) in cases {
        let (ran, asked) = against(move |_: &Request| response.clone(), &["reload", "--reason", "containers"], None);
        assert_eq!((ran.code, ran.out.as_str(), ran.complaints.as_str()), (code, out.as_str(), complaints));
        assert_eq!(asked, [Request::Reload { reason: Some("containers".to_owned()) }]);
    }
}

#[test]
fn options_become_the_request() {
    let (_, asked) = against(
        done,
        &["drain", "--group", "web", "--for", "1h 30m", "--reason", "kernel update", "--timeout", "5s"],
        None,
    );
    assert_eq!(
        asked,
        [Request::Drain {
            group: GroupName::new("web").ok(),
            reason: Some("kernel update".to_owned()),
            for_ms: Some(5_400_000),
            timeout_ms: 5_000,
        }]
    );
    let (_, asked) = against(done, &["wait", "--for", "held"], None);
    assert_eq!(asked, [Request::Wait { group: None, what: WaitFor::Held, timeout_ms: 300_000 }]);
    let (_, asked) = against(done, &["restart", "--reason", "upgrade"], None);
    assert_eq!(asked, [Request::Restart { reason: Some("upgrade".to_owned()) }]);
    let (_, asked) = against(done, &["failover", "--to", "web-2", "--take", "--dry-run"], None);
    assert!(
        matches!(&asked[..], [Request::Failover { to: Some(to), take: true, dry_run: true, .. }] if to.as_str() == "web-2")
    );
}

#[test]
fn on_a_terminal_a_person_is_asked_and_no_is_the_default() {
    for (answers, asked_for) in [("y\n", 1), ("yes\n", 1), ("n\n", 0), ("\n", 0), ("", 0)] {
        let (ran, asked) = against(done, &["drain"], Some(answers));
        assert_eq!((asked.len(), ran.code), (asked_for, u8::from(asked_for == 0)), "{answers:?}");
        assert!(ran.complaints.starts_with("Drain this node in all groups? [y/N]"), "{}", ran.complaints);
    }
    assert_eq!(against(done, &["drain", "--yes"], Some("")).1.len(), 1);
    assert_eq!(against(done, &["drain"], None).1.len(), 1, "a script is not asked");
}

#[test]
fn before_a_failover_a_person_is_told_what_would_happen() {
    let dry = |asked: &[Request]| -> Vec<bool> {
        asked.iter().map(|request| matches!(request, Request::Failover { dry_run: true, .. })).collect()
    };
    let (ran, asked) = against(done, &["failover"], Some("y\n"));
    assert_eq!((ran.code, dry(&asked)), (0, vec![true, false]));
    assert!(ran.complaints.starts_with("web would move from web-1 to web-2\nDo it? [y/N]"), "{}", ran.complaints);
    let (ran, asked) = against(done, &["failover"], Some("n\n"));
    assert_eq!((ran.code, dry(&asked)), (1, vec![true]));
    assert_eq!(dry(&against(done, &["failover"], None).1), [false]);
    assert_eq!(dry(&against(done, &["failover", "--yes"], Some("")).1), [false]);
}

/// A reader that went away, or a disk that is full.
struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    for (kind, expected) in [(io::ErrorKind::BrokenPipe, 1), (io::ErrorKind::StorageFull, 3)] {
        let mut complaints = Vec::new();
        let mut terminal = Terminal {
            out: &mut Broken(kind),
            complaints: &mut complaints,
            answers: &mut Cursor::new(b""),
            interactive: false,
            style: Style { colour: false },
        };
        assert_eq!(terminal.finish("text", 1), expected);
        assert_eq!(complaints.is_empty(), kind == io::ErrorKind::BrokenPipe);
    }
}

#[test]
fn the_example_passes_the_check_of_the_same_program_but_for_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("haagent.toml");
    let example = run(&["config", "example"], None);
    assert_eq!(example.code, 0);
    std::fs::write(&file, &example.out).unwrap();
    let file = file.to_str().unwrap();
    let shown = run(&["config", "show", "--config", file], None);
    assert_eq!(shown.code, 0, "{}", shown.complaints);
    // The key and the token of the example are not on this machine.
    let named = run(&["config", "check", file], None);
    assert_eq!((named.code, named.out.as_str()), (1, ""), "{}", named.complaints);
    assert_eq!(run(&["config", "check", "--config", file, "--strict"], None).complaints, named.complaints);
    assert_eq!(run(&["config", "check", "/nowhere"], None).code, 1);
}

#[test]
fn keygen_writes_to_the_file_or_prints() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    assert_eq!(run(&["keygen", file.to_str().unwrap()], None).code, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end().len(), 64);
    assert_eq!(run(&["keygen", file.to_str().unwrap()], None).code, 1, "never overwritten");
    assert_eq!(run(&["keygen"], None).out.trim_end().len(), 64);
}
