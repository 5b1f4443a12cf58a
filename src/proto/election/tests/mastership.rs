//! Rules 5 and 10 to 14: what a master does with its mastership and its claim.

use super::super::listening::SETTLED;
use super::*;

fn offered(bench: &Bench) -> Option<(Ipv4Addr, HandOver)> {
    bench.election.view(bench.now).offer
}

#[test]
fn an_offer_tells_since_when_there_is_its_cause() {
    let mut bench = Bench::master();
    let since = Some(bench.now);
    bench.pass_hearing(Duration::from_millis(900), PEER, report(NodeState::Backup));
    bench.input(Input::Candidacy(Candidacy { healthy: false, priority: Priority::DEFAULT, because: None, since }));
    bench.drain();
    let told = |bench: &Bench| bench.election.report(bench.now).offer.map(|offer| offer.began_ago);
    assert_eq!(told(&bench), Some(Duration::from_millis(900)));

    let mut taker = Bench::backup();
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Fault, began_ago: Duration::from_millis(900) });
    taker.hear(GroupReport { offer, candidate: false, ..report(NodeState::Master) });
    assert_eq!(taker.state(), NodeState::Master);
    let since = taker.election.view(taker.now).evidence.offered_for;
    assert_eq!(since.map(|since| taker.now - since), Some(Duration::from_millis(900)));
}

#[test]
fn rule_5_a_sick_master_offers_and_stays_until_it_hears_the_other() {
    let mut bench = Bench::master();
    bench.input(Input::Candidacy(Candidacy {
        healthy: false,
        priority: Priority::DEFAULT,
        because: Some("docker".into()),
        since: Some(bench.now),
    }));
    bench.drain();
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Fault)));
    assert_eq!(bench.state(), NodeState::Master);
    let term = bench.election.term;
    bench.hear(GroupReport { term: term.next(), takeover_ago: Some(Duration::ZERO), ..report(NodeState::Master) });
    assert_eq!(bench.reason(), Reason::HandedOver { to: address(PEER), cause: HandOver::Fault });
    assert_eq!(bench.state(), NodeState::Fault);
}

#[test]
fn rule_5_an_offer_lapses_and_goes_to_the_next_and_back_after_3_s() {
    let mut bench = Bench::master();
    let wait = Duration::from_millis(10);
    let both = |bench: &mut Bench, length: Duration| {
        let end = bench.now + length;
        while bench.now < end {
            bench.hear_from(THIRD, true, report(NodeState::Backup));
            bench.hear(report(NodeState::Backup));
            bench.pass(wait);
        }
    };
    both(&mut bench, wait);
    bench.command(Command::Drain);
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Drain)));
    both(&mut bench, DEAD);
    assert_eq!(offered(&bench), Some((address(THIRD), HandOver::Drain)));
    both(&mut bench, DEAD);
    assert_eq!(offered(&bench), None);
    assert_eq!(bench.state(), NodeState::Master);
    both(&mut bench, DEAD + wait * 2);
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Drain)));
}

#[test]
fn rule_5_nobody_ready_means_least_bad_stays() {
    let mut bench = Bench::master();
    let readiness = Readiness { ready: false, proof_age: None };
    bench.hear(GroupReport { readiness, ..report(NodeState::Backup) });
    bench.command(Command::Drain);
    assert_eq!((offered(&bench), bench.state()), (None, NodeState::Master));
}

#[test]
fn rule_5_a_stopping_master_names_the_best_and_the_others_wait_for_it() {
    let mut bench = Bench::master();
    bench.command(Command::Resign);
    assert_eq!(bench.election.report(bench.now).leaving, Some(Leaving { successor: Some(address(PEER)) }));
    // The other side: not named, the successor is heard.
    let mut bench = Bench::backup();
    bench.hear_from(THIRD, true, report(NodeState::Backup));
    let leaving = Some(Leaving { successor: Some(address(THIRD)) });
    let heard = bench.election.peer(address(PEER)).unwrap().mastered_at.unwrap();
    bench.hear(GroupReport { leaving, candidate: false, ..report(NodeState::Backup) });
    bench.pass_hearing(
        DEAD * 4,
        THIRD,
        GroupReport { priority: Priority::new(1).unwrap(), ..report(NodeState::Backup) },
    );
    assert_eq!(bench.transitions.last().unwrap().reason, Reason::Silent { master: address(PEER) });
    assert_eq!(bench.transitions.last().unwrap().at, heard + DEAD * 2);
}

