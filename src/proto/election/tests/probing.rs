//! Rule 9's probe in one node: when it is asked for, and what its results do.

use super::*;
use crate::proto::election::event::{Hindrance, ProbeEvidence};

const TIMEOUT: Duration = Duration::from_millis(500);
const MISSED: Duration = Duration::from_millis(550);
const STEP: Duration = Duration::from_millis(125);

impl Bench {
    fn probing() -> Self {
        let mut bench = Self::with(Params { probe: Some(TIMEOUT), ..params() }, None);
        bench.pass_hearing(DEAD + INTERVAL, PEER, holding());
        bench.hear(holding());
        assert_eq!(bench.state(), NodeState::Backup);
        bench.probing.clear();
        bench
    }

    fn probe(&mut self, begun: Time, outcome: ProbeOutcome) {
        self.input(Input::Probe(probe_result(begun, self.now, outcome)));
        self.drain();
    }

    /// Probes that fail at their time limit, one begun at each step; the API answers where `api`.
    fn pass_failing(&mut self, length: Duration, api: Option<Holder>) {
        let end = self.now + length;
        while self.now < end {
            self.pass(STEP);
            self.probe(self.now.before(TIMEOUT), ProbeOutcome::Failed);
            if let Some(holder) = api {
                self.look(holder);
            }
        }
    }

    fn hindrance(&self) -> Option<Hindrance> {
        self.election.view(self.now).waiting.map(|waiting| waiting.hindrance)
    }
}

const MEMBER: Holder = Holder::Member(Ipv4Addr::new(10, 0, 0, PEER));

#[test]
fn probes_begin_at_the_first_missed_heartbeat_and_end_with_the_next_one() {
    let mut bench = Bench::probing();
    let heard = bench.now;
    bench.pass(DEAD - Duration::from_millis(1));
    assert_eq!(bench.probing, [(heard + MISSED, true)]);
    bench.hear(holding());
    assert_eq!(bench.probing[1..], [(bench.now, false)]);
    assert_eq!(bench.election.view(bench.now).probe, None);
    // Without a probe in the configuration nothing is asked.
    let mut without = Bench::backup();
    without.pass(DEAD * 2);
    assert!(without.probing.is_empty());
}

#[test]
fn probes_begin_at_once_where_nobody_is_followed_and_not_for_what_is_no_candidate() {
    let mut bench = Bench::with(Params { probe: Some(TIMEOUT), ..params() }, None);
    bench.pass(DEAD);
    assert_eq!(bench.reason(), Reason::Listened { master: None });
    assert_eq!(bench.probing, [(bench.now, true)]);
    bench.command(Command::Drain);
    assert_eq!(bench.probing[1..], [(bench.now, false)]);
}

#[test]
fn a_dead_master_is_replaced_after_d_when_the_probes_have_failed_and_the_api_answers() {
    let mut bench = Bench::probing();
    let heard = bench.now;
    bench.pass(MISSED + TIMEOUT - STEP);
    bench.pass_failing(DEAD - MISSED - TIMEOUT + STEP, Some(MEMBER));
    let taken = bench.transitions.last().unwrap();
    assert_eq!(taken.reason, Reason::Silent { master: address(PEER) });
    assert_eq!(taken.at, heard + DEAD);
    let probe = ProbeEvidence { answered: None, failing_since: Some(heard + MISSED) };
    assert_eq!(taken.evidence.probe, Some(probe));
    assert_eq!(bench.probing.last(), Some(&(taken.at, false)));
}

#[test]
fn a_probe_that_fails_wants_the_apis_word_and_without_it_nothing_moves() {
    let mut bench = Bench::probing();
    bench.pass(MISSED + TIMEOUT - STEP);
    assert_eq!(bench.intents.last(), Some(&Intent::Warm));
    bench.pass_failing(STEP, None);
    assert_eq!(bench.intents.last(), Some(&Intent::Watch));
    bench.pass_failing(DEAD * 4, None);
    assert_eq!(bench.state(), NodeState::Backup);
    assert!(matches!(bench.hindrance(), Some(Hindrance::ProbeWithoutUplink { failing_since: Some(_) })));
    bench.input(Input::Reach { reachable: false });
    bench.pass_failing(STEP, None);
    assert_eq!(bench.state(), NodeState::Backup);
    // It answers: a service that lives would answer a moment later.
    bench.look(MEMBER);
    let answered = bench.now;
    bench.pass_failing(probe::WOULD_ANSWER, None);
    assert_eq!(bench.transitions.last().unwrap().at, answered + probe::WOULD_ANSWER);
    assert_eq!(bench.state(), NodeState::Master);
}

