//! The lab, driven by nothing but its own command line, as its users drive it.
//!
//! The unit tests of `haagent-lab` see to it that every command of its definition is run here, and
//! that docs/lab.md has it. Here that page is also followed line by line, with two real agents.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::addresses;
use crate::lab::node::Said;
use crate::lab::process::{Process, program};

const PAGE: &str = include_str!("../../docs/lab.md");
const LAB: &str = env!("CARGO_BIN_EXE_haagent-lab");
const AGENT: &str = env!("CARGO_BIN_EXE_haagent");

/// A cloud, an engine and a network, and where they are.
struct Programs {
    environment: Vec<(&'static str, String)>,
    _running: Vec<Process>,
    _folder: TempDir,
}

impl Programs {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("haagent-lab-").tempdir().unwrap();
        let [a, b, c] = <[_; 3]>::try_from(addresses(3)).unwrap();
        let socket = folder.path().join("docker.sock");
        let start = |arguments: &[&str]| {
            let mut command = program(LAB);
            command.args(arguments);
            let log = folder.path().join(format!("{}.log", arguments[0]));
            Process::lab(command, arguments[0], &log)
        };
        let world = json!({
            "settings": {"action_ms": 0},
            "droplet": [{"id": 1, "name": "web-1"}, {"id": 2, "name": "web-2"}],
            "reserved_ip": [{"ip": "203.0.113.10", "holder": 1}],
        });
        let (cloud, cloud_ready) = start(&["cloud", "--world-json", &world.to_string()]);
        let (engine, _) = start(&["docker", "--socket", &socket.display().to_string(), "--healthcheck"]);
        let nodes = [("n1", a), ("n2", b), ("n3", c)].map(|(name, address)| format!("{name}={address}"));
        let (network, network_ready) =
            start(&["network", "--node", &nodes[0], "--node", &nodes[1], "--node", &nodes[2]]);
        let control = |ready: &Value| ready["control"].as_str().unwrap().to_owned();
        let environment = vec![
            ("HAAGENT_LAB_CLOUD", control(&cloud_ready)),
            ("HAAGENT_LAB_DOCKER", socket.display().to_string()),
            ("HAAGENT_LAB_NETWORK", control(&network_ready)),
        ];
        Self { environment, _running: vec![cloud, engine, network], _folder: folder }
    }

    fn said(&self, words: &str) -> Said {
        let mut command = program(LAB);
        command.arg("tell").args(words.split(' ')).envs(self.environment.iter().cloned());
        Said::by(&mut command)
    }

    /// What a command prints, which must succeed.
    #[track_caller]
    fn tell(&self, words: &str) -> String {
        let said = self.said(words);
        assert_eq!((said.code, said.complaints.as_str()), (0, ""), "{words}: {}", said.out);
        assert!(!said.out.is_empty() && said.out.ends_with('\n'), "{words}: {:?}", said.out);
        said.out
    }

    /// The same for programs.
    #[track_caller]
    fn ask(&self, words: &str) -> Value {
        let said = self.said(&format!("{words} --json"));
        said.expect_code(0);
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{words}: {error}: {}", said.out))
    }

    /// Fails with this code and says why.
    #[track_caller]
    fn refuses(&self, words: &str, code: i32, why: &str) {
        let said = self.said(words);
        assert!(said.code == code && said.complaints.contains(why), "{words}: {}: {}", said.code, said.complaints);
        assert_eq!(said.out, "", "{words}");
    }
}