#[test]
fn rule_5_failover_refuses_what_would_not_work() {
    let mut bench = Bench::backup();
    bench.command(Command::Failover { to: None });
    let mut master = Bench::master();
    master.command(Command::Failover { to: Some(address(THIRD)) });
    master.hear(GroupReport { readiness: Readiness { ready: false, proof_age: None }, ..report(NodeState::Backup) });
    master.command(Command::Failover { to: Some(address(PEER)) });
    master.command(Command::Failover { to: None });
    assert_eq!(bench.refusals, [Refusal::NotMaster]);
    assert_eq!(
        master.refusals,
        [Refusal::NoCandidate(address(THIRD)), Refusal::NotReady(address(PEER)), Refusal::Nobody]
    );
    assert_eq!(offered(&master), None);
}

#[test]
fn rule_10_the_verified_holder_wins_and_takes_the_higher_term() {
    let mut bench = Bench::master();
    bench.pass(DEAD);
    bench.hold();
    let takeover_ago = Some(Duration::from_millis(300));
    bench.hear(GroupReport { term: Term(40), takeover_ago, ..report(NodeState::Master) });
    assert_eq!(bench.state(), NodeState::Master, "verified after the other's takeover");
    assert_eq!(bench.election.report(bench.now).term, Term(40));
    bench.hear(GroupReport { term: Term(41), takeover_ago, sent: true, ..report(NodeState::Master) });
    assert_eq!(bench.reason(), Reason::DuelLost { to: address(PEER) }, "its assign is on the way");
}

#[test]
fn rule_11_the_better_one_asks_after_the_delay_and_a_settled_master_offers() {
    let preempt = Params { preempt: true, ..params() };
    let mut bench = Bench::with(preempt, None);
    let lower = GroupReport { priority: Priority::new(50).unwrap(), ..holding() };
    bench.pass_hearing(DEAD + Duration::from_secs(59), PEER, lower);
    assert!(!bench.election.report(bench.now).wants);
    bench.pass_hearing(Duration::from_secs(2), PEER, lower);
    assert!(bench.election.report(bench.now).wants);
    // The master's side: only when it was held for 2 s.
    let mut master = Bench::master();
    let asks = GroupReport { wants: true, priority: Priority::new(200).unwrap(), ..report(NodeState::Backup) };
    master.hear(asks);
    assert_eq!(offered(&master), None);
    master.pass_hearing(SETTLED, PEER, asks);
    assert_eq!(offered(&master), Some((address(PEER), HandOver::Preempt)));
}

#[test]
fn rule_11_a_mastership_by_failover_is_protected_until_resume() {
    let mut bench = Bench::backup();
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Failover, began_ago: Duration::ZERO });
    bench.hear(GroupReport { offer, ..holding() });
    assert_eq!(bench.reason(), Reason::Offered { by: address(PEER), cause: HandOver::Failover });
    bench.hold();
    let asks = GroupReport { wants: true, priority: Priority::new(200).unwrap(), ..report(NodeState::Backup) };
    bench.pass_hearing(SETTLED * 2, PEER, asks);
    assert_eq!(offered(&bench), None);
    bench.command(Command::Resume);
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Preempt)));
}

#[test]
fn rule_12_a_hand_move_to_a_candidate_makes_it_master() {
    let mut bench = Bench::master();
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.look(Holder::Member(address(PEER)));
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::FollowTruth)));
}

#[test]
fn rule_12_a_hand_move_to_a_sick_node_is_claimed_back_once() {
    let mut bench = Bench::master();
    bench.hear(GroupReport { candidate: false, ..report(NodeState::Fault) });
    bench.intents.clear();
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.look(Holder::Member(address(PEER)));
    bench.drain();
    let issued: Vec<_> = bench
        .intents
        .iter()
        .filter(|intent| matches!(intent, Intent::Hold(hold) if hold.base.contains(address(PEER))))
        .collect();
    assert_eq!(issued.len(), 1, "{:?}", bench.intents);
}

#[test]
fn rule_13_a_foreign_holder_ends_the_mastership() {
    let mut bench = Bench::master();
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.look(Holder::Foreign(DropletId(4711)));
    assert_eq!(bench.reason(), Reason::Foreign { droplet: DropletId(4711) });
    bench.command(Command::Take { droplet: DropletId(1) });
    assert_eq!(bench.refusals, [Refusal::NotTheHolder(DropletId(1))]);
    bench.command(Command::Take { droplet: DropletId(4711) });
    assert_eq!(bench.reason(), Reason::Taken { droplet: DropletId(4711) });
    assert!(bench.election.base.allows(Holder::Foreign(DropletId(4711))));
}

