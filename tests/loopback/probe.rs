//! The probe, with real agents, a real service behind the address and a network that can be cut.

use serde_json::Value;

use super::lab::{Lab, Setup};
use super::step::{Expected, step};

fn two_nodes(probe: bool) -> Lab {
    Lab::settled(Setup { network: true, probe, ..Setup::default() })
}

/// The status of a node, if it says so of its probe.
fn probe_says(lab: &Lab, node: &str, key: &str, value: bool) -> Result<Value, String> {
    let group = lab.node(node).group()?;
    if group["probe"][key] == value { Ok(group) } else { Err(format!("{node}: {key} is not {value}: {group}")) }
}

/// What its log has, so many times.
fn logged(lab: &Lab, node: &str, words: &str, times: usize) -> Result<(), String> {
    let found = lab.node(node).said().matches(words).count();
    if found == times { Ok(()) } else { Err(format!("{node} logged {words:?} {found} times, not {times}")) }
}

#[test]
fn quick_with_a_probe_a_cut_link_moves_nothing_and_heals_quietly() {
    let lab = two_nodes(true);
    step(
        &lab,
        "the link is cut",
        |lab| lab.network().cut(),
        &Expected {
            blind: &["b"],
            ..Expected::nothing_moves("a", &["a"], &|lab| {
                let group = probe_says(lab, "b", "defers", true)?;
                if group["served"] != true || group["severity"] != "warning" || group["state"] != "backup" {
                    return Err(format!("b does not see that a serves: {group}"));
                }
                logged(lab, "b", "the takeover is deferred", 1)
            })
        }
        .for_good(),
    );
    step(
        &lab,
        "the link is whole",
        |lab| lab.network().heal(),
        &Expected::nothing_moves("a", &["a"], &|lab| {
            let group = probe_says(lab, "b", "defers", false)?;
            if group["severity"] != "ok" || group["probe"]["probing"] != false {
                return Err(format!("b is not at rest: {group}"));
            }
            logged(lab, "b", "no takeover is deferred any more", 1)
        }),
    );
}

/// The counterpart: what the probe keeps from happening.
#[test]
fn without_a_probe_a_cut_link_moves_the_address() {
    let lab = two_nodes(false);
    step(
        &lab,
        "the link is cut",
        |lab| lab.network().cut(),
        &Expected { blind: &["a"], ..Expected::one_move("a", &[("b", "master", "silent")]) },
    );
}

#[test]
fn with_a_probe_a_dead_host_is_replaced_and_the_evidence_names_the_probe() {
    let lab = two_nodes(true);
    step(
        &lab,
        "the host of a is gone",
        |lab| lab.node("a").vanish(),
        &Expected::one_move("a", &[("b", "master", "silent")]).and(&|lab| {
            let group = lab.node("b").group()?;
            let evidence = group["evidence"].as_str().unwrap_or_default();
            if evidence.contains("the probe has failed for") { Ok(()) } else { Err(format!("{group}")) }
        }),
    );
}

#[test]
fn with_a_probe_an_agent_that_dies_alone_is_not_replaced_until_its_service_dies_too() {
    let lab = two_nodes(true);
    step(
        &lab,
        "the agent of a is killed",
        |lab| lab.node("a").kill9(),
        &Expected {
            blind: &["b"],
            ..Expected::nothing_moves("a", &[], &|lab| {
                probe_says(lab, "b", "defers", true)?;
                deferrals(lab, "b", &[true])
            })
        }
        .for_good(),
    );
    step(
        &lab,
        "the service of a dies",
        |lab| lab.node("a").service.vanish(),
        &Expected::one_move("a", &[("b", "master", "silent")]).and(&|lab| deferrals(lab, "b", &[true, false])),
    );
}

/// The deferrals in the history of a node: for each entry whether one began.
fn deferrals(lab: &Lab, node: &str, begun: &[bool]) -> Result<(), String> {
    let entries = lab.node(node).history()?;
    let told: Vec<_> =
        entries.iter().filter(|entry| entry["entry"] == "deferral").map(|e| e["begun"].clone()).collect();
    if told == *begun { Ok(()) } else { Err(format!("{told:?}")) }
}

#[test]
fn a_probe_that_a_reload_brings_keeps_the_address_when_the_link_is_cut_afterwards() {
    let lab = two_nodes(false);
    step(
        &lab,
        "the file has a probe",
        |lab| {
            for node in lab.nodes() {
                node.edit("majority = false", &format!("majority = false\n{}", lab.cloud.probe()));
                let said = node.reload();
                said.expect_code(0);
                assert!(said.out.contains("probe.http"), "{}", said.out);
            }
        },
        &Expected::nothing_moves("a", &["a"], &|lab| {
            probe_says(lab, "a", "answered", true)?;
            probe_says(lab, "b", "answered", true).map(drop)
        }),
    );
    step(
        &lab,
        "the link is cut",
        |lab| lab.network().cut(),
        &Expected {
            blind: &["b"],
            ..Expected::nothing_moves("a", &["a"], &|lab| probe_says(lab, "b", "defers", true).map(drop))
        }
        .for_good(),
    );
}
