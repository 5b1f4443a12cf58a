//! The configuration is read again while everything runs: it never moves the address.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::lab::node::{Node, Said, command_on};
use super::lab::wait::{DEADLINE, until};
use super::lab::{KEY, Lab, OTHER_KEY, Setup};
use super::step::{Expected, step};

impl Node {
    /// Changes its configuration file; the agent knows nothing of it yet.
    pub fn edit(&self, from: &str, to: &str) {
        let file = self.file("haagent.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    }

    pub fn reload(&self) -> Said {
        self.command(&["reload", "--reason", "a test"])
    }

    /// Changes the file and reads it again: it is taken, with these words.
    #[track_caller]
    fn takes(&self, from: &str, to: &str, says: &str) {
        self.edit(from, to);
        let said = self.reload();
        said.expect_code(0);
        assert_eq!((said.out.as_str(), said.complaints.as_str()), (says, ""));
    }

    fn config(&self) -> Result<Value, String> {
        Ok(self.status()?["config"].clone())
    }
}

fn expect(what: &str, is: bool, value: &Value) -> Result<(), String> {
    if is { Ok(()) } else { Err(format!("{what}: {value}")) }
}

#[track_caller]
fn wait_for(what: &str, look: impl FnMut() -> Result<(), String>) {
    until(DEADLINE, look).unwrap_or_else(|why| panic!("{what}: {why}"));
}

/// The newest act in a node's history.
fn newest_act(node: &Node) -> Result<Value, String> {
    let entries = node.history()?;
    entries.iter().rev().find(|entry| entry["entry"] == "act").cloned().ok_or_else(|| format!("{entries:?}"))
}

/// Both nodes have heard each other all the time, and refused nothing.
fn nobody_is_refused(lab: &Lab) -> Result<(), String> {
    for (node, peer) in [("a", "b"), ("b", "a")] {
        let seen = lab.node(node).peer(lab.node(peer).address)?;
        let rejected = &seen["rejected"];
        let none = ["wrong_key", "malformed", "other_version"].iter().all(|cause| rejected[cause] == 0);
        expect("refused", none && seen["presence"] == "heard", &seen)?;
    }
    Ok(())
}

#[test]
fn quick_a_check_that_is_replaced_on_the_master_moves_nothing() {
    let lab = Lab::settled(Setup::default());
    step(
        &lab,
        "the check of the master is another one",
        |lab| {
            let says = "applied: group.web.check docker.running 10 -> (not set); \
                        group.web.check fall 2 -> 1; group.web.check docker.min (not set) -> 9\n";
            lab.node("a").takes("docker.running = 10", "docker.min = 9\nfall = 1", says);
        },
        &Expected::nothing_moves("a", &["a"], &|lab| {
            let group = lab.node("a").group()?;
            expect("the new check looks", group["checks"][0]["ok"] == true, &group)?;
            let act = newest_act(lab.node("a"))?;
            let told = act["act"]["kind"] == "reload" && act["act"]["reason"] == "a test";
            let detail = act["detail"].as_str().unwrap_or_default();
            expect("history", told && detail.contains("docker.running 10"), &act)?;
            // The other one still has the other file, and both say so.
            let differs = lab.node("b").peer(lab.node("a").address)?;
            expect("settings differ", differs["config_ok"] == false, &differs)
        }),
    );
    // It is in force: with nine it is well now, with eight it is not.
    lab.node("a").engine.act("web-3", "die");
    let nine = lab.node("a").until("nine are enough", |group| {
        group["checks"][0]["detail"].as_str().is_some_and(|detail| detail.starts_with("9 "))
    });
    assert_eq!((&nine["checks"][0]["ok"], &nine["state"]), (&json!(true), &json!("master")));
    let said = lab.node("a").reload();
    assert_eq!((said.code, said.out.as_str()), (0, "nothing changed\n"));
    lab.node("b").takes("docker.running = 10", "docker.min = 9\nfall = 1", &{
        let applied = lab.node("a").history().unwrap();
        let first = applied.iter().find(|entry| entry["act"]["kind"] == "reload").unwrap();
        format!("{}\n", first["detail"].as_str().unwrap())
    });
    lab.settle("a");
}

#[test]
fn a_standby_whose_check_is_loosened_is_a_candidate_again() {
    let lab = Lab::settled(Setup::default());
    let b = lab.node("b");
    b.engine.act("web-3", "die");
    b.until("nine of ten", |group| group["state"] == "fault" && group["candidate"] == false);
    step(
        &lab,
        "nine are enough",
        |lab| {
            lab.node("b").takes(
                "docker.running = 10",
                "docker.running = 9",
                "applied: group.web.check docker.running 10 -> 9\n",
            );
        },
        &Expected::nothing_moves("a", &["a"], &|lab| {
            let group = lab.node("b").group()?;
            expect("a candidate", group["candidate"] == true && group["state"] == "backup", &group)
        }),
    );
    // Without the check that fails it is one at once, too.
    b.engine.act("web-4", "die");
    b.until("eight of nine", |group| group["candidate"] == false);
    let file = fs::read_to_string(b.file("haagent.toml")).unwrap();
    let check = &file[file.find("[[group.web.check]]").unwrap()..file.find("[[group.web.claim]]").unwrap()];
    b.edit(check, "");
    let said = b.reload();
    said.expect_code(0);
    assert_eq!(said.out, "applied: group.web.check[docker] removed\n");
    assert!(said.complaints.contains("has no check"), "the warnings of the file: {}", said.complaints);
    b.until("a candidate without a check", |group| group["candidate"] == true);
}

#[test]
fn a_file_that_cannot_be_used_is_refused_and_everything_goes_on() {
    let lab = Lab::settled(Setup::default());
    let a = lab.node("a");
    let before = a.config().unwrap();
    step(
        &lab,
        "the file of the master has two mistakes",
        |_| {
            a.edit("docker.running = 10", "docker.runing = 10\nfall = 0");
            let said = a.reload();
            said.expect_code(1);
            let checked = a.check_configuration();
            assert_eq!((said.out.as_str(), checked.code), ("", 1));
            let (problems, _) = checked.complaints.trim_end().rsplit_once('\n').unwrap();
            assert_eq!(said.complaints, format!("{problems}\nrefused: the old configuration goes on\n"));
        },
        &Expected::nothing_moves("a", &["a"], &|_| {
            let config = a.config()?;
            let same = config["hash"] == before["hash"] && config["loaded"] == before["loaded"];
            expect("the old one is in force", same && config["refused_since"].is_string(), &config)?;
            let error = config["error"].as_str().unwrap_or_default();
            expect("what is wrong", error.contains("unknown key `runing`") && error.contains("78"), &config)
        }),
    );
    assert_eq!(a.command(&["status"]).code, 1, "a restart would not start: a warning");
    // By signal the same is said in the journal, which counts what is said again and again.
    assert!(a.said().contains(":8: unknown key `runing`") && a.said().contains("`fall` = 0"));
    a.agent().signal(Signal::SIGHUP);
    wait_for("the signal is logged", || {
        expect("refused", a.said().contains("the reload that SIGHUP asked for is refused"), &Value::Null)
    });
    a.edit("docker.runing = 10\nfall = 0", "docker.running = 10");
    a.agent().signal(Signal::SIGHUP);
    wait_for("the mended file is taken", || {
        let config = a.config()?;
        expect("no error", config["error"].is_null() && config["refused_since"].is_null(), &config)
    });
    lab.settle("a");
    // A secret that is gone is as good as a mistake.
    fs::rename(a.file("token"), a.file("away")).unwrap();
    let said = a.reload();
    said.expect_code(1);
    assert!(said.complaints.contains("token: it cannot be read"), "{}", said.complaints);
    fs::rename(a.file("away"), a.file("token")).unwrap();
    a.reload().expect_code(0);
    lab.settle("a");
}

#[test]
fn keys_that_wait_for_a_restart_are_named_and_the_rest_is_applied() {
    let lab = Lab::settled(Setup::default());
    let a = lab.node("a");
    let port = format!("port = {}", lab.port);
    a.edit(&port, "port = 17999\nold_key.file = \"/nosuch\"");
    a.reload().expect_code(1);
    let restart = format!("restart needed: heartbeat.port ({} -> 17999); control.socket", lab.port);
    step(
        &lab,
        "the port and more change",
        |_| {
            a.edit("\nold_key.file = \"/nosuch\"", "");
            let socket = a.socket().display().to_string();
            a.edit(&socket, "/nowhere/agent.sock");
            a.edit("majority = false", "majority = false\nclaim_timeout = \"50s\"");
            let said = a.reload();
            said.expect_code(0);
            let mut lines = said.out.lines();
            assert_eq!(lines.next(), Some("applied: group.web.claim_timeout \"1m\" -> \"50s\""));
            assert!(lines.next().is_some_and(|line| line.starts_with(&restart)), "{}", said.out);
            assert!(lines.next().is_some_and(|line| line.contains("haagent restart")), "{}", said.out);
        },
        &Expected::nothing_moves("a", &["a"], &|_| {
            let config = a.config()?;
            let needed = config["restart_needed"].as_array().map_or(0, Vec::len);
            expect("they are in status", needed == 2 && config["error"].is_null(), &config)
        }),
    );
    let said = a.command(&["status"]);
    assert!(said.out.contains("restart needed: heartbeat.port ("), "{}", said.out);
    // What is changed back needs no restart any more.
    a.edit("port = 17999", &port);
    a.edit("/nowhere/agent.sock", &a.socket().display().to_string());
    let said = a.reload();
    assert_eq!((said.code, said.out.as_str()), (0, "nothing changed\n"));
    assert_eq!(a.config().unwrap()["restart_needed"], json!([]));
}

#[test]
fn a_key_is_changed_on_two_nodes_and_no_heartbeat_is_refused() {
    let lab = Lab::settled(Setup::default());
    let both = [lab.node("a"), lab.node("b")];
    for node in both {
        node.write_secret("key.new", OTHER_KEY);
    }
    let [old, new] = ["key", "key.new"];
    let line = |node: &Node, key: &str, of: &str| format!("{key}.file = {:?}", node.file(of));
    // The steps of docs/configuration.md, each on one node after the other.
    let steps: [(&str, &[(&str, &str)]); 3] = [
        ("accept the new key too", &[("key", old), ("old_key", new)]),
        ("send with the new key, accept the old one", &[("key", new), ("old_key", old)]),
        ("forget the old key", &[("key", new)]),
    ];
    let mut lines = both.map(|node| line(node, "key", old));
    for (done, (what, keys)) in (1..).zip(steps) {
        for (node, line_now) in both.into_iter().zip(&mut lines) {
            let next = keys.iter().map(|(key, of)| line(node, key, of)).collect::<Vec<_>>().join("\n");
            step(
                &lab,
                &format!("{}: {what}", node.name),
                |_| {
                    node.edit(line_now, &next);
                    node.reload().expect_code(0);
                },
                &Expected::nothing_moves("a", &["a"], &|lab| {
                    let history = node.history()?;
                    let reloads = history.iter().filter(|entry| entry["act"]["kind"] == "reload");
                    expect("reloaded", reloads.count() == done, &json!(history))?;
                    nobody_is_refused(lab)
                }),
            );
            *line_now = next;
        }
    }
    assert_ne!(KEY, OTHER_KEY);
    // The old one is worth nothing now, and the same file with another content is read again.
    lab.node("b").write_secret("key.new", KEY);
    let said = lab.node("b").reload();
    assert_eq!((said.code, said.out.as_str()), (0, "applied: heartbeat.key another secret\n"));
    wait_for("the keys differ", || {
        let seen = lab.node("a").peer(lab.node("b").address)?;
        expect("refused", seen["key_differs"] == true, &seen)
    });
}

#[test]
fn a_token_that_was_replaced_is_used_at_once() {
    let lab = Lab::settled(Setup::default());
    let b = lab.node("b");
    let token = b.token();
    b.write_secret("token", "dop_v1_revoked");
    let said = b.reload();
    assert_eq!((said.code, said.out.as_str()), (0, "applied: digitalocean.token another secret\n"));
    assert!(!format!("{}{}", b.said(), said.out).contains("dop_v1"));
    b.until("the token is refused", |group| {
        group["detail"].as_str().is_some_and(|detail| detail.contains("401")) && group["severity"] != "ok"
    });
    b.write_secret("token", &token);
    b.reload().expect_code(0);
    // Long before the next proof would be due.
    b.until("the token works", |group| group["detail"].is_null() && group["ready"] == true);
    lab.settle("a");
}

#[test]
fn a_higher_priority_moves_nothing_without_preempt() {
    let lab = Lab::settled(Setup::default());
    let says = "applied: group.web.priority 100 -> 200\n";
    step(
        &lab,
        "the standby has a higher priority",
        |lab| lab.node("b").takes("majority = false", "majority = false\npriority = 200", says),
        &Expected::nothing_moves("a", &["a"], &|lab| {
            let seen = lab.node("a").peer(lab.node("b").address)?;
            expect("it is told", seen["priority"] == 200, &seen)
        })
        .for_good(),
    );
    // With preempt it is what the operator asks for, when the master's file says so.
    for node in ["a", "b"] {
        lab.node(node).edit("majority = false", "majority = false\npreempt = true\npreempt_delay = \"1s\"");
    }
    step(
        &lab,
        "both preempt",
        |lab| ["a", "b"].into_iter().for_each(|node| lab.node(node).reload().expect_code(0)),
        &Expected::one_move("a", &[("b", "master", "offered")]),
    );
}

#[test]
fn a_reload_while_a_claim_is_under_way_changes_nothing_of_it() {
    let lab = Lab::settled(Setup { interval: Duration::from_millis(100), ..Setup::default() });
    step(
        &lab,
        "a dies, and b reloads before the address has arrived",
        |lab| {
            lab.cloud.fault(&json!({"effect": {"kind": "action_slow", "ms": 2_000}}));
            lab.node("a").kill9();
            let b = lab.node("b");
            b.until("it claims", |group| group["claims"][0]["state"] == "claiming");
            b.write_secret("token", &format!("{} ", b.token()));
            b.edit("majority = false", "majority = false\nclaim_timeout = \"30s\"\nverify_interval = \"500ms\"");
            b.edit("docker.running = 10", "docker.running = 10\ninterval = \"500ms\"");
            b.reload().expect_code(0);
            lab.cloud.clear_faults();
        },
        &Expected::one_move("a", &[("b", "master", "silent")]),
    );
}

#[test]
fn two_reloads_at_once_are_one_after_the_other_and_none_is_lost() {
    let lab = Lab::settled(Setup::default());
    let a = lab.node("a");
    a.edit("majority = false", "majority = false\nclaim_timeout = \"50s\"");
    let socket = a.socket();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let said = command_on(&socket, &["reload"]);
                let busy = said.code == 1 && said.complaints.contains("another reload is under way");
                assert!(said.code == 0 || busy, "{}{}", said.out, said.complaints);
            });
        }
        for _ in 0..8 {
            a.agent().signal(Signal::SIGHUP);
        }
    });
    wait_for("it is in force", || {
        let history = a.history()?;
        let applied = history.iter().filter(|entry| entry["detail"].as_str().is_some_and(|d| d.contains("50s")));
        expect("once", applied.count() == 1, &json!(history))
    });
    assert_eq!((lab.holder().as_str(), a.group().unwrap()["state"].as_str()), ("a", Some("master")));
}