#[test]
fn rule_13_a_loss_without_a_name_deposes_after_10_s() {
    let mut bench = Bench::master();
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.pass_hearing(Duration::from_millis(9_900), PEER, report(NodeState::Backup));
    assert_eq!(bench.state(), NodeState::Master);
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.reason(), Reason::Deposed { by: DeposedBy::Unknown });
}

#[test]
fn rule_14_a_failing_claim_is_offered_to_one_with_a_younger_proof() {
    let mut bench = Bench::master();
    let failing = bench.now;
    bench.claim(|report| {
        report.state = ClaimState::Failing;
        report.failing_since = Some(failing);
    });
    let old = Readiness { ready: true, proof_age: Some(Duration::from_secs(200)) };
    bench.pass_hearing(Duration::from_secs(61), PEER, GroupReport { readiness: old, ..report(NodeState::Backup) });
    assert_eq!(offered(&bench), None);
    bench.hear(report(NodeState::Backup));
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::ClaimFailing)));
    let term = bench.election.term.next();
    bench.hear(GroupReport { term, ..report(NodeState::Master) });
    assert_eq!(bench.state(), NodeState::Backup);
    assert!(!bench.election.report(bench.now).readiness.ready, "held down for claim_timeout");
}

#[test]
fn memory_survives_and_is_written_when_it_changes_only() {
    let mut bench = Bench::master();
    let persisted = bench.persisted;
    assert!(persisted > 0);
    bench.pass_hearing(Duration::from_secs(20), PEER, report(NodeState::Backup));
    assert_eq!(bench.persisted, persisted);
    let kept = bench.election.memory();
    let restarted = Election::new(bench.now, params(), &[address(PEER)], Priority::DEFAULT, Some(kept.clone()));
    assert_eq!(restarted.memory(), kept);
}

/// A mastership that is claiming from the peer that offered it, which is a backup again.
fn claiming() -> Bench {
    let mut bench = Bench::backup();
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Preempt, began_ago: Duration::ZERO });
    bench.hear(GroupReport { offer, ..holding() });
    bench.claim(|report| report.state = ClaimState::Claiming);
    bench.pass(Duration::from_millis(50));
    bench.hear(report(NodeState::Backup));
    assert_eq!(bench.state(), NodeState::Master);
    bench
}

#[test]
fn rule_5_only_the_master_that_is_followed_can_offer() {
    let mut bench = Bench::backup();
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Drain, began_ago: Duration::ZERO });
    bench.hear_from(THIRD, true, GroupReport { term: Term(3), offer, ..report(NodeState::Master) });
    assert_eq!(bench.state(), NodeState::Backup, "its term is lower than that of the master followed");
}

#[test]
fn rule_5_an_offer_or_a_goodbye_is_taken_once() {
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Drain, began_ago: Duration::ZERO });
    let named = Some(Leaving { successor: Some(address(OWN)) });
    let offers = GroupReport { offer, ..holding() };
    let leaves = GroupReport { leaving: named, candidate: false, ..report(NodeState::Backup) };
    for said in [offers, leaves] {
        let mut bench = Bench::backup();
        bench.hear(said);
        assert_eq!(bench.state(), NodeState::Master);
        bench.pass(Duration::from_millis(300));
        bench.look(Holder::Foreign(DropletId(4711)));
        bench.pass(Duration::from_millis(300));
        assert_eq!(bench.reason(), Reason::Foreign { droplet: DropletId(4711) });
    }
}

#[test]
fn rule_5_the_giver_yields_though_a_duel_has_raised_its_own_term() {
    let mut bench = Bench::master();
    bench.pass(DEAD);
    bench.hold();
    bench.hear(report(NodeState::Backup));
    let term = bench.election.term;
    bench.command(Command::Drain);
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Drain)));
    let takeover_ago = Some(Duration::from_millis(300));
    bench.hear_from(THIRD, true, GroupReport { term: Term(40), takeover_ago, ..report(NodeState::Master) });
    assert_eq!((bench.state(), bench.election.term), (NodeState::Master, Term(40)));
    bench.hear(GroupReport { term: term.next(), takeover_ago: Some(Duration::ZERO), ..report(NodeState::Master) });
    assert_eq!(bench.reason(), Reason::HandedOver { to: address(PEER), cause: HandOver::Drain });
}

