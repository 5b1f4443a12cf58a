//! Whole nodes on an in-memory network: what leaves, when, and what it does at the
//! other end. The rules themselves are tested beside the election.

mod world;

use proptest::prelude::*;

use super::*;
use crate::proto::election::event::Reason;
use crate::proto::heartbeat::NodeState;
use crate::proto::heartbeat::bulletin::MAX_BULLETIN;
use world::{INTERVAL, LATENCY, Plan, World, address};

const DEAD: Duration = Duration::from_millis(1_500);
const MILLI: Duration = Duration::from_millis(1);

#[test]
fn one_is_elected_and_at_rest_each_sends_one_datagram_in_each_interval() {
    let mut world = World::new(3);
    world.run(DEAD * 4);
    assert_eq!(world.states(), [NodeState::Master, NodeState::Backup, NodeState::Backup]);
    world.sent.clear();
    let persisted = world.persisted;
    world.run(INTERVAL * 20);
    for from in 0..3 {
        for to in (0..3).filter(|to| *to != from) {
            let times = world.departures(from, to);
            assert_eq!(times.len(), 20);
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL), "{from} to {to}: {times:?}");
        }
    }
    assert_eq!(world.persisted, persisted, "nothing is written at rest");
}

#[test]
fn a_change_is_sent_at_once_and_10_and_30_ms_later() {
    let mut world = World::pair();
    world.run(MILLI * 100);
    world.sent.clear();
    let now = world.now;
    world.candidacy(1, 0, true, Priority::new(42).unwrap());
    world.input(1, Input::Drained);
    world.run(MILLI * 100);
    assert_eq!(world.departures(1, 0), [now, now + SECOND, now + THIRD]);
    assert!(world.sent.iter().all(|sent| sent.reports[0].priority.get() == 42));
}

#[test]
fn groups_that_change_together_share_the_burst_and_many_groups_share_datagrams() {
    let mut world = World::of(Plan { groups: 30, nodes: vec![(7, 1), (7, 2)] });
    world.run(INTERVAL * 10);
    assert_eq!(world.states(), [NodeState::Master, NodeState::Backup]);
    world.run(MILLI * 100);
    world.sent.clear();
    for group in 0..30 {
        world.candidacy(1, group, true, Priority::new(42).unwrap());
    }
    world.input(1, Input::Drained);
    world.run(LATENCY * 2);
    let burst: Vec<_> = world.sent.iter().flat_map(|sent| sent.reports.iter().map(|report| report.group.0)).collect();
    assert_eq!(burst, (1..=30).collect::<Vec<_>>(), "each group once");
    assert!(world.sent.len() > 1 && world.sent.iter().all(|sent| sent.bytes.len() <= MAX_DATAGRAM));
    let view = world.nodes[0].as_ref().unwrap().view(world.now);
    assert!(view.groups.iter().all(|group| group.peers[0].report.unwrap().priority.get() == 42));
}

#[test]
fn rule_4_a_lost_heartbeat_is_asked_for_and_answered_at_once() {
    let mut world = World::pair();
    world.cuts.insert((0, 1));
    world.run(INTERVAL);
    world.cuts.clear();
    let lost = world.departures(0, 1)[0];
    world.run(INTERVAL / 2);
    let asked = world.sent.iter().find(|sent| sent.header.ask).unwrap();
    assert_eq!((asked.from, asked.at), (1, lost.before(INTERVAL) + LATENCY + INTERVAL * 11 / 10));
    assert!(world.departures(0, 1).contains(&(asked.at + LATENCY)), "{:?}", world.departures(0, 1));
    // A flood of questions is not answered one by one.
    let question = asked.clone();
    world.run(INTERVAL);
    world.sent.clear();
    for _ in 0..100 {
        world.deliver(question.from, question.to, &question.bytes);
    }
    assert!(world.sent.is_empty(), "{:?}", world.sent);
}

#[test]
fn a_silent_master_is_replaced_within_d_and_an_announced_one_within_a_round_trip() {
    let mut world = World::pair();
    world.kill(0);
    let heard = world.now;
    world.run(DEAD);
    assert_eq!(world.states(), [NodeState::Master]);
    assert!(world.transitions[0].1.at <= heard + DEAD);
    let mut world = World::pair();
    world.input(0, Input::Resign);
    world.input(0, Input::Drained);
    world.run(LATENCY);
    assert_eq!(world.states(), [NodeState::Backup, NodeState::Master]);
    assert_eq!(world.transitions[1].1.reason, Reason::Resigned { by: address(0) });
}

#[test]
fn rule_5_a_hand_over_takes_one_round_trip_and_is_never_without_a_master() {
    let mut world = World::pair();
    world.candidacy(0, 0, false, Priority::DEFAULT);
    world.input(0, Input::Drained);
    world.run(LATENCY);
    assert_eq!(world.states(), [NodeState::Master, NodeState::Master]);
    world.run(LATENCY);
    assert_eq!(world.states(), [NodeState::Fault, NodeState::Master]);
}

