//! What the one on call reads at night: it must be true, be said once, and answer "why" on any node.

use std::fs;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use super::lab::node::Node;
use super::lab::wait::{DEADLINE, until};
use super::lab::{Lab, Setup};

#[track_caller]
fn wait_until(what: &str, look: impl FnMut() -> Result<(), String>) {
    until(DEADLINE, look).unwrap_or_else(|why| panic!("{what}: {why}"));
}

/// The verified moves to this node, as another one knows them.
fn moves(node: &Node, to: &str) -> Result<Vec<Value>, String> {
    let mut entries = node.history()?;
    entries.retain(|entry| entry["entry"] == "move" && entry["to"] == to && !entry["phases_ms"]["verified"].is_null());
    Ok(entries)
}

fn only_move(node: &Node, to: &str) -> Result<Value, String> {
    let found = moves(node, to)?;
    if let [one] = found.as_slice() { Ok(one.clone()) } else { Err(format!("{}: {found:?}", node.name)) }
}

#[test]
fn any_node_tells_why_the_address_moved_and_who_asked_for_it() {
    let lab = Lab::settled(Setup { check: "fall = 1", ..Setup::default() });
    let (a, b) = (lab.node("a"), lab.node("b"));
    a.command(&["failover", "--to", "b", "--yes"]).expect_code(0);
    wait_until("the author on both nodes", || {
        for node in [a, b] {
            let one = only_move(node, "b")?;
            if one["by"].is_null() || one["node"] != "b" {
                return Err(format!("{}: {one}", node.name));
            }
        }
        Ok(())
    });
    lab.settle("b");
    // Nobody asked for what a fault does, though somebody asked for something before.
    b.engine.act("web-3", "die");
    wait_until("the check on both nodes", || {
        for node in [a, b] {
            let one = only_move(node, "a")?;
            let evidence = one["evidence"].as_str().unwrap_or_default();
            if !evidence.contains("(check docker failed: 9 of 10 running") || !one["by"].is_null() {
                return Err(format!("{}: {one}", node.name));
            }
        }
        Ok(())
    });
    let entries = b.history().unwrap();
    let handed_over = entries.iter().rev().find(|entry| entry["reason"] == "handed-over").unwrap();
    assert!(handed_over["evidence"].as_str().unwrap().contains("check docker failed: 9 of 10"), "{handed_over}");
}

#[test]
fn a_node_that_was_not_there_learns_of_the_move_when_it_comes_back() {
    let lab = Lab::settled(Setup::default());
    lab.node("a").vanish();
    wait_until("b takes over", || only_move(lab.node("b"), "b").map(drop));
    lab.node("a").come_back();
    wait_until("a knows it", || {
        let known = only_move(lab.node("a"), "b")?;
        if known["reason"] == "silent" { Ok(()) } else { Err(known.to_string()) }
    });
    // It is its peer's move: after a restart it is still told once.
    lab.node("a").restart();
    lab.settle("b");
    wait_until("once", || only_move(lab.node("a"), "b").map(drop));
}

#[test]
fn a_refused_failover_leaves_nothing_behind_and_one_that_is_done_already_is_done() {
    let lab = Lab::settled(Setup::default());
    let (a, b) = (lab.node("a"), lab.node("b"));
    let refused = b.command(&["failover", "--yes"]);
    refused.expect_code(1);
    assert!(refused.complaints.contains("mend: haagent failover, on a"), "{}", refused.complaints);
    for arguments in [["failover", "--to", "nosuch", "--dry-run"], ["failover", "--to", "nosuch", "--yes"]] {
        let refused = a.command(&arguments);
        refused.expect_code(1);
        assert!(refused.complaints.contains("mend: one of: b"), "{}", refused.complaints);
    }
    for node in [a, b] {
        node.command(&["failover", "--to", "a", "--yes"]).expect_code(0);
        let acts = &node.group().unwrap()["acts"];
        assert_eq!(*acts, json!([]), "on {}", node.name);
        let entries = node.history().unwrap();
        assert!(entries.iter().all(|entry| entry["entry"] != "act"), "{entries:?}");
    }
    assert_eq!(lab.holder(), "a");

    // The only other node is no candidate: the refusal names why.
    b.engine.act("web-3", "die");
    b.until("it is no candidate", |group| group["state"] == "fault");
    a.until("a knows why", |group| group["blocked_by"].to_string().contains("9 of 10"));
    for arguments in [["failover", "--to", "b", "--dry-run"], ["failover", "--to", "b", "--yes"]] {
        let refused = a.command(&arguments);
        refused.expect_code(1);
        assert!(refused.complaints.contains("9 of 10 running"), "{}", refused.complaints);
    }
    a.until("nothing is in force", |group| group["acts"] == json!([]));
}

