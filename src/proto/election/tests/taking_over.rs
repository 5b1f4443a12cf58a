//! Rules 6 to 8: who takes over, when, and who is kept from it.

use super::*;

#[test]
fn rule_7_a_silent_master_is_replaced_after_d_with_its_base() {
    let mut bench = Bench::backup();
    let other = GroupReport { claim: ClaimState::Claiming, base: [address(77)].into_iter().collect(), ..holding() };
    bench.hear(other);
    let heard = bench.now;
    bench.pass(DEAD * 2);
    assert_eq!(bench.reason(), Reason::Silent { master: address(PEER) });
    assert_eq!(bench.transitions.last().unwrap().at, heard + DEAD);
    assert_eq!(bench.election.term, Term(5));
    let base = bench.election.base;
    assert!(base.contains(address(PEER)) && base.contains(address(77)));
}

#[test]
fn rule_7_the_second_best_waits_its_skew() {
    let mut bench = Bench::backup();
    let better = GroupReport { priority: Priority::new(200).unwrap(), ..report(NodeState::Backup) };
    let heard = bench.election.peer(address(PEER)).unwrap().heard_at().unwrap();
    bench.pass_hearing(DEAD * 2, THIRD, better);
    assert_eq!(bench.transitions.last().unwrap().at, heard + DEAD + INTERVAL / 2);
}

#[test]
fn rule_7_masterless_waits_as_long_as_the_truth_says() {
    let member = Holder::Member(address(PEER));
    for (holder, peer, wait) in [
        (Holder::Nobody, None, DEAD),
        (member, None, DEAD * 4),
        (member, Some(GroupReport { candidate: false, ..report(NodeState::Fault) }), DEAD),
    ] {
        let mut bench = Bench::new();
        bench.pass(DEAD);
        assert_eq!(bench.reason(), Reason::Listened { master: None });
        let began = bench.now;
        bench.look(holder);
        match peer {
            Some(report) => bench.pass_hearing(DEAD * 5, PEER, report),
            None => bench.pass(DEAD * 5),
        }
        assert_eq!(bench.reason(), Reason::Masterless { holder });
        assert_eq!(bench.transitions.last().unwrap().at, began + wait, "{holder:?}");
    }
}

#[test]
fn rule_7_a_heard_candidate_that_holds_the_address_goes_first() {
    let mut bench = Bench::new();
    bench.pass(DEAD);
    bench.look(Holder::Member(address(PEER)));
    bench.pass_hearing(DEAD * 8 - INTERVAL, PEER, report(NodeState::Backup));
    assert_eq!(bench.state(), NodeState::Backup);
}

#[test]
fn rule_7_boot_grace_waits_for_a_holder_that_may_be_booting_too() {
    let booting = Params { host_up: Time::from_millis(3_590_000), ..params() };
    let mut bench = Bench::with(booting, None);
    bench.pass(DEAD);
    let began = bench.now;
    bench.look(Holder::Member(address(PEER)));
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.transitions.last().unwrap().at, began + rules::BOOT_GRACE);
}

#[test]
fn a_foreign_or_unknown_holder_is_left_alone_for_ever() {
    for holder in [Holder::Foreign(DropletId(4711)), Holder::Unknown] {
        let mut bench = Bench::new();
        bench.pass(DEAD);
        for _ in 0..200 {
            bench.look(holder);
            bench.pass(Duration::from_secs(2));
        }
        assert_eq!(bench.state(), NodeState::Backup, "{holder:?}");
    }
}

#[test]
fn rule_8_a_deposed_node_waits_for_its_chance_and_twice_as_long_after_it() {
    let mut bench = Bench::master();
    bench.pass(DEAD * 2);
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.look(Holder::Member(address(PEER)));
    let by = DeposedBy::Member(address(PEER));
    assert_eq!((bench.state(), bench.reason()), (NodeState::Backup, Reason::Deposed { by }));
    let deposed = bench.now;
    bench.claim(|report| report.state = ClaimState::Idle);
    bench.pass(evidence::CHANCE * 2);
    let taken = bench.transitions.last().unwrap();
    assert_eq!((&taken.reason, taken.at), (&Reason::Chance { by }, deposed + evidence::CHANCE));
    assert!(bench.election.base.contains(address(PEER)));
    bench.claim(|report| {
        report.state = ClaimState::Lost;
        report.ever_sent = true;
    });
    bench.look(Holder::Member(address(PEER)));
    let again = bench.now;
    bench.claim(|report| *report = ClaimReport { proof: report.proof, ..ClaimReport::default() });
    bench.pass(evidence::CHANCE * 4);
    assert_eq!(bench.transitions.last().unwrap().at, again + evidence::CHANCE * 2);
}