#[test]
fn every_fault_of_the_cloud_is_a_command() {
    let lab = Programs::start();
    let mut set = 0;
    let mut is = |said: String, fault: &str| {
        set += 1;
        assert_eq!(said, format!("fault {set} is in force: {fault}\n"));
    };
    is(lab.tell("cloud fail delay 20ms --before"), "delay before=true ms=20");
    is(
        lab.tell("cloud fail answer 418 --id teapot --header x-tea=green --count 1"),
        "answer headers={\"x-tea\":\"green\"} id=teapot status=418, for 1 call",
    );
    is(lab.tell("cloud fail unauthorized --droplet web-2"), "unauthorized, of droplet 2");
    is(lab.tell("cloud fail forbidden --method PUT"), "forbidden, on PUT");
    is(lab.tell("cloud fail rate-limited --retry-after 5 --reset-in -3"), "rate-limited reset_in=-3 retry_after=5");
    is(lab.tell("cloud fail server-error --path /v2/*"), "server-error, to /v2/*");
    is(lab.tell("cloud fail unavailable --for 1m"), "unavailable, for 1m");
    is(lab.tell("cloud fail gateway-page 504"), "gateway-page status=504");
    is(lab.tell("cloud fail pending-event ip"), "pending-event on=ip");
    is(lab.tell("cloud fail silence --face metadata"), "silence, of metadata");
    is(lab.tell("cloud fail reset"), "reset");
    is(lab.tell("cloud fail huge 1000"), "huge bytes=1000");
    is(lab.tell("cloud fail endless"), "endless");
    is(lab.tell("cloud fail lost-answer"), "lost-answer");
    is(lab.tell("cloud fail head-then-silence"), "head-then-silence");
    is(lab.tell("cloud fail reset-mid-body"), "reset-mid-body");
    is(lab.tell("cloud fail truncated"), "truncated");
    is(lab.tell("cloud fail drip --every 10ms"), "drip ms=10");
    is(lab.tell("cloud fail hide-droplet absent"), "hide-droplet member=absent");
    is(lab.tell("cloud fail action-slow 2s"), "action-slow ms=2000");
    is(lab.tell("cloud fail action-stuck"), "action-stuck");
    is(lab.tell("cloud fail action-errored --unassigned"), "action-errored unassigned=true");
    is(lab.tell("cloud fail action-word done"), "action-word word=done");
    is(lab.tell("cloud fail action-not-found 2"), "action-not-found polls=2");
    is(lab.tell("cloud fail says not-mine --droplet 1"), "says active=false, of droplet 1");
    is(lab.tell("cloud fail refuse --face metadata"), "refuse, of metadata");

    let listed = lab.tell("cloud faults");
    assert!(listed.lines().count() == set && listed.contains("drip ms=10"), "{listed}");
    assert_eq!(lab.ask("cloud faults")["faults"][24]["on"]["face"], "metadata", "`says` is about metadata");
    assert_eq!(lab.tell("cloud heal 3"), "1 fault healed\n");
    lab.refuses("cloud heal 3", 1, "there is no fault 3");
    assert_eq!(lab.tell("cloud heal"), format!("{} faults healed\n", set - 1));
    assert_eq!(lab.tell("cloud faults"), "no faults\n");

    lab.refuses("cloud fail refuse --count 1", 1, "limit `refuse` by `for_ms`");
    lab.refuses("cloud fail says mine --face api", 1, "`says` is about metadata");
    lab.refuses("cloud fail reset --droplet web-9", 1, "there are web-1 (1), web-2 (2)");
    lab.refuses("cloud fail delay 20", 3, "with a unit");
    lab.refuses("cloud fail reste", 3, "reset");
}

#[test]
fn the_cloud_is_asked_and_changed_by_commands() {
    let lab = Programs::start();
    assert!(lab.tell("cloud state").starts_with("203.0.113.10 is held by web-1 (1)\n"));
    let newest = lab.ask("cloud state")["newest_event"].as_u64().unwrap();
    assert!(lab.tell("cloud move 203.0.113.10 web-2 --takes 0s").contains("goes to web-2"));
    let moved = lab.tell(&format!("cloud events --after {newest} --event moved --wait 20s"));
    assert!(moved.contains("203.0.113.10 from 1 to 2, by hand"), "{moved}");
    lab.refuses("cloud events --event created --wait 20ms", 1, "nothing of that came within 20ms");
    assert_eq!(lab.ask("cloud state")["reserved_ips"][0]["holder"], 2);
    lab.refuses("cloud move 203.0.113.10 web-2", 1, "already assigned");
    lab.tell("cloud move 203.0.113.10 nobody");
    let events = lab.tell("cloud events");
    assert!(events.contains("203.0.113.10 from 2 to nobody, by hand"), "{events}");

    assert!(lab.tell("cloud set action_ms=60000 during_move=nobody").contains("during_move       nobody\n"));
    assert_eq!(lab.ask("cloud set")["settings"]["action_ms"], 60_000);
    lab.refuses("cloud set acton_ms=1", 3, "unknown field `acton_ms`");
    lab.refuses("cloud set action_ms=soon", 3, "invalid type");
    lab.tell("cloud move 203.0.113.10 web-1");
    let state = lab.tell("cloud state");
    assert!(
        state.contains("is held by nobody\n  an action runs on it\n") && state.contains("active, locked"),
        "{state}"
    );

    lab.tell("cloud droplet web-2 --status off --tag a --tag b --maintenance-event live_migrate");
    lab.tell("cloud droplet 3 --name web-3 --private 10.0.0.3 --busy 1m");
    let droplets = lab.ask("cloud state")["droplets"].clone();
    assert_eq!((&droplets[1]["status"], &droplets[1]["tags"]), (&json!("off"), &json!(["a", "b"])));
    assert_eq!((&droplets[2]["private"], &droplets[2]["locked"]), (&json!("10.0.0.3"), &json!(true)));
    lab.refuses("cloud droplet 4", 1, "a new one needs a `name`");
    assert_eq!(lab.tell("cloud droplet web-3 --destroy"), "droplet 3 is gone\n");
    assert_eq!(lab.ask("cloud state")["droplets"].as_array().unwrap().len(), 2);
}

