//! The rules of one node by table and by name; many nodes together are `tests/sim`.

use super::event::Heard;
use super::*;
use crate::proto::heartbeat::{HandOver, Offer};
use crate::proto::ids::GroupId;

const INTERVAL: Duration = Duration::from_millis(500);
const DEAD: Duration = Duration::from_millis(1_500);

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

/// This node is 10.0.0.2 unless a test says otherwise; the peer 10.0.0.9 goes first by address.
const OWN: u8 = 2;
const PEER: u8 = 9;
const THIRD: u8 = 5;

fn params() -> Params {
    Params {
        group: GroupId(1),
        settings: 0,
        own: address(OWN),
        interval: INTERVAL,
        preempt: false,
        preempt_delay: Duration::from_secs(60),
        claim_timeout: Duration::from_secs(60),
        readiness_interval: Duration::from_secs(300),
        host_up: Time::ORIGIN,
    }
}

fn report(state: NodeState) -> GroupReport {
    GroupReport {
        group: GroupId(1),
        settings: 0,
        state,
        candidate: matches!(state, NodeState::Backup | NodeState::Master),
        priority: Priority::DEFAULT,
        term: Term(4),
        claim: ClaimState::Idle,
        takeover_ago: (state == NodeState::Master).then_some(Duration::from_secs(100)),
        verified_ago: None,
        sent: false,
        base: Base::default(),
        readiness: Readiness { ready: true, proof_age: Some(Duration::from_secs(1)) },
        reach: true,
        follows: None,
        offer: None,
        wants: false,
        deposed_by: None,
        leaving: None,
    }
}

fn holding() -> GroupReport {
    GroupReport { claim: ClaimState::Held, verified_ago: Some(Duration::from_millis(200)), ..report(NodeState::Master) }
}

/// One node under test, with a clock and what it put out.
struct Bench {
    now: Time,
    election: Election,
    transitions: Vec<Transition>,
    asked: Vec<Time>,
    refusals: Vec<Refusal>,
    intents: Vec<Intent>,
    persisted: usize,
}

impl Bench {
    fn new() -> Self {
        Self::with(params(), None)
    }

    fn with(params: Params, memory: Option<Memory>) -> Self {
        // The host came up an hour ago: no boot grace unless a test asks for it.
        let now = Time::from_millis(3_600_000);
        let peers = [address(PEER), address(THIRD)];
        let mut bench = Self {
            now,
            election: Election::new(now, params, &peers, Priority::DEFAULT, memory),
            transitions: Vec::new(),
            asked: Vec::new(),
            refusals: Vec::new(),
            intents: Vec::new(),
            persisted: 0,
        };
        bench.input(Input::Candidacy(Candidacy { healthy: true, priority: Priority::DEFAULT, because: None }));
        bench.input(Input::Claim(ClaimReport { proof: Some(now), ..ClaimReport::default() }));
        bench.drain();
        bench
    }

    fn input(&mut self, input: Input) {
        self.election.handle(self.now, input);
        while let Some(output) = self.election.poll_output() {
            match output {
                Output::Transition(transition) => self.transitions.push(transition),
                Output::Ask { .. } => self.asked.push(self.now),
                Output::Answer { result: Err(refusal), .. } => self.refusals.push(refusal),
                Output::Intent(intent) => self.intents.push(intent),
                Output::Persist => self.persisted += 1,
                Output::Answer { result: Ok(()), .. } | Output::Advertise => {}
            }
        }
    }

    fn drain(&mut self) {
        self.input(Input::Drained);
    }

    /// A report arrives and is evaluated.
    fn hear_from(&mut self, peer: u8, echoed: bool, report: GroupReport) {
        self.input(Input::Heard(Heard { peer: address(peer), at: self.now, echoed, report }));
        self.drain();
    }

    fn hear(&mut self, report: GroupReport) {
        self.hear_from(PEER, true, report);
    }