#[test]
fn rule_5_a_failover_that_nobody_takes_is_forgotten() {
    let mut bench = Bench::master();
    bench.command(Command::Failover { to: Some(address(PEER)) });
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Failover)));
    for _ in 0..20 {
        bench.pass_hearing(INTERVAL, PEER, report(NodeState::Backup));
    }
    assert_eq!((offered(&bench), bench.state()), (None, NodeState::Master));
}

#[test]
fn rule_10_the_loser_follows_the_winner_by_the_higher_term() {
    let mut bench = Bench::backup();
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Drain, began_ago: Duration::ZERO });
    let offers = GroupReport { offer, term: Term(20), ..holding() };
    bench.hear(offers);
    assert_eq!(bench.election.term, Term(21));
    // A third one holds the address: it wins the duel, and a lower term is no reason to leave it again.
    bench.pass(Duration::from_millis(10));
    bench.hear_from(THIRD, true, GroupReport { term: Term(9), verified_ago: Some(Duration::ZERO), ..holding() });
    bench.pass(Duration::from_millis(10));
    bench.hear(offers);
    assert_eq!(bench.reason(), Reason::DuelLost { to: address(THIRD) });
    assert_eq!(bench.election.view(bench.now).master, Some(address(THIRD)));
}

#[test]
fn rule_11_the_master_offers_only_to_the_best_one_that_asks_and_is_above_it() {
    let asks =
        |priority| GroupReport { wants: true, priority: Priority::new(priority).unwrap(), ..report(NodeState::Backup) };
    let mut bench = Bench::master();
    bench.pass_hearing(SETTLED * 2, PEER, asks(100));
    assert_eq!(offered(&bench), None, "it does not know yet that this node has its priority back");
    let mut bench = Bench::master();
    bench.pass(SETTLED);
    bench.input(Input::Heard(Heard { peer: address(PEER), at: bench.now, echoed: true, report: asks(150) }));
    bench.hear_from(THIRD, true, asks(200));
    assert_eq!(offered(&bench), Some((address(THIRD), HandOver::Preempt)));
}

#[test]
fn rule_11_a_node_that_does_not_reach_the_api_asks_for_nothing() {
    let mut bench = Bench::with(Params { preempt: true, ..params() }, None);
    bench.input(Input::Reach { reachable: false });
    let lower = GroupReport { priority: Priority::new(50).unwrap(), ..holding() };
    bench.pass_hearing(Duration::from_secs(120), PEER, lower);
    assert!(!bench.election.report(bench.now).wants);
    assert!(!bench.election.report(bench.now).readiness.ready);
}

#[test]
fn rule_11_the_protection_ends_with_a_fault_and_outlives_a_restart() {
    let mut bench = Bench::backup();
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Failover, began_ago: Duration::ZERO });
    bench.hear(GroupReport { offer, ..holding() });
    bench.hold();
    let asks = GroupReport { wants: true, priority: Priority::new(200).unwrap(), ..report(NodeState::Backup) };
    let mut restarted = Bench::with(params(), Some(bench.election.memory()));
    restarted.look(Holder::Mine);
    restarted.pass(DEAD);
    assert_eq!(restarted.reason(), Reason::Resume);
    restarted.hold();
    restarted.pass_hearing(SETTLED * 2, PEER, asks);
    assert_eq!(offered(&restarted), None);
    let candidacy =
        |healthy| Input::Candidacy(Candidacy { healthy, priority: Priority::DEFAULT, because: None, since: None });
    bench.pass(DEAD);
    for healthy in [false, true] {
        bench.input(candidacy(healthy));
        bench.drain();
    }
    bench.pass_hearing(INTERVAL * 2, PEER, asks);
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Preempt)));
}

#[test]
fn rule_12_an_own_assign_under_way_is_waited_for() {
    let mut bench = claiming();
    bench.claim(|report| (report.sent, report.ever_sent) = (true, true));
    for holder in [Holder::Member(address(77)), Holder::Member(address(THIRD)), Holder::Foreign(DropletId(4711))] {
        bench.look(holder);
        assert_eq!((bench.state(), offered(&bench)), (NodeState::Master, None), "{holder:?}");
    }
    bench.claim(|report| report.sent = false);
    assert_eq!(bench.reason(), Reason::Foreign { droplet: DropletId(4711) });
}

