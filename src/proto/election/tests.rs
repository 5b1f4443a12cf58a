//! The rules of one node by table and by name; many nodes together are `tests/sim`.

mod hearing;
mod mastership;
mod probing;
mod reload;
mod story;
mod taking_over;

use super::event::{Heard, ProbeOutcome, ProbeResult};
use super::*;
use crate::proto::claim::STALE_READ;
use crate::proto::claim::event::{Look, Source};
use crate::proto::heartbeat::{HandOver, Offer};
use crate::proto::ids::{DropletId, GroupId};

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
        probe: None,
    }
}

fn probe_result(begun: Time, ended: Time, outcome: ProbeOutcome) -> ProbeResult {
    ProbeResult { begun, ended, outcome }
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
    probing: Vec<(Time, bool)>,
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
            probing: Vec::new(),
        };
        bench.input(Input::Candidacy(Candidacy {
            healthy: true,
            priority: Priority::DEFAULT,
            because: None,
            since: None,
        }));
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
                Output::Probe { wanted } => self.probing.push((self.now, wanted)),
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
        // What contradicts the takeover is no stale read any more (rule 12).
        bench.pass(STALE_READ);
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
            since: None,
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
    let sick = Candidacy { healthy: false, priority: Priority::DEFAULT, because: None, since: None };
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Drain, began_ago: Duration::ZERO });
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
        ("unreadable", Input::Unreadable { peer: address(PEER) }),
        ("sick", Input::Candidacy(sick)),
        ("claim", Input::Claim(ClaimReport::default())),
        ("unreachable", Input::Reach { reachable: false }),
        ("probe", Input::Probe(probe_result(Time::ORIGIN, Time::ORIGIN, ProbeOutcome::Answered))),
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
    let table: [(&str, [NodeState; 5]); 19] = [
        ("heard master of a higher term", [Init, Backup, Fault, Backup, Backup]),
        ("heard offer to me", [Init, Master, Fault, Master, Backup]),
        ("heard leaving, I am named", [Init, Master, Fault, Master, Backup]),
        ("heard backup", [Init, Backup, Fault, Master, Backup]),
        ("port unreachable", [Init, Backup, Fault, Master, Backup]),
        ("wrong key", [Init, Backup, Fault, Master, Backup]),
        ("unreadable", [Init, Backup, Fault, Master, Backup]),
        ("sick", [Init, Fault, Fault, Master, Backup]),
        ("claim", [Init, Backup, Fault, Master, Backup]),
        ("unreachable", [Init, Backup, Fault, Master, Backup]),
        ("probe", [Init, Backup, Fault, Master, Backup]),
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
    bench.input(Input::Candidacy(Candidacy {
        healthy: false,
        priority: Priority::DEFAULT,
        because: None,
        since: None,
    }));
    bench.look(Holder::Mine);
    bench.pass(DEAD);
    assert_eq!(bench.state(), NodeState::Fault);
    bench.look(Holder::Mine);
    bench.pass(DEAD * 4 - Duration::from_millis(1));
    assert_eq!(bench.state(), NodeState::Fault);
    bench.pass(Duration::from_millis(1));
    assert_eq!((bench.state(), bench.reason()), (NodeState::Master, Reason::Holder));
}