    /// Time passes, with each deadline of the election kept, and nothing is heard.
    fn pass(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some(due) = self.election.next_deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.drain();
        }
        self.now = end;
        self.drain();
    }

    /// Time passes, and the peer says the same at each interval.
    fn pass_hearing(&mut self, length: Duration, peer: u8, report: GroupReport) {
        let end = self.now + length;
        while self.now < end {
            self.hear_from(peer, true, report);
            self.pass(INTERVAL.min(end - self.now));
        }
    }

    fn claim(&mut self, change: impl FnOnce(&mut ClaimReport)) {
        let mut report = self.election.claim.clone();
        change(&mut report);
        self.input(Input::Claim(report));
        self.drain();
    }

    fn look(&mut self, holder: Holder) {
        let look = Look { source: Source::Api, begun: self.now, ended: self.now, holder, settled: true };
        self.claim(|report| report.look = Some(look));
    }

    fn hold(&mut self) {
        let now = self.now;
        self.claim(|report| {
            report.state = ClaimState::Held;
            report.verified = Some(now);
            report.look =
                Some(Look { source: Source::Api, begun: now, ended: now, holder: Holder::Mine, settled: true });
        });
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
        self.drain();
    }

    fn state(&self) -> NodeState {
        self.election.state.kind()
    }

    fn reason(&self) -> Reason {
        self.election.reason.clone().unwrap()
    }

    fn backup() -> Self {
        let mut bench = Self::new();
        bench.pass_hearing(DEAD + INTERVAL, PEER, holding());
        assert_eq!(bench.state(), NodeState::Backup);
        bench
    }

    fn master() -> Self {
        let mut bench = Self::new();
        bench.look(Holder::Mine);
        bench.pass(DEAD);
        assert_eq!((bench.state(), bench.reason()), (NodeState::Master, Reason::Resume));
        bench.hold();
        bench.hear(report(NodeState::Backup));
        bench
    }

    fn fault() -> Self {
        let mut bench = Self::backup();
        bench.input(Input::Candidacy(Candidacy {
            healthy: false,
            priority: Priority::DEFAULT,
            because: Some("docker".into()),
        }));
        bench.drain();
        assert_eq!(bench.state(), NodeState::Fault);
        bench
    }

    fn left() -> Self {
        let mut bench = Self::master();
        bench.command(Command::Resign);
        bench
    }
}

// --- the table -------------------------------------------------------------------------------

/// Every input, as it is put to a node that heard its peer just now.
fn inputs() -> Vec<(&'static str, Input)> {
    let heard = |report| {
        Input::Heard(Heard { peer: address(PEER), at: Time::from_millis(u64::MAX / 2_000_000), echoed: true, report })
    };
    let sick = Candidacy { healthy: false, priority: Priority::DEFAULT, because: None };
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Drain });
    let named = Some(Leaving { successor: Some(address(OWN)) });
    vec![
        (
            "heard master of a higher term",
            heard(GroupReport { term: Term(90), sent: true, ..report(NodeState::Master) }),
        ),
        ("heard offer to me", heard(GroupReport { offer, ..holding() })),
        ("heard leaving, I am named", heard(GroupReport { leaving: named, ..holding() })),
        ("heard backup", heard(report(NodeState::Backup))),
        ("port unreachable", Input::PortUnreachable { peer: address(PEER) }),
        ("wrong key", Input::WrongKey { peer: address(PEER) }),
        ("sick", Input::Candidacy(sick)),
        ("claim", Input::Claim(ClaimReport::default())),
        ("unreachable", Input::Reach { reachable: false }),
        ("drain", Input::Command(Command::Drain)),
        ("resume", Input::Command(Command::Resume)),
        ("failover", Input::Command(Command::Failover { to: None })),
        ("take", Input::Command(Command::Take { droplet: DropletId(1) })),
        ("resign", Input::Command(Command::Resign)),
        ("gap", Input::Gap { length: DEAD * 2 }),
        ("brain stale", Input::BrainStale),
        ("drained", Input::Drained),
    ]
}

#[test]
fn every_state_and_input_pair_leads_where_the_design_says() {
    use NodeState::{Backup, Fault, Init, Master};
    type Make = fn() -> Bench;
    let states: [(&str, Make); 5] = [
        ("Init", Bench::new),
        ("Backup", Bench::backup),
        ("Fault", Bench::fault),
        ("Master", Bench::master),
        ("Left", Bench::left),
    ];
    // The state after, in the order of `states`. `Left` shows as `Backup`.
    let table: [(&str, [NodeState; 5]); 17] = [
        ("heard master of a higher term", [Init, Backup, Fault, Backup, Backup]),
        ("heard offer to me", [Init, Master, Fault, Master, Backup]),
        ("heard leaving, I am named", [Init, Master, Fault, Master, Backup]),
        ("heard backup", [Init, Backup, Fault, Master, Backup]),
        ("port unreachable", [Init, Backup, Fault, Master, Backup]),
        ("wrong key", [Init, Backup, Fault, Master, Backup]),
        ("sick", [Init, Fault, Fault, Master, Backup]),
        ("claim", [Init, Backup, Fault, Master, Backup]),
        ("unreachable", [Init, Backup, Fault, Master, Backup]),
        ("drain", [Init, Fault, Fault, Master, Backup]),
        ("resume", [Init, Backup, Fault, Master, Backup]),
        ("failover", [Init, Backup, Fault, Master, Backup]),
        ("take", [Init, Backup, Fault, Master, Backup]),
        ("resign", [Backup, Backup, Backup, Backup, Backup]),
        ("gap", [Init, Init, Init, Init, Backup]),
        ("brain stale", [Backup, Backup, Backup, Backup, Backup]),
        ("drained", [Init, Backup, Fault, Master, Backup]),
    ];
    for (name, input) in inputs() {
        let (_, after) = table.iter().find(|(row, _)| *row == name).unwrap();
        for ((state, make), after) in states.iter().zip(after) {
            let mut bench = make();
            let input = match input.clone() {
                Input::Heard(heard) => Input::Heard(Heard { at: bench.now, ..heard }),
                other => other,
            };
            bench.input(input);
            bench.drain();
            assert_eq!(bench.state(), *after, "{state}, {name}: {:?}", bench.election.reason);
        }
    }
}