#[test]
fn rule_12_a_locked_answer_is_none() {
    let mut bench = claiming();
    let now = bench.now;
    let holder = Holder::Member(address(77));
    let look = Look { source: Source::Api, begun: now, ended: now, holder, settled: false };
    bench.claim(|report| report.look = Some(look));
    assert_eq!(bench.state(), NodeState::Master);
    bench.claim(|report| report.look = Some(Look { settled: true, ..look }));
    assert_eq!(bench.reason(), Reason::Deposed { by: DeposedBy::Member(address(77)) });
}

#[test]
fn rule_12_a_stale_read_while_the_claim_is_held_is_no_loss() {
    let mut bench = Bench::master();
    bench.pass(DEAD * 2);
    // The old holder, which died: metadata lags, so the API is asked, and one of its answers is old.
    bench.look(Holder::Member(address(PEER)));
    assert_eq!((bench.state(), offered(&bench)), (NodeState::Master, None));
}

#[test]
fn rule_12_a_loss_uses_up_the_base() {
    let mut bench = claiming();
    assert!(bench.election.base.contains(address(PEER)));
    // It landed, was not verified, and is found at the old holder after S.
    bench.pass(STALE_READ);
    bench.hear(report(NodeState::Backup));
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.look(Holder::Member(address(PEER)));
    assert!(!bench.election.base.contains(address(PEER)));
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::FollowTruth)));
}

#[test]
fn rule_13_an_answer_from_before_the_loss_names_nobody() {
    let mut bench = claiming();
    // Looked before the assign: the old holder, which died meanwhile. Metadata verified the claim.
    bench.look(Holder::Member(address(PEER)));
    let old = bench.election.claim.look;
    bench.pass(DEAD * 2);
    let verified = bench.now;
    bench.claim(|report| (report.state, report.verified) = (ClaimState::Held, Some(verified)));
    bench.pass(Duration::from_secs(1));
    bench.claim(|report| (report.state, report.look) = (ClaimState::Lost, old));
    assert_eq!(bench.state(), NodeState::Master);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.reason(), Reason::Deposed { by: DeposedBy::Unknown });
}

#[test]
fn rule_13_the_truth_makes_a_master_that_does_not_hear_this_node_count() {
    let mut bench = Bench::master();
    bench.hear_from(THIRD, false, GroupReport { term: Term(2), ..report(NodeState::Master) });
    assert_eq!(bench.state(), NodeState::Master, "its word alone ends nothing");
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.look(Holder::Member(address(THIRD)));
    assert_eq!(bench.reason(), Reason::Superseded { by: address(THIRD) });
}

#[test]
fn rule_13_a_holder_whose_datagrams_nobody_can_read_deposes_and_is_not_robbed_while_it_sends() {
    let mut bench = Bench::master();
    bench.pass(DEAD * 2);
    bench.input(Input::WrongKey { peer: address(THIRD) });
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.look(Holder::Member(address(THIRD)));
    assert_eq!(bench.reason(), Reason::Deposed { by: DeposedBy::Member(address(THIRD)) });
    bench.claim(|report| report.state = ClaimState::Idle);
    let end = bench.now + evidence::CHANCE * 2;
    while bench.now < end {
        bench.input(Input::WrongKey { peer: address(THIRD) });
        bench.pass(INTERVAL);
    }
    assert_eq!(bench.state(), NodeState::Backup);
    bench.pass(DEAD);
    assert_eq!(bench.reason(), Reason::Chance { by: DeposedBy::Member(address(THIRD)) });
}

#[test]
fn what_was_said_of_an_earlier_hold_says_nothing_of_this_one() {
    let mut bench = Bench::master();
    bench.command(Command::Drain);
    let term = bench.election.term.next();
    bench.hear(GroupReport { term, ..report(NodeState::Master) });
    bench.command(Command::Resume);
    bench.pass(Duration::from_millis(10));
    // Back at once, while the reconciler has not even read that the address was let go.
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Fault, began_ago: Duration::ZERO });
    bench.hear(GroupReport { term, offer, ..report(NodeState::Master) });
    assert_eq!(bench.reason(), Reason::Offered { by: address(PEER), cause: HandOver::Fault });
    assert!(bench.election.base.contains(address(PEER)));
    assert_ne!(bench.election.report(bench.now).claim, ClaimState::Held);
    let stale = bench.now.before(DEAD);
    bench.claim(|report| (report.state, report.verified) = (ClaimState::Held, Some(stale)));
    assert!(bench.election.base.contains(address(PEER)));
}