#[test]
fn rule_8_only_news_of_the_deposer_ends_it() {
    let memory = Memory {
        term: Term(3),
        deposed: Some((DeposedBy::Member(address(PEER)), 0)),
        had_held_or_sent: true,
        ..Memory::default()
    };
    let mut bench = Bench::with(params(), Some(memory.clone()));
    bench.pass(DEAD * 2);
    bench.hear_from(THIRD, true, report(NodeState::Backup));
    assert_eq!(bench.election.view(bench.now).deposed, Some(DeposedBy::Member(address(PEER))));
    bench.hear(report(NodeState::Backup));
    assert_eq!(bench.election.view(bench.now).deposed, None);
    let mut bench = Bench::with(params(), Some(memory));
    bench.pass(DEAD * 2);
    bench.look(Holder::Nobody);
    assert_eq!(bench.election.view(bench.now).deposed, None);
}

#[test]
fn rule_8_a_peers_first_hand_word_of_a_deposer_keeps_back_but_is_not_passed_on() {
    let mut bench = Bench::backup();
    let deposed_by = Some(DeposedBy::Member(address(77)));
    bench.pass_hearing(DEAD * 3, THIRD, GroupReport { deposed_by, ..report(NodeState::Backup) });
    assert_eq!(bench.state(), NodeState::Backup);
    assert_eq!(bench.election.report(bench.now).deposed_by, None);
}

#[test]
fn rule_7_the_skew_counts_from_the_first_answer_and_not_from_each() {
    let mut bench = Bench::with(Params { interval: Duration::from_secs(5), ..params() }, None);
    let better = GroupReport { priority: Priority::new(200).unwrap(), ..report(NodeState::Backup) };
    bench.pass_hearing(Duration::from_secs(15), THIRD, better);
    for _ in 0..20 {
        bench.look(Holder::Nobody);
        bench.pass_hearing(Duration::from_secs(2), THIRD, better);
    }
    assert_eq!(bench.reason(), Reason::Masterless { holder: Holder::Nobody });
}

#[test]
fn rule_8_chances_double_though_the_address_was_held_in_between() {
    let mut bench = Bench::master();
    bench.pass(DEAD * 2);
    let by = DeposedBy::Member(address(PEER));
    let depose = |bench: &mut Bench| {
        bench.claim(|report| (report.state, report.ever_sent) = (ClaimState::Lost, true));
        bench.look(Holder::Member(address(PEER)));
        assert_eq!(bench.reason(), Reason::Deposed { by });
        bench.claim(|report| *report = ClaimReport { proof: report.proof, ..ClaimReport::default() });
        bench.now
    };
    for doublings in 0..3 {
        let deposed = depose(&mut bench);
        bench.pass(evidence::CHANCE * 10);
        let taken = bench.transitions.last().unwrap();
        assert_eq!((&taken.reason, taken.at), (&Reason::Chance { by }, deposed + evidence::CHANCE * (1 << doublings)));
        bench.hold();
        assert_eq!(bench.election.view(bench.now).deposed, None, "it is here");
        bench.pass(Duration::from_secs(1));
    }
    // The way between them is whole again.
    bench.hear(holding());
    bench.pass(DEAD * 2);
    depose(&mut bench);
    bench.pass(Duration::from_millis(1));
    bench.hear(report(NodeState::Backup));
    assert_eq!(bench.election.memory().deposed, None);
    assert_eq!(bench.election.chances, 0);
}

#[test]
fn rule_8_a_peers_word_keeps_back_until_its_chance_and_not_against_the_truth() {
    let deposed_by = Some(DeposedBy::Member(address(77)));
    let sick = GroupReport { deposed_by, candidate: false, ..report(NodeState::Fault) };
    let mut bench = Bench::backup();
    bench.pass_hearing(evidence::CHANCE, THIRD, sick);
    assert_eq!(bench.state(), NodeState::Backup);
    bench.pass_hearing(DEAD * 2, THIRD, sick);
    assert_eq!(bench.reason(), Reason::Chance { by: DeposedBy::Member(address(77)) });
    let mut bench = Bench::backup();
    bench.pass_hearing(DEAD * 2, THIRD, sick);
    assert_eq!(bench.state(), NodeState::Backup);
    bench.look(Holder::Nobody);
    assert_eq!(bench.reason(), Reason::Silent { master: address(PEER) });
}

#[test]
fn rule_8_only_a_master_that_has_or_fetches_the_address_ends_had_held() {
    let mut bench = Bench::with(params(), Some(Memory { had_held_or_sent: true, ..Memory::default() }));
    bench.pass_hearing(DEAD * 2, PEER, report(NodeState::Master));
    assert!(bench.election.memory().had_held_or_sent);
    // It steps down; the address is at one whom nobody hears.
    bench.pass_hearing(INTERVAL, PEER, report(NodeState::Backup));
    bench.pass(Duration::from_millis(1));
    bench.look(Holder::Member(address(77)));
    assert_eq!(bench.election.report(bench.now).deposed_by, Some(DeposedBy::Member(address(77))));
    for fetches in [holding(), GroupReport { sent: true, ..report(NodeState::Master) }] {
        let mut bench = Bench::with(params(), Some(Memory { had_held_or_sent: true, ..Memory::default() }));
        bench.pass_hearing(DEAD * 2, PEER, fetches);
        assert!(!bench.election.memory().had_held_or_sent);
    }
}