#[test]
fn the_engine_is_asked_and_changed_by_commands() {
    let lab = Programs::start();
    let is = |said: String, container: &str, expected: &str| {
        assert!(said.starts_with(&format!("done: {container} (")), "{said}");
        let state = lab.ask("docker state");
        let all = state["containers"].as_array().unwrap();
        let found = all.iter().find(|one| one["name"] == container).map(|one| (&one["status"], &one["health"]));
        let (status, health) = found.map_or(("gone", ""), |(s, h)| (s.as_str().unwrap(), h.as_str().unwrap_or("none")));
        assert_eq!(format!("{status} {health}").trim_end(), expected, "{container}");
    };
    is(lab.tell("docker stop web-1"), "web-1", "exited healthy");
    is(lab.tell("docker start web-1"), "web-1", "running starting");
    is(lab.tell("docker die web-2 --code 1"), "web-2", "exited healthy");
    is(lab.tell("docker pause web-3"), "web-3", "paused healthy");
    is(lab.tell("docker unpause web-3"), "web-3", "running healthy");
    is(lab.tell("docker destroy web-4"), "web-4", "gone");
    is(lab.tell("docker health web-5 unhealthy"), "web-5", "running unhealthy");
    is(lab.tell("docker health web-5 none"), "web-5", "running none");
    is(lab.tell("docker restart web-6 --down 1h"), "web-6", "exited healthy");
    is(lab.tell("docker crash web-7 --down 1h"), "web-7", "restarting healthy");
    is(lab.tell("docker recreate web-8 --down 1h"), "web-8", "gone");
    lab.refuses("docker unpause web-9", 1, "container web-9 is running");
    lab.refuses("docker start nobody", 1, "No such container: nobody");
    lab.refuses("docker start a/b", 3, "a container's name has letters");

    assert_eq!(lab.tell("docker fail list garbage"), "list: garbage\n");
    assert_eq!(lab.tell("docker slow 50ms"), "list: garbage, answers come 50ms late\n");
    assert!(lab.tell("docker hang-containerd").ends_with("containerd hangs\n"));
    assert_eq!(lab.tell("docker heal"), "no faults\n");
    assert_eq!(lab.tell("docker fail all hang").matches("hang").count(), 5);
    lab.tell("docker heal");
    assert_eq!(lab.tell("docker close-streams"), "0 event streams ended\n");
    assert_eq!(lab.tell("docker requests"), "next: --after 0\n", "a command is no call of Docker's API");
    assert!(lab.tell("docker state").contains("no faults; 0 event streams are open"));
}

#[test]
fn the_network_is_asked_and_changed_by_commands() {
    let lab = Programs::start();
    let lines = |said: String| said.lines().count();
    assert_eq!(lines(lab.tell("network state")), 3 + 1 + 6);
    assert_eq!(lab.tell("network cut n1 n2 --one-way"), "n1 -> n2  CUT  0 came, 0 passed\n");
    assert_eq!(lines(lab.tell("network cut n1 n2")), 2);
    assert_eq!(lines(lab.tell("network cut n1")), 4);
    assert_eq!(lines(lab.tell("network heal n1 n2")), 2);
    let state = lab.ask("network state");
    let cut = state["directions"].as_array().unwrap().iter().filter(|way| way["faults"]["cut"] == true).count();
    assert_eq!(cut, 2, "n1 and n3");
    assert_eq!(lines(lab.tell("network heal")), 6);
    assert_eq!(lab.tell("network loss 30% n1 n2 --one-way"), "n1 -> n2  loses 30 %  0 came, 0 passed\n");
    assert!(lab.tell("network delay 20ms n1 n2 --one-way --jitter 10ms").contains("delays 20ms to 30ms"));
    assert!(lab.tell("network duplicate 0.5 n1 n2 --one-way").contains("doubles 50 %"));
    lab.refuses("network cut n1 n9", 1, "there are n1, n2, n3");
    lab.refuses("network loss 1.5 n1 n2", 3, "a share from 0 to 1");
    lab.refuses("network delay 2m n1 n2", 1, "the most is 60000 ms");
    lab.refuses("network cut --one-way", 3, "<A>");
}