#[test]
fn a_foreign_base_ends_with_the_mastership_that_it_was_given_to() {
    let mut bench = Bench::master();
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.look(Holder::Foreign(DropletId(4711)));
    bench.command(Command::Take { droplet: DropletId(4711) });
    bench.pass(Duration::from_millis(10));
    bench.look(Holder::Member(address(77)));
    assert_eq!(bench.reason(), Reason::Deposed { by: DeposedBy::Member(address(77)) });
    assert_eq!(bench.election.memory().base.foreign, None);
}

#[test]
fn rule_12_what_contradicts_a_takeover_by_the_truth_is_a_stale_read_for_s() {
    let mut bench = claiming();
    bench.hold();
    bench.pass(Duration::from_secs(1));
    bench.hear(report(NodeState::Backup));
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.look(Holder::Member(address(PEER)));
    assert_eq!((bench.state(), offered(&bench)), (NodeState::Master, None));
    bench.pass_hearing(STALE_READ, PEER, report(NodeState::Backup));
    bench.look(Holder::Member(address(PEER)));
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::FollowTruth)));
}

#[test]
fn a_lost_api_moves_nothing_and_a_lost_uplink_goes_to_one_that_was_answered_since() {
    let mut bench = Bench::master();
    bench.input(Input::Reach { reachable: false });
    bench.drain();
    // The other has not noticed yet: its own probe comes round later, its proof is old.
    let old = Readiness { ready: true, proof_age: Some(Duration::from_secs(200)) };
    bench.pass_hearing(Duration::from_secs(30), PEER, GroupReport { readiness: old, ..report(NodeState::Backup) });
    assert_eq!(offered(&bench), None);
    // What was lost for both comes back for each in its own time: first for the other.
    bench.hear(GroupReport { reach: false, ..report(NodeState::Backup) });
    assert_eq!(offered(&bench), None);
    bench.pass_hearing(Duration::from_millis(1_900), PEER, report(NodeState::Backup));
    assert_eq!(offered(&bench), None);
    bench.pass_hearing(Duration::from_millis(600), PEER, report(NodeState::Backup));
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Isolated)));

    let mut alone = Bench::master();
    alone.hear(report(NodeState::Backup));
    alone.input(Input::Reach { reachable: false });
    alone.pass_hearing(Duration::from_millis(4_000), PEER, report(NodeState::Backup));
    assert_eq!(offered(&alone), Some((address(PEER), HandOver::Isolated)), "the other never lost it");
}

#[test]
fn a_blip_of_the_api_moves_nothing_whoever_was_answered() {
    let mut bench = Bench::master();
    bench.input(Input::Reach { reachable: false });
    let fresh = Readiness { ready: true, proof_age: Some(Duration::ZERO) };
    bench.pass_hearing(
        Duration::from_millis(1_900),
        PEER,
        GroupReport { readiness: fresh, ..report(NodeState::Backup) },
    );
    assert_eq!(offered(&bench), None);
    bench.input(Input::Reach { reachable: true });
    bench.pass_hearing(Duration::from_secs(5), PEER, GroupReport { readiness: fresh, ..report(NodeState::Backup) });
    assert_eq!(offered(&bench), None);
}

#[test]
fn a_backup_gets_itself_a_proof_when_its_master_loses_the_api() {
    let mut bench = Bench::backup();
    bench.intents.clear();
    bench.hear(GroupReport { reach: false, ..holding() });
    assert_eq!(bench.intents, [Intent::Watch]);
}

#[test]
fn who_loses_a_duel_notes_the_winner_as_holder_at_once() {
    let mut bench = Bench::master();
    bench.claim(|report| report.state = ClaimState::Lost);
    bench.hear(GroupReport { term: Term(90), verified_ago: Some(Duration::ZERO), ..holding() });
    assert_eq!(bench.reason(), Reason::DuelLost { to: address(PEER) });
    let memory = bench.election.memory();
    assert_eq!(memory.base, [address(PEER)].into_iter().collect());
    assert!(!memory.had_held_or_sent, "somebody who is heard has it");
    let persisted = bench.persisted;
    bench.drain();
    assert_eq!((bench.persisted, bench.election.memory()), (persisted, memory));
}