#[test]
fn an_answer_defers_the_takeover_for_as_long_as_it_comes_and_no_longer() {
    let mut bench = Bench::probing();
    bench.pass(MISSED);
    for _ in 0..200 {
        bench.pass(STEP);
        bench.probe(bench.now.before(Duration::from_millis(5)), ProbeOutcome::Answered);
        bench.look(MEMBER);
    }
    assert_eq!(bench.state(), NodeState::Backup);
    assert_eq!(bench.hindrance(), Some(Hindrance::ProbeAnswers { answered: Some(bench.now) }));
    let died = bench.now;
    bench.pass(TIMEOUT);
    bench.pass_failing(Duration::from_secs(1), Some(MEMBER));
    let taken = bench.transitions.last().unwrap();
    assert_eq!(taken.reason, Reason::Silent { master: address(PEER) });
    assert!(taken.at - died >= probe::FAILING && taken.at - died <= TIMEOUT + STEP * 3, "{:?}", taken.at - died);
}

#[test]
fn results_from_before_the_silence_a_lateness_or_a_gap_and_those_that_never_come_move_nothing() {
    let mut bench = Bench::probing();
    let before = bench.now;
    bench.pass(DEAD * 4);
    for _ in 0..10 {
        bench.probe(before, ProbeOutcome::Failed);
        bench.look(MEMBER);
        bench.pass(STEP);
    }
    assert_eq!(bench.hindrance(), Some(Hindrance::ProbeIncomplete { failing_since: None }));
    // All that was under way when this node stood still.
    let under_way = bench.now;
    bench.pass(TIMEOUT);
    bench.input(Input::Late);
    bench.probe(under_way, ProbeOutcome::Failed);
    bench.look(MEMBER);
    bench.pass(DEAD);
    assert_eq!(bench.hindrance(), Some(Hindrance::ProbeIncomplete { failing_since: None }));
    bench.input(Input::Gap { length: DEAD * 2 });
    assert_eq!(bench.probing.last(), Some(&(bench.now, false)));
    let under_way = bench.now;
    bench.pass(DEAD);
    for _ in 0..10 {
        bench.probe(under_way, ProbeOutcome::Failed);
        bench.look(MEMBER);
        bench.pass(STEP);
    }
    bench.pass(DEAD * 8);
    assert_eq!(bench.state(), NodeState::Backup, "{:?}", bench.hindrance());
}

#[test]
fn a_master_that_was_heard_again_has_its_failures_forgiven() {
    let mut bench = Bench::probing();
    bench.pass(MISSED + TIMEOUT);
    bench.pass_failing(STEP * 2, Some(MEMBER));
    assert!(bench.election.view(bench.now).probe.unwrap().failing_since.is_some());
    bench.hear(holding());
    let heard = bench.now;
    bench.pass(MISSED);
    assert_eq!(bench.election.view(bench.now).probe, Some(ProbeEvidence::default()));
    bench.pass(TIMEOUT);
    bench.pass_failing(DEAD, Some(MEMBER));
    let taken = bench.transitions.last().unwrap();
    assert!(taken.evidence.probe.unwrap().failing_since >= Some(heard + MISSED));
}

#[test]
fn offers_resignations_nobody_and_the_own_address_need_no_probe() {
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Drain, began_ago: Duration::ZERO });
    let named = Some(crate::proto::heartbeat::Leaving { successor: Some(address(OWN)) });
    for report in [GroupReport { offer, ..holding() }, GroupReport { leaving: named, ..holding() }] {
        let mut bench = Bench::probing();
        bench.pass(Duration::from_millis(1));
        bench.hear(report);
        assert_eq!(bench.state(), NodeState::Master);
    }
    for holder in [Holder::Nobody, Holder::Mine] {
        let mut bench = Bench::probing();
        bench.pass(MISSED);
        bench.look(holder);
        bench.pass(DEAD);
        assert_eq!(bench.state(), NodeState::Master, "{holder:?}");
    }
}

#[test]
fn rule_8_with_a_probe_the_chance_comes_after_25_s_of_failure_while_the_api_answers_and_doubles() {
    let mut bench = Bench::with(Params { probe: Some(TIMEOUT), ..params() }, None);
    bench.look(Holder::Mine);
    bench.pass(DEAD + STALE_READ);
    bench.hold();
    bench.pass(DEAD * 2);
    let by = DeposedBy::Member(address(PEER));
    let mut first = probe::CHANCE;
    for _ in 0..2 {
        bench.claim(|report| (report.state, report.ever_sent) = (ClaimState::Lost, true));
        bench.look(MEMBER);
        assert_eq!(bench.reason(), Reason::Deposed { by });
        let deposed = bench.now;
        bench.claim(|report| *report = ClaimReport { proof: report.proof, ..ClaimReport::default() });
        // While the API does not answer nothing counts.
        bench.pass_failing(Duration::from_secs(20), None);
        let back = bench.now;
        bench.pass_failing(first * 2, Some(MEMBER));
        let taken = bench.transitions.last().unwrap();
        assert_eq!(taken.reason, Reason::Chance { by });
        let waited = taken.at - back;
        assert!(waited >= first && waited <= first + STEP * 2, "{waited:?} after {:?}", back - deposed);
        first *= 2;
    }
}

