//! What people do: with haagent's commands, and by hand in the provider's control panel.

use std::time::Duration;

use super::lab::{Lab, Setup};
use super::step::{Expected, step};

/// Whether a node shows the drain of `a`, with its reason.
fn shows_drain(lab: &Lab, node: &str) -> Result<(), String> {
    let group = lab.node(node).group()?;
    let acts = group["acts"].as_array().cloned().unwrap_or_default();
    let drained =
        acts.iter().any(|act| act["kind"] == "drain" && act["node"] == "a" && act["reason"] == "kernel update");
    if drained { Ok(()) } else { Err(format!("{node} shows no drain of a: {group}")) }
}

fn started(lab: &Lab, node: &str) -> Result<String, String> {
    lab.node(node).status().map(|status| status["started"].to_string())
}

fn restarted(lab: &Lab, node: &str, before: &str) -> Result<(), String> {
    if started(lab, node)? == before { Err(format!("{node} still runs as before")) } else { Ok(()) }
}

#[test]
fn an_announced_restart_moves_nothing() {
    let lab = Lab::settled(Setup { interval: Duration::from_millis(500), ..Setup::default() });
    let before = started(&lab, "a").unwrap();
    step(
        &lab,
        "the master restarts",
        |lab| lab.node("a").restart(),
        &Expected {
            history: &[("a", "master", "resume")],
            ..Expected::nothing_moves("a", &["a"], &|lab| restarted(lab, "a", &before))
        },
    );
    let before = started(&lab, "b").unwrap();
    step(
        &lab,
        "the backup restarts",
        |lab| lab.node("b").restart(),
        &Expected {
            history: &[("b", "backup", "listened")],
            ..Expected::nothing_moves("a", &["a"], &|lab| restarted(lab, "b", &before))
        },
    );
}

#[test]
fn a_drain_moves_the_address_survives_a_restart_and_ends_by_resume() {
    let lab = Lab::settled(Setup::default());
    step(
        &lab,
        "a is drained",
        |lab| {
            lab.node("a").command(&["drain", "--yes", "--reason", "kernel update"]).expect_code(0);
            assert_eq!(lab.holder(), "b", "who drains a host is about to switch it off");
        },
        &Expected::one_move("a", &[("b", "master", "offered")]).and(&|lab| {
            shows_drain(lab, "a")?;
            shows_drain(lab, "b")
        }),
    );
    let before = started(&lab, "a").unwrap();
    step(
        &lab,
        "the drained node is killed and started again",
        |lab| {
            lab.node("a").kill9();
            lab.node("a").start();
        },
        &Expected::nothing_moves("b", &["b"], &|lab| {
            restarted(lab, "a", &before)?;
            shows_drain(lab, "a")?;
            shows_drain(lab, "b")?;
            let group = lab.node("a").group()?;
            // It listened, and is still no candidate.
            if group["candidate"] == false && group["state"] == "fault" { Ok(()) } else { Err(group.to_string()) }
        }),
    );
    step(
        &lab,
        "the drain ends",
        |lab| lab.node("a").command(&["resume", "--reason", "rebooted"]).expect_code(0),
        &Expected {
            history: &[("a", "backup", "recovered")],
            ..Expected::nothing_moves("b", &["b"], &|lab| {
                let still = ["a", "b"].into_iter().find(|node| shows_drain(lab, node).is_ok());
                still.map_or(Ok(()), |node| Err(format!("{node} still shows the drain")))
            })
        },
    );
    let history = lab.node("a").command(&["history", "-n", "2"]);
    assert!(history.out.contains("no longer drained") && history.out.contains("rebooted"), "{}", history.out);
}

#[test]
fn quick_a_failover_by_command_moves_the_address_once() {
    let lab = Lab::settled(Setup::default());
    step(
        &lab,
        "failover --dry-run, then failover",
        |lab| {
            let a = lab.node("a");
            a.command(&["failover", "--to", "b", "--dry-run"]).expect_code(0);
            assert_eq!(lab.holder(), "a", "a dry run moves nothing");
            a.command(&["failover", "--to", "b", "--yes", "--timeout", "20s"]).expect_code(0);
            assert_eq!(lab.holder(), "b", "the command answers when it is done");
        },
        &Expected::one_move("a", &[("b", "master", "offered")]).and(&|lab| {
            let group = lab.node("b").group()?;
            let told = group["evidence"].as_str().is_some_and(|evidence| evidence.contains("an operator asked for it"));
            if told { Ok(()) } else { Err(group.to_string()) }
        }),
    );
    // What cannot be done is refused, and nothing changes.
    lab.node("b").command(&["failover", "--to", "nosuch", "--yes"]).expect_code(1);
    lab.node("b").command(&["history", "--group", "nosuch"]).expect_code(3);
    assert_eq!(lab.holder(), "b");
    // Who names no node is told which one it became.
    let said = lab.node("b").command(&["failover", "--yes", "--timeout", "20s"]);
    assert!(said.out.ends_with(" is on a\n"), "{}{}", said.out, said.complaints);
}

#[test]
fn the_mastership_follows_an_address_that_was_moved_by_hand() {
    let lab = Lab::settled(Setup::default());
    let b = lab.droplet("b");
    step(
        &lab,
        "the address is moved to b by hand",
        |lab| lab.cloud.move_by_hand(b),
        &Expected {
            assigns: 0,
            history: &[("b", "master", "offered"), ("a", "backup", "handed-over")],
            ..Expected::one_move("a", &[("b", "master", "offered")])
        },
    );
}

#[test]
fn an_address_that_was_unassigned_by_hand_is_claimed_again() {
    let lab = Lab::settled(Setup::default());
    // Each time is a move of its own.
    for time in ["once", "once more"] {
        step(
            &lab,
            &format!("the address is unassigned by hand {time}"),
            |lab| lab.cloud.move_by_hand(None),
            &Expected {
                assigns: 1,
                moves: 2,
                client: &["a"],
                recorded: Some((None, "a", "repaired")),
                ..Expected::nothing_moves("a", &["a"], &|_| Ok(()))
            },
        );
    }
}