#[test]
fn a_loss_without_a_name_deposes_nobody_who_hears_the_holder() {
    let mut bench = Bench::master();
    bench.claim(|report| (report.state, report.look) = (ClaimState::Lost, None));
    // An older mastership that holds: the duel is this node's by its term.
    let old = GroupReport { term: Term(0), verified_ago: Some(Duration::from_secs(60)), ..holding() };
    bench.pass_hearing(Duration::from_secs(11), PEER, old);
    let by = DeposedBy::Unknown;
    assert!(bench.transitions.iter().any(|transition| transition.reason == Reason::Deposed { by }));
    assert!(bench.transitions.len() > 1);
    assert_eq!(bench.election.memory().deposed, None);
}

/// A master that has failed for `claim_timeout` offers, and the answer is lost until the offer has lapsed.
#[test]
fn rule_14_a_giver_that_hears_of_the_taker_only_after_the_lapse_holds_back_as_well() {
    let preempt = Params { preempt: true, preempt_delay: Duration::ZERO, ..params() };
    let mut bench = Bench::with(preempt, None);
    let priority = Priority::new(150).unwrap();
    bench.input(Input::Candidacy(Candidacy { healthy: true, priority, because: None, since: None }));
    bench.pass(DEAD);
    bench.look(Holder::Nobody);
    bench.pass(DEAD * 2);
    assert_eq!(bench.state(), NodeState::Master);
    let failing = bench.now;
    bench.claim(|report| (report.state, report.failing_since) = (ClaimState::Failing, Some(failing)));
    let standby = |now: Time| GroupReport {
        readiness: Readiness { ready: true, proof_age: Some(now - now) },
        ..report(NodeState::Backup)
    };
    while bench.election.offer().is_none() {
        let now = bench.now;
        bench.pass_hearing(INTERVAL, PEER, standby(now));
    }
    assert_eq!(bench.election.offer(), Some((address(PEER), HandOver::ClaimFailing)));
    bench.pass(DEAD + INTERVAL);
    assert_eq!(bench.election.offer(), None);
    let taker = GroupReport { term: Term(90), ..holding() };
    bench.hear(taker);
    assert_eq!(bench.reason(), Reason::DuelLost { to: address(PEER) });
    let yielded = bench.now;
    bench.claim(|report| *report = ClaimReport { proof: Some(yielded), ..ClaimReport::default() });
    bench.pass_hearing(Duration::from_secs(59), PEER, taker);
    let told = bench.election.report(bench.now);
    assert!(!told.readiness.ready && !told.wants);
    bench.pass_hearing(Duration::from_secs(2), PEER, taker);
    let told = bench.election.report(bench.now);
    assert!(told.readiness.ready && told.wants);
}

#[test]
fn rule_8_only_an_echoed_word_of_the_one_that_deposed_ends_it() {
    let by = DeposedBy::Member(address(PEER));
    for echoed in [false, true] {
        let mut bench = Bench::master();
        bench.pass(DEAD * 2);
        bench.claim(|report| report.state = ClaimState::Lost);
        bench.look(Holder::Member(address(PEER)));
        assert_eq!(bench.reason(), Reason::Deposed { by });
        bench.claim(|report| *report = ClaimReport { look: report.look, ..ClaimReport::default() });
        bench.pass(INTERVAL);
        bench.hear_from(PEER, echoed, report(NodeState::Backup));
        assert_eq!(bench.election.memory().deposed.is_none(), echoed);
    }
}

/// An outage that the other one never noticed: the API has answered it, and will answer this node in a moment.
#[test]
fn an_api_that_has_just_come_back_for_the_other_is_given_time_to_come_back_here() {
    let mut bench = Bench::master();
    let standby = GroupReport {
        readiness: Readiness { ready: true, proof_age: Some(Duration::from_secs(60)) },
        ..report(NodeState::Backup)
    };
    bench.pass_hearing(Duration::from_secs(4), PEER, standby);
    bench.input(Input::Reach { reachable: false });
    bench.pass_hearing(Duration::from_secs(4), PEER, standby);
    let answered = GroupReport { readiness: Readiness { ready: true, proof_age: Some(Duration::ZERO) }, ..standby };
    bench.pass_hearing(Duration::from_millis(1_900), PEER, answered);
    assert_eq!(offered(&bench), None);
    bench.pass_hearing(Duration::from_millis(600), PEER, answered);
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Isolated)));
}