#[test]
fn a_program_that_cannot_be_asked_is_named_with_its_mend() {
    let nothing = Said::by(program(LAB).args(["tell", "docker", "state"]));
    assert_eq!(nothing.code, 3);
    assert!(nothing.complaints.contains("Give --socket PATH, or set HAAGENT_LAB_DOCKER"), "{}", nothing.complaints);
    let [address] = <[_; 1]>::try_from(addresses(1)).unwrap();
    let nobody = Said::by(program(LAB).args(["tell", "cloud", "state", "--at", &format!("http://{address}:9")]));
    assert_eq!(nobody.code, 3);
    let expected = format!("cannot ask the fake cloud at http://{address}:9");
    assert!(nobody.complaints.contains(&expected) && nobody.complaints.contains("refused"), "{}", nobody.complaints);
}

/// docs/lab.md, with the addresses and the folder of this test in place of its own.
struct Page {
    text: String,
    folder: TempDir,
    environment: Vec<(String, String)>,
    running: Vec<Process>,
}

impl Page {
    fn here() -> Self {
        let folder = tempfile::Builder::new().prefix("haagent-page-").tempdir().unwrap();
        let mut text = PAGE.replace("/tmp/lab", &folder.path().display().to_string());
        for (theirs, ours) in ["127.0.1.1", "127.0.1.2", "127.0.1.9"].into_iter().zip(addresses(3)) {
            text = text.replace(theirs, &ours.to_string());
        }
        let programs = Path::new(LAB).parent().unwrap().display().to_string();
        let environment = vec![("PATH".to_owned(), format!("{programs}:/usr/bin:/bin"))];
        Self { text, folder, environment, running: Vec::new() }
    }

    /// The code blocks, each with what is behind its fence.
    fn blocks(&self) -> Vec<(String, String)> {
        let blocks = self.text.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap());
        blocks.map(|(kind, text)| (kind.to_owned(), text.to_owned())).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Does what a line says, and returns what it prints.
    fn run(&mut self, line: &str) -> String {
        if let Some(setting) = line.strip_prefix("export ") {
            let (key, value) = setting.split_once('=').unwrap();
            self.environment.push((key.to_owned(), value.to_owned()));
            return String::new();
        }
        if let Some(line) = line.strip_suffix(" &") {
            let log = self.file(&format!("{}.log", self.running.len()));
            let mut words = line.split(" 2> ").next().unwrap().split(' ');
            let agent = words.next() == Some("haagent");
            let mut command = program(if agent { AGENT } else { LAB });
            command.args(words).current_dir(self.folder.path());
            self.running.push(if agent {
                Process::agent(command, line, &log)
            } else {
                Process::lab(command, line, &log).0
            });
            return String::new();
        }
        let mut command = program("/bin/sh");
        command.args(["-c", line]).current_dir(self.folder.path()).envs(self.environment.iter().cloned());
        let said = Said::by(&mut command);
        let logs: String = self.running.iter().map(Process::tail).collect();
        assert_eq!(said.code, 0, "{line}: {}{}\n{logs}", said.out, said.complaints);
        said.out
    }
}

/// What is the same each time: no numbers, no durations, no counts of datagrams.
fn shape(text: &str) -> Vec<String> {
    let duration = |word: &&str| {
        let number = word.trim_end_matches(char::is_alphabetic);
        number.len() < word.len() && !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
    };
    let line = |line: &str| {
        let words = line.split_whitespace().filter(|word| !duration(word)).map(|word| match word {
            word if word.starts_with(|c: char| c.is_ascii_digit()) => "N",
            word => word,
        });
        let words: Vec<&str> = words.collect();
        let counts = words.iter().position(|word| *word == "came,").map_or(words.len(), |at| at - 1);
        words[..counts].join(" ")
    };
    text.lines().map(line).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_page_about_the_lab_can_be_followed_line_by_line() {
    let mut page = Page::here();
    let blocks = page.blocks();
    for (kind, text) in &blocks {
        if let Some(name) = kind.strip_prefix("toml ") {
            fs::write(page.file(name), text).unwrap();
        }
    }
    for (_, text) in blocks.iter().filter(|(kind, _)| kind == "console") {
        for step in text.split("$ ").skip(1) {
            let (line, shown) = step.split_once('\n').unwrap_or((step, ""));
            let printed = page.run(line);
            if !shown.trim().is_empty() {
                assert_eq!(shape(&printed), shape(shown), "{line} prints:\n{printed}");
            }
        }
    }
}