#[test]
fn rule_1_after_a_gap_init_is_said_before_anything_else_and_what_waited_is_no_death() {
    let mut world = World::pair();
    let waiting = world.sent.clone();
    assert!(waiting.is_empty());
    let mut paused = world.nodes[0].take();
    world.run(DEAD * 4);
    assert_eq!(world.states(), [NodeState::Master]);
    // What its socket held is read first.
    let queued: Vec<_> = world.sent.iter().filter(|sent| sent.to == 0).cloned().collect();
    world.nodes[0] = paused.take();
    world.sent.clear();
    for sent in queued {
        world.deliver(1, 0, &sent.bytes);
    }
    world.input(0, Input::Drained);
    let said = &world.sent.iter().find(|sent| sent.from == 0).unwrap().reports[0];
    assert_eq!(said.state, NodeState::Init);
    world.run(DEAD * 2);
    assert_eq!(world.states(), [NodeState::Backup, NodeState::Master]);
    let masters = world.transitions.iter().filter(|(_, transition)| transition.to == NodeState::Master);
    assert_eq!(masters.count(), 1);
}

#[test]
fn p4_a_restart_within_d_moves_nothing_and_what_it_knew_survives() {
    let mut world = World::pair();
    let memory = world.kill(0);
    world.run(DEAD / 3);
    world.start(0, Some(memory.clone()));
    assert_eq!(world.nodes[0].as_ref().unwrap().memory(), memory);
    world.run(DEAD * 4);
    assert_eq!(world.states(), [NodeState::Master, NodeState::Backup]);
    assert_eq!(world.holder, 0);
    assert!(world.transitions.iter().all(|(node, _)| *node == 0), "{:?}", world.transitions);
}

#[test]
fn a_wrong_key_is_counted_and_its_host_is_neither_heard_nor_silent() {
    let mut world = World::of(Plan { groups: 1, nodes: vec![(7, 1), (8, 2)] });
    world.holder = 1;
    world.run(DEAD * 40);
    assert_eq!(world.states(), [NodeState::Backup, NodeState::Master]);
    let link = world.link(0, 1);
    assert_eq!((link.heard_at, link.counts.accepted), (None, 0));
    assert_eq!(link.counts.wrong_key, link.wrong_key.unwrap().count);
    assert!(link.counts.wrong_key > 40);
}

#[test]
fn a_peer_of_another_release_is_counted_and_neither_heard_nor_silent() {
    let mut world = World::pair();
    world.other_release.insert(1);
    world.run(DEAD * 40);
    assert_eq!(world.states(), [NodeState::Master, NodeState::Backup]);
    let link = world.link(0, 1);
    assert!(link.counts.other_version > 40, "{link:?}");
    world.other_release = [0].into();
    world.run(DEAD * 40);
    assert_eq!(world.states(), [NodeState::Master, NodeState::Backup], "a master whose words mean nothing lives");
    assert!(world.link(1, 0).counts.other_version > 40);
}

#[test]
fn a_second_node_of_ones_own_name_is_counted_and_not_heard() {
    let mut world = World::of(Plan { groups: 1, nodes: vec![(7, 1), (7, 1)] });
    world.run(INTERVAL * 4);
    let link = world.link(0, 1);
    assert_eq!((link.heard_at, link.counts.accepted), (None, 0));
    assert!(link.counts.own_name >= 4 && link.own_name_at.is_some());
}

#[test]
fn a_replay_is_counted_and_causes_nothing() {
    let mut world = World::pair();
    world.run(INTERVAL * 4);
    let recorded: Vec<_> = world.sent.iter().filter(|sent| sent.from == 0).cloned().collect();
    let before = world.link(1, 0);
    for sent in &recorded {
        world.deliver(0, 1, &sent.bytes);
    }
    let after = world.link(1, 0);
    assert_eq!(after.counts.accepted, before.counts.accepted);
    assert_eq!(after.counts.replayed, before.counts.replayed + recorded.len() as u64);
    // The same to a new run: its master is dead, and no recording makes it live.
    world.kill(0);
    let memory = world.kill(1);
    world.start(1, Some(memory));
    for _ in 0..40 {
        for sent in &recorded {
            world.deliver(0, 1, &sent.bytes);
        }
        world.run(INTERVAL);
    }
    assert_eq!(world.states(), [NodeState::Master]);
}

#[test]
fn noise_is_counted_and_survived() {
    let mut world = World::pair();
    for length in [0, 1, 15, 16, 40, MAX_DATAGRAM, MAX_DATAGRAM + 1, 4_000] {
        world.deliver(0, 1, &vec![0xa5; length]);
    }
    let counts = world.link(1, 0).counts;
    assert_eq!((counts.malformed, counts.wrong_key), (5, 3));
}