#[test]
fn an_address_on_a_dead_node_is_not_served_whatever_was_seen_before() {
    let lab = Lab::settled(Setup::default());
    let (a, b) = (lab.node("a"), lab.node("b"));
    // The last look from a says "here".
    a.command(&["failover", "--to", "b", "--yes"]).expect_code(0);
    lab.settle("b");
    lab.cloud.fault(&json!({"on": {"droplet": a.droplet}, "effect": {"kind": "unauthorized"}}));
    b.vanish();
    let group = a.until("it tries to take over", |group| {
        group["master"] == "a" && group["claims"][0]["state"] != "held" && group["claims"][0]["detail"].is_string()
    });
    assert_eq!(group["claims"][0]["holder"], "b", "{group}");
    assert_ne!(group["served"], true, "{group}");
    let said = a.command(&["status"]);
    said.expect_code(2);
    let told = said.out.matches("answered 401").count();
    assert_eq!(told, 1, "one trouble is told once:\n{}", said.out);
}

#[test]
fn a_failure_that_lasts_is_logged_once() {
    let lab = Lab::settled(Setup::default());
    let b = lab.node("b");
    let fault = lab.cloud.fault(&json!({"on": {"droplet": b.droplet}, "effect": {"kind": "server_error"}}));
    lab.node("a").vanish();
    wait_until("b asks again and again", || match lab.cloud.hits(fault) {
        Some(3..) => Ok(()),
        hits => Err(format!("{hits:?}")),
    });
    lab.cloud.clear_faults();
    b.until("it holds the address", |group| group["claims"][0]["state"] == "held");
    let log = b.said();
    assert_eq!(log.matches("answered 500").count(), 1, "{log}");
    assert_eq!(log.matches("nothing stands against claiming 203.0.113.10 here any more").count(), 1, "{log}");
}

#[test]
fn a_disk_that_refuses_is_told_when_it_begins_and_when_it_is_over() {
    let lab = Lab::settled(Setup::default());
    let b = lab.node("b");
    // The agent may be writing into it.
    wait_until("the folder is gone", || fs::remove_dir_all(b.file("state")).map_err(|error| error.to_string()));
    b.command(&["drain", "--yes"]).expect_code(0);
    wait_until("the log says so", || if b.said().contains("cannot be written") { Ok(()) } else { Err(b.said()) });
    let said = b.command(&["status"]);
    said.expect_code(1);
    let top = said.out.lines().next().unwrap();
    assert!(top.contains("WARNING"), "who reads only the top must see it: {}", said.out);
    fs::create_dir(b.file("state")).unwrap();
    b.command(&["resume"]).expect_code(0);
    wait_until("the log says that it is over", || {
        if b.said().contains("takes what is written again") { Ok(()) } else { Err(b.said()) }
    });
    let log = b.said();
    assert_eq!(
        log.matches("acts.json cannot be written").count() + log.matches("node.json cannot be written").count(),
        1,
        "{log}"
    );
}

#[test]
fn a_disk_that_hangs_ends_the_start_with_words() {
    let lab = Lab::settled(Setup::default());
    let b = lab.node("b");
    b.term();
    let acts = b.file("state").join("acts.json");
    drop(fs::remove_file(&acts));
    // Nobody ever writes into it: opening it waits for ever.
    mkfifo(&acts, Mode::S_IRWXU).unwrap();
    let said = b.run_to_its_end(&[]);
    said.expect_code(1);
    assert!(said.complaints.contains("its disk hangs; mend the disk"), "{}", said.complaints);
}

#[test]
fn a_log_that_cannot_be_set_up_says_so_without_a_log() {
    let lab = Lab::settled(Setup { interval: Duration::from_millis(500), ..Setup::default() });
    let said = lab.node("b").run_to_its_end(&[("HAAGENT_LOG", "==")]);
    said.expect_code(78);
    assert!(said.complaints.contains("HAAGENT_LOG=\"==\" is not understood; write a level"), "{}", said.complaints);
}

#[test]
fn nodes_that_were_set_up_unlike_are_told_once_and_not_after_they_were_mended() {
    let lab = Lab::settled(Setup::default());
    let (a, b) = (lab.node("a"), lab.node("b"));
    let file = b.file("haagent.toml");
    let good = fs::read_to_string(&file).unwrap();
    let other =
        good.replace("interval = \"200ms\"", "interval = \"300ms\"").replace("majority = false", "preempt = true");
    assert_ne!(good, other);
    fs::write(&file, other).unwrap();
    b.restart();
    let lines = ["beats every 300ms, this node every 200ms", "has other settings for this group"];
    for line in lines {
        wait_until(line, || if a.said().contains(line) { Ok(()) } else { Err(a.said()) });
    }
    a.command(&["status"]).expect_code(1);
    fs::write(&file, good).unwrap();
    b.restart();
    wait_until("all is well", || {
        let said = a.command(&["status"]);
        if said.code == 0 { Ok(()) } else { Err(said.out) }
    });
    for line in lines {
        assert_eq!(a.said().matches(line).count(), 1, "{}", a.said());
    }
}