#[test]
fn other_settings_begin_the_evidence_anew_and_a_probe_that_is_taken_away_defers_nothing_any_more() {
    let mut bench = Bench::probing();
    bench.pass(MISSED + TIMEOUT - STEP);
    bench.pass_failing(STEP * 3, Some(MEMBER));
    bench.input(Input::Params(Params { probe: Some(TIMEOUT * 2), ..params() }));
    bench.drain();
    assert_eq!(bench.election.view(bench.now).probe, Some(ProbeEvidence::default()));
    assert_eq!(bench.probing.len(), 1, "they go on");
    bench.pass(DEAD * 4);
    assert_eq!(bench.state(), NodeState::Backup);
    bench.input(Input::Params(params()));
    bench.drain();
    assert_eq!(bench.probing.last(), Some(&(bench.now, false)));
    let removed = bench.now;
    bench.pass(DEAD * 2);
    let taken = bench.transitions.last().unwrap();
    assert_eq!(taken.reason, Reason::Silent { master: address(PEER) });
    assert_eq!(taken.at, removed + DEAD, "not by the settings alone: the silence begins anew");
}

#[test]
fn a_probe_that_is_taken_away_from_a_deposed_node_begins_its_chance_anew() {
    let by = DeposedBy::Member(address(PEER));
    let mut own = Bench::with(Params { probe: Some(TIMEOUT), ..params() }, None);
    own.look(Holder::Mine);
    own.pass(DEAD + STALE_READ);
    own.hold();
    own.claim(|report| report.state = ClaimState::Lost);
    own.look(MEMBER);
    own.claim(|report| *report = ClaimReport { proof: report.proof, ..ClaimReport::default() });
    assert_eq!(own.reason(), Reason::Deposed { by });
    // The same by a peer's word.
    let told = report(NodeState::Backup);
    let told = GroupReport { deposed_by: Some(DeposedBy::Member(address(PEER))), candidate: false, ..told };
    let mut word = Bench::with(Params { probe: Some(TIMEOUT), ..params() }, None);
    let hears = |bench: &mut Bench, length: Duration| {
        let end = bench.now + length;
        while bench.now < end {
            bench.pass(STEP);
            bench.hear_from(THIRD, true, told);
            bench.probe(bench.now.before(Duration::from_millis(5)), ProbeOutcome::Answered);
            bench.look(MEMBER);
        }
    };
    for bench in [&mut own, &mut word] {
        // It serves, for an hour.
        hears(bench, Duration::from_secs(3_600));
        assert_eq!(bench.hindrance(), Some(Hindrance::Deposed { by, by_word: bench.election.deposed.is_none() }));
        bench.input(Input::Params(params()));
        let removed = bench.now;
        hears(bench, evidence::CHANCE - STEP);
        assert_eq!(bench.state(), NodeState::Backup, "an hour's silence was no chance");
        hears(bench, DEAD * 2);
        let taken = bench.transitions.last().unwrap();
        assert_eq!(taken.reason, Reason::Chance { by });
        assert!(taken.at >= removed + evidence::CHANCE);
    }
}

/// Rule 2: "I am no candidate" needs no probe where it is said to this run of this node. A recording of it
/// is no witness against a service that answers.
#[test]
fn an_unechoed_no_candidate_saves_no_probe() {
    for (echoed, taken) in [(true, NodeState::Master), (false, NodeState::Backup)] {
        let mut bench = Bench::with(Params { probe: Some(TIMEOUT), ..params() }, None);
        bench.pass(DEAD);
        for _ in 0..100 {
            bench.pass(STEP);
            bench.hear_from(PEER, echoed, report(NodeState::Fault));
            bench.probe(bench.now.before(Duration::from_millis(5)), ProbeOutcome::Answered);
            bench.look(MEMBER);
        }
        assert_eq!(bench.state(), taken, "echoed {echoed}: {:?}", bench.hindrance());
    }
}

#[test]
fn an_unechoed_accused_does_not_refute_the_word_of_the_deposed() {
    for (echoed, heeds) in [(true, false), (false, true)] {
        let mut bench = Bench::with(params(), None);
        bench.pass(DEAD);
        let told = GroupReport { deposed_by: Some(DeposedBy::Member(address(PEER))), ..report(NodeState::Backup) };
        for _ in 0..20 {
            bench.pass(STEP);
            bench.hear_from(PEER, echoed, report(NodeState::Backup));
            bench.hear_from(THIRD, true, told);
            bench.look(MEMBER);
        }
        let by = DeposedBy::Member(address(PEER));
        let heeded = bench.hindrance() == Some(Hindrance::Deposed { by, by_word: true });
        assert_eq!(heeded, heeds, "echoed {echoed}: {:?}", bench.hindrance());
    }
}