// --- Init ------------------------------------------------------------------------------------

#[test]
fn init_listens_for_d_and_follows_a_master_even_unechoed() {
    let mut bench = Bench::new();
    bench.pass(DEAD - INTERVAL);
    bench.hear_from(PEER, false, holding());
    assert_eq!(bench.state(), NodeState::Init);
    bench.pass(INTERVAL);
    assert_eq!(bench.reason(), Reason::Listened { master: Some(address(PEER)) });
    assert_eq!(bench.election.view(bench.now).master, Some(address(PEER)));
}

#[test]
fn init_resumes_where_the_address_is_without_a_write() {
    let bench = Bench::master();
    assert!(bench.intents.iter().all(|intent| match intent {
        Intent::Hold(hold) => hold.base == Base::default(),
        Intent::Watch => true,
        Intent::Yield | Intent::Warm => false,
    }));
}

#[test]
fn a_sick_node_does_not_resume_but_is_least_bad_after_4_d() {
    let mut bench = Bench::new();
    bench.input(Input::Candidacy(Candidacy { healthy: false, priority: Priority::DEFAULT, because: None }));
    bench.look(Holder::Mine);
    bench.pass(DEAD);
    assert_eq!(bench.state(), NodeState::Fault);
    bench.look(Holder::Mine);
    bench.pass(DEAD * 4 - Duration::from_millis(1));
    assert_eq!(bench.state(), NodeState::Fault);
    bench.pass(Duration::from_millis(1));
    assert_eq!((bench.state(), bench.reason()), (NodeState::Master, Reason::Holder));
}

// --- hearing ---------------------------------------------------------------------------------

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
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Drain });
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

// --- taking over -----------------------------------------------------------------------------

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
fn a_host_that_babbles_with_a_wrong_key_is_not_silent() {
    let mut bench = Bench::new();
    bench.pass(DEAD);
    for _ in 0..100 {
        bench.input(Input::WrongKey { peer: address(PEER) });
        bench.look(Holder::Member(address(PEER)));
        bench.pass(INTERVAL);
    }
    assert_eq!(bench.state(), NodeState::Backup);
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

// --- handing over ----------------------------------------------------------------------------

fn offered(bench: &Bench) -> Option<(Ipv4Addr, HandOver)> {
    bench.election.view(bench.now).offer
}

#[test]
fn rule_5_a_sick_master_offers_and_stays_until_it_hears_the_other() {
    let mut bench = Bench::master();
    bench.input(Input::Candidacy(Candidacy {
        healthy: false,
        priority: Priority::DEFAULT,
        because: Some("docker".into()),
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

// --- duels, preempt --------------------------------------------------------------------------

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
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Failover });
    bench.hear(GroupReport { offer, ..holding() });
    assert_eq!(bench.reason(), Reason::Offered { by: address(PEER), cause: HandOver::Failover });
    bench.hold();
    let asks = GroupReport { wants: true, ..report(NodeState::Backup) };
    bench.pass_hearing(SETTLED * 2, PEER, asks);
    assert_eq!(offered(&bench), None);
    bench.command(Command::Resume);
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Preempt)));
}

use listening::SETTLED;

// --- claims ----------------------------------------------------------------------------------

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
fn a_node_that_does_not_reach_the_api_offers_to_one_that_does() {
    let mut bench = Bench::master();
    bench.hear(GroupReport { reach: false, ..report(NodeState::Backup) });
    bench.input(Input::Reach { reachable: false });
    bench.drain();
    assert_eq!(offered(&bench), None);
    bench.hear(report(NodeState::Backup));
    assert_eq!(offered(&bench), Some((address(PEER), HandOver::Isolated)));
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
