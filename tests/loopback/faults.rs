//! Something breaks: the address must be found again, once, and for the right reason.

use std::time::Duration;

use serde_json::Value;

use super::lab::{Lab, Setup};
use super::step::{Expected, step};

/// The evidence of the takeover, in words.
fn evidence_says(lab: &Lab, node: &str, words: &str) -> Result<(), String> {
    let group = lab.node(node).group()?;
    let evidence = group["evidence"].as_str().unwrap_or_default();
    if evidence.contains(words) { Ok(()) } else { Err(format!("no {words:?} in the evidence of {node}: {group}")) }
}

#[test]
fn a_host_that_vanished_is_replaced_and_comes_back_as_backup() {
    let lab = Lab::settled(Setup::default());
    step(
        &lab,
        "the host of a is gone",
        |lab| lab.node("a").vanish(),
        &Expected::one_move("a", &[("b", "master", "silent")]).and(&|lab| {
            let group = lab.node("b").group()?;
            let unreachable = group["evidence"].as_str().unwrap_or_default().contains("no agent listens");
            // The socket of a stopped agent is still there: nobody answers for it.
            if unreachable { Err(format!("a silent host answered: {group}")) } else { Ok(()) }
        }),
    );
    step(
        &lab,
        "the host of a is back",
        |lab| lab.node("a").come_back(),
        &Expected::nothing_moves("b", &["b"], &|lab| {
            // It was master when it stopped, and is not when it wakes.
            let entries = lab.node("a").history()?;
            let gap = |entry: &&Value| entry["from_state"] == "master" && entry["to_state"] == "init";
            let why = entries.iter().find(gap).map(|entry| &entry["reason"]);
            let group = lab.node("a").group()?;
            if why.is_some_and(|why| why == "gap") && group["state"] == "backup" {
                Ok(())
            } else {
                Err(format!("{why:?}, {group}"))
            }
        }),
    );
}

#[test]
fn quick_a_killed_master_is_replaced_after_the_dead_interval() {
    let lab = Lab::settled(Setup { interval: Duration::from_millis(100), ..Setup::default() });
    step(
        &lab,
        "a is killed",
        |lab| lab.node("a").kill9(),
        &Expected::one_move("a", &[("b", "master", "silent")]).and(&|lab| evidence_says(lab, "b", "no agent listens")),
    );
    step(
        &lab,
        "a is started again",
        |lab| lab.node("a").start(),
        &Expected { history: &[("a", "backup", "listened")], ..Expected::nothing_moves("b", &["b"], &|_| Ok(())) },
    );
}

#[test]
fn quick_a_master_that_stops_names_its_successor() {
    let lab = Lab::settled(Setup::default());
    step(&lab, "a stops", |lab| lab.node("a").term(), &Expected::one_move("a", &[("b", "master", "resigned")]));
}

#[test]
fn quick_a_container_that_is_down_moves_the_address_and_nothing_moves_back() {
    let lab = Lab::settled(Setup { check: "fall = 1", ..Setup::default() });
    let state_of_a = |lab: &Lab, state: &str| {
        let group = lab.node("a").group()?;
        if group["state"] == state { Ok(()) } else { Err(format!("a is no {state}: {group}")) }
    };
    step(
        &lab,
        "a container of a dies",
        |lab| lab.node("a").engine.act("web-3", "die"),
        &Expected::one_move("a", &[("b", "master", "offered")]).and(&|lab| {
            evidence_says(lab, "b", "a check fails there")?;
            state_of_a(lab, "fault")
        }),
    );
    step(
        &lab,
        "the container is up again",
        |lab| lab.node("a").engine.act("web-3", "start"),
        &Expected {
            history: &[("a", "backup", "recovered")],
            ..Expected::nothing_moves("b", &["b"], &|lab| state_of_a(lab, "backup"))
        },
    );
}

#[test]
fn recreating_one_container_in_0_8_seconds_moves_nothing_at_the_defaults() {
    let lab = Lab::settled(Setup { interval: Duration::from_millis(500), ..Setup::default() });
    let before = lab.node("a").engine.running("web-3").unwrap();
    step(
        &lab,
        "a container of a is recreated",
        |lab| lab.node("a").engine.act("web-3", "recreate?down_ms=800"),
        &Expected::nothing_moves("a", &["a"], &|lab| {
            let now = lab.node("a").engine.running("web-3").ok_or("web-3 does not run")?;
            if now == before { Err("web-3 is the same container".to_owned()) } else { Ok(()) }
        }),
    );
    let changes = lab.node("a").history().unwrap();
    assert!(!changes.iter().any(|entry| entry["reason"] == "check-failed"), "{changes:?}");
}

#[test]
fn three_nodes_survive_two_deaths_in_a_row() {
    let lab = Lab::settled(Setup { nodes: &["a", "b", "c"], ..Setup::default() });
    // The higher address goes first.
    step(&lab, "a is killed", |lab| lab.node("a").kill9(), &Expected::one_move("a", &[("c", "master", "silent")]));
    step(&lab, "c is killed", |lab| lab.node("c").kill9(), &Expected::one_move("c", &[("b", "master", "silent")]));
}
