//! Rules 1 to 4: what is heard and whom it makes a backup follow.

use super::*;

#[test]
fn rule_1_a_gap_ends_a_mastership_and_keeps_the_term() {
    let mut bench = Bench::master();
    let term = bench.election.term;
    bench.input(Input::Gap { length: DEAD * 2 });
    assert_eq!((bench.state(), bench.election.term), (NodeState::Init, term));
    assert!(bench.election.memory().had_held_or_sent);
}

#[test]
fn rule_2_a_word_without_echo_hinders_and_causes_nothing() {
    // It keeps from taking over ...
    let mut bench = Bench::backup();
    for _ in 0..20 {
        bench.hear_from(PEER, false, holding());
        bench.pass(INTERVAL);
    }
    assert_eq!(bench.state(), NodeState::Backup);
    // ... but neither offers, nor resigns, nor wins a duel.
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Drain, began_ago: Duration::ZERO });
    bench.hear_from(PEER, false, GroupReport { offer, ..holding() });
    assert_eq!(bench.state(), NodeState::Backup);
    let mut bench = Bench::master();
    bench.hear_from(PEER, false, GroupReport { term: Term(90), sent: true, ..report(NodeState::Master) });
    assert_eq!(bench.state(), NodeState::Master);
}

#[test]
fn rule_2_a_peers_word_of_a_master_counts_as_hearing_it() {
    let mut bench = Bench::backup();
    let follows = Some(Follows { master: address(PEER), heard_ago: Duration::from_millis(100) });
    bench.pass_hearing(DEAD * 4, THIRD, GroupReport { follows, ..report(NodeState::Backup) });
    assert_eq!(bench.state(), NodeState::Backup);
    // The word ages: what the peer heard too long ago is no hearing.
    let stale = Some(Follows { master: address(PEER), heard_ago: DEAD });
    bench.pass_hearing(DEAD * 2, THIRD, GroupReport { follows: stale, ..report(NodeState::Backup) });
    assert_eq!(bench.state(), NodeState::Master);
}

#[test]
fn rule_3_init_from_the_master_is_presence_for_its_own_d_only() {
    let mut bench = Bench::backup();
    let restarting = GroupReport { takeover_ago: None, ..report(NodeState::Init) };
    bench.pass_hearing(DEAD, PEER, restarting);
    assert_eq!(bench.state(), NodeState::Backup);
    bench.hear(holding());
    assert_eq!(bench.state(), NodeState::Backup);
    // One that restarts again and again is no master.
    bench.pass_hearing(DEAD * 5, PEER, restarting);
    assert_eq!(bench.state(), NodeState::Master);
}

#[test]
fn rule_3_another_master_heard_is_no_vacancy() {
    let mut bench = Bench::backup();
    bench.hear_from(THIRD, true, GroupReport { term: Term(7), ..report(NodeState::Master) });
    bench.hear(GroupReport { takeover_ago: None, ..report(NodeState::Backup) });
    bench.pass_hearing(DEAD * 3, THIRD, GroupReport { term: Term(7), ..holding() });
    assert_eq!(bench.state(), NodeState::Backup);
    assert_eq!(bench.election.view(bench.now).master, Some(address(THIRD)));
}

#[test]
fn rule_4_a_silent_master_is_asked_every_fifth_of_the_interval() {
    let mut bench = Bench::backup();
    let heard = bench.election.peer(address(PEER)).unwrap().heard_at().unwrap();
    bench.asked.clear();
    bench.pass(DEAD - INTERVAL);
    assert_eq!(bench.asked[0], heard + Duration::from_millis(550));
    assert!(bench.asked.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL / 5), "{:?}", bench.asked);
}

#[test]
fn rule_4_waking_late_leaves_no_deadline_behind() {
    let mut bench = Bench::fault();
    bench.pass(DEAD * 3);
    bench.now += DEAD * 2;
    bench.drain();
    assert!(bench.election.next_deadline().is_none_or(|due| due > bench.now));
    // A master that only others hear was never heard here, or long ago.
    let mut bench = Bench::new();
    let follows = Some(Follows { master: address(PEER), heard_ago: Duration::from_millis(100) });
    bench.hear(report(NodeState::Backup));
    bench.pass_hearing(DEAD * 8, THIRD, report(NodeState::Backup));
    bench.hear_from(THIRD, true, GroupReport { follows, ..report(NodeState::Backup) });
    assert_eq!(bench.election.view(bench.now).master, Some(address(PEER)));
    assert!(bench.election.next_deadline().is_none_or(|due| due > bench.now));
}

#[test]
fn rule_2_the_silence_of_a_master_that_others_heard_ends_on_time() {
    let mut bench = Bench::backup();
    bench.pass(DEAD - INTERVAL - Duration::from_millis(1));
    let heard_ago = Duration::from_millis(200);
    let follows = Some(Follows { master: address(PEER), heard_ago });
    let lower = Priority::new(1).unwrap();
    bench.hear_from(THIRD, true, GroupReport { follows, priority: lower, ..report(NodeState::Backup) });
    let heard = bench.now.before(heard_ago);
    bench.pass(DEAD * 2);
    assert_eq!(bench.transitions.last().unwrap().at, heard + DEAD);
}

#[test]
fn a_host_whose_datagrams_cannot_be_used_is_not_silent() {
    let peer = address(PEER);
    for babble in [Input::WrongKey { peer }, Input::OwnName { peer }, Input::Unreadable { peer }] {
        let mut bench = Bench::new();
        bench.pass(DEAD);
        for _ in 0..100 {
            bench.input(babble.clone());
            bench.look(Holder::Member(peer));
            bench.pass(INTERVAL);
        }
        assert_eq!(bench.state(), NodeState::Backup, "{babble:?}");
        bench.look(Holder::Member(peer));
        bench.pass(DEAD * 5);
        assert_eq!(bench.state(), NodeState::Master, "{babble:?}: it is silent now");
    }
}