#[test]
fn a_bulletin_arrives_whole_and_a_new_run_gets_it_too() {
    let mut world = World::pair();
    let text: Vec<u8> = (0..MAX_BULLETIN).map(|n| (n % 251) as u8).collect();
    world.input(0, Input::Bulletin { bytes: &text });
    world.input(0, Input::Drained);
    world.run(Duration::from_secs(1));
    assert_eq!(world.bulletins, [(1, 0, text.clone())]);
    let gaps: Vec<_> = world.departures(0, 1).windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= INTERVAL), "heartbeats go on: {gaps:?}");
    world.bulletins.clear();
    world.run(Duration::from_secs(30));
    assert!(world.bulletins.is_empty(), "what is known already is not told again");
    world.kill(1);
    world.start(1, None);
    world.run(Duration::from_secs(2));
    assert_eq!(world.bulletins, [(1, 0, text)]);
}

#[test]
fn a_stale_brain_is_told_thrice_and_then_there_is_silence_though_somebody_asks() {
    let mut world = World::pair();
    world.run(MILLI * 100);
    world.input(0, Input::Bulletin { bytes: &[1; 10_000] });
    world.input(0, Input::Drained);
    world.run(MILLI * 30);
    world.sent.clear();
    let stale = world.now;
    world.input(0, Input::BrainStale);
    world.input(0, Input::Drained);
    world.run(INTERVAL * 3);
    let goodbyes: Vec<_> = world.sent.iter().filter(|sent| sent.from == 0 && !sent.reports.is_empty()).collect();
    let times: Vec<_> = goodbyes.iter().map(|sent| sent.at - stale).collect();
    assert_eq!(times, [Duration::ZERO, SECOND, THIRD]);
    assert!(goodbyes.iter().all(|sent| sent.reports[0].leaving.unwrap().successor == Some(address(1))));
    assert_eq!(world.states()[1], NodeState::Master);
    // An authentic question of now gets no answer, and there is nothing to wake for but the cadence.
    world.sent.clear();
    let mut asker = world.nodes[1].take().unwrap();
    let peer = asker.peers[0].link.next_header(world.now, true);
    let route = Route { from: address(1), to: address(0) };
    let question = Encoder::new(&mut [0; MAX_DATAGRAM], &peer).seal(&asker.keys, route).to_vec();
    world.deliver(1, 0, &question);
    world.input(0, Input::Drained);
    assert!(world.sent.is_empty());
    let node = world.nodes[0].as_ref().unwrap();
    assert!(node.next_deadline().unwrap() - world.now > PART_GAP);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is cut, killed and started again: no busy loop, no flood (both asserted in
    /// each turn), and when all is well again there is one master.
    #[test]
    fn after_any_faults_one_master_is_left(
        faults in prop::collection::vec((0_usize..3, 0_usize..3, 0_u8..4, 1_u64..4_000), 0..25),
    ) {
        let mut world = World::new(3);
        world.run(DEAD * 4);
        for (one, other, kind, millis) in faults {
            match kind {
                0 => drop(world.cuts.insert((one, other))),
                1 => world.cuts.clear(),
                2 if world.nodes[one].is_some() => {
                    let memory = world.kill(one);
                    world.run(Duration::from_millis(millis) / 2);
                    world.start(one, Some(memory));
                }
                _ => world.candidacy(one, 0, millis % 2 == 0, Priority::DEFAULT),
            }
            world.run(Duration::from_millis(millis));
        }
        world.cuts.clear();
        for node in 0..3 {
            world.candidacy(node, 0, true, Priority::DEFAULT);
        }
        world.run(DEAD * 20);
        let masters = world.states().iter().filter(|state| **state == NodeState::Master).count();
        prop_assert_eq!(masters, 1, "{:?}", world.transitions);
    }
}

#[test]
fn a_key_is_changed_on_one_node_after_the_other_and_no_datagram_is_refused() {
    let mut world = World::pair();
    world.run(DEAD * 2);
    let states = world.states();
    let accepted = |world: &World| [world.link(0, 1).counts.accepted, world.link(1, 0).counts.accepted];
    // As docs/configuration.md has it: accept the new one too, send with it, forget the old one.
    for (current, old) in [(7, Some(8)), (8, Some(7)), (8, None)] {
        for node in [0, 1] {
            let before = accepted(&world);
            world.change_keys(node, current, old);
            world.run(INTERVAL * 4);
            let after = accepted(&world);
            assert!(before.iter().zip(after).all(|(before, after)| after >= before + 4), "{before:?} {after:?}");
        }
    }
    assert_eq!(world.states(), states);
    assert_eq!([world.link(0, 1), world.link(1, 0)].map(|link| link.counts.wrong_key), [0, 0]);
    // Out of order it would be seen.
    world.change_keys(0, 9, None);
    world.run(INTERVAL * 2);
    assert!(world.link(1, 0).counts.wrong_key > 0 && world.link(0, 1).counts.wrong_key > 0);
}
