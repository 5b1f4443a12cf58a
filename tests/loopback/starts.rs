//! Agents that start: where the address is decides, not who is first.

use std::time::Duration;

use super::lab::{Lab, OTHER_KEY, Setup};
use super::step::{Expected, step};

/// Both agents die, forget everything, and start at once, with the address at `holder`.
fn start_afresh(lab: &Lab, holder: &str) {
    for node in lab.nodes() {
        node.kill9();
        node.forget();
    }
    if lab.holder() != holder {
        lab.cloud.move_by_hand(lab.droplet(holder));
    }
    for node in lab.nodes() {
        node.start();
    }
}

#[test]
fn of_two_that_start_at_once_the_better_one_claims_an_unassigned_address() {
    let lab = Lab::settled(Setup::default());
    step(
        &lab,
        "both start, the address is nobody's",
        |lab| start_afresh(lab, "nobody"),
        // By hand to nobody, then to b: between equals the higher address goes first.
        &Expected {
            moves: 2,
            recorded: Some((None, "b", "masterless")),
            ..Expected::one_move("a", &[("b", "master", "masterless")])
        },
    );
}

#[test]
fn of_two_that_start_at_once_the_holder_becomes_master_if_it_is_a() {
    let lab = Lab::settled(Setup { holder: "b", ..Setup::default() });
    step(
        &lab,
        "both start, the address is on a",
        |lab| start_afresh(lab, "a"),
        &Expected { assigns: 0, recorded: None, ..Expected::one_move("b", &[("a", "master", "resume")]) },
    );
}

#[test]
fn of_two_that_start_at_once_the_holder_becomes_master_if_it_is_b() {
    let lab = Lab::settled(Setup::default());
    step(
        &lab,
        "both start, the address is on b",
        |lab| start_afresh(lab, "b"),
        &Expected { assigns: 0, recorded: None, ..Expected::one_move("a", &[("b", "master", "resume")]) },
    );
}

#[test]
fn an_address_on_a_foreign_live_droplet_is_left_there_and_status_is_critical() {
    let lab = Lab::settled(Setup::default());
    step(
        &lab,
        "both start, the address is on a stranger",
        |lab| start_afresh(lab, "stranger"),
        &Expected {
            moves: 1,
            client: &["stranger"],
            history: &[("a", "backup", "listened"), ("b", "backup", "listened")],
            ..Expected::nothing_moves("stranger", &[], &|lab| {
                for node in lab.nodes() {
                    let said = node.command(&["status"]);
                    let named = said.out.contains(&super::lab::STRANGER.to_string());
                    if said.code != 2 || !named {
                        return Err(format!("{} exits with {}: {}", node.name, said.code, said.out));
                    }
                }
                Ok(())
            })
            .for_good()
        },
    );
}

/// `b` gets another key; then both start, in this order.
fn wrong_key(first: &str, second: &str) {
    let lab = Lab::settled(Setup::default());
    let (of_a, of_b) = (lab.node("a").address, lab.node("b").address);
    let says = |node: &str, of| {
        let peer = lab.node(node).peer(of)?;
        let group = lab.node(node).group()?;
        let text = group["concerns"].to_string() + &group["blocked_by"].to_string();
        if peer["key_differs"] != true || peer["rejected"]["wrong_key"] == 0 {
            return Err(format!("{node} does not say that the keys differ: {peer}"));
        }
        if text.contains("key") { Ok(()) } else { Err(format!("{node} warns of no key: {text}")) }
    };
    let history: &[_] = &[("a", "master", "resume"), ("b", "backup", "listened")];
    step(
        &lab,
        &format!("b has another key, {first} starts first"),
        |lab| {
            lab.node("b").kill9();
            lab.node("a").kill9();
            lab.node("b").change_key(OTHER_KEY);
            lab.node(first).start();
            super::lab::wait::until(super::lab::wait::DEADLINE, || lab.node(first).group()).unwrap();
            lab.node(second).start();
        },
        &Expected {
            // It hears no master, and knows only that a host is there.
            blind: &["b"],
            history,
            ..Expected::nothing_moves("a", &["a"], &|_| {
                says("a", of_b)?;
                says("b", of_a)
            })
            .for_good()
        },
    );
}

#[test]
fn a_wrong_key_is_told_on_both_and_moves_nothing_if_the_holder_starts_first() {
    wrong_key("a", "b");
}

#[test]
fn a_wrong_key_is_told_on_both_and_moves_nothing_if_the_other_starts_first() {
    wrong_key("b", "a");
}

#[test]
fn the_annotated_example_runs_and_fails_over() {
    let lab = Lab::settled(Setup { example: true, interval: Duration::from_millis(500), ..Setup::default() });
    step(
        &lab,
        "a, by the example's configuration, is killed",
        |lab| lab.node("a").kill9(),
        &Expected::one_move("a", &[("b", "master", "silent")]),
    );
}
