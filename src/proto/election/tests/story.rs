//! Stories at random: what may happen to one node, in any order.

use proptest::prelude::*;

use super::*;
use crate::proto::heartbeat::{Follows, Leaving};

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Story {
    Hears { of: u8, echoed: bool, state: NodeState, priority: u8, term: u64, word: Word },
    Holds(u8),
    Health(bool, u8),
    Claim(ClaimState, Option<Holder>, bool),
    Reach(bool),
    Probe(ProbeOutcome),
    Command(Command),
    Late,
    Gap,
    Nothing,
}

/// What else a peer's report says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    Plain,
    OffersToMe,
    Leaves { names_me: bool },
    DeposedBy(DeposedBy),
    Follows(u8),
    NotReady,
    Wants,
}

pub(super) fn story() -> impl Strategy<Value = Story> {
    let peer = || prop_oneof![Just(PEER), Just(THIRD)];
    let state =
        prop_oneof![Just(NodeState::Init), Just(NodeState::Backup), Just(NodeState::Master), Just(NodeState::Fault)];
    let word = prop_oneof![
        6 => Just(Word::Plain),
        1 => Just(Word::OffersToMe),
        1 => any::<bool>().prop_map(|names_me| Word::Leaves { names_me }),
        1 => prop_oneof![Just(DeposedBy::Member(address(PEER))), Just(DeposedBy::Unknown)].prop_map(Word::DeposedBy),
        1 => peer().prop_map(Word::Follows),
        1 => Just(Word::NotReady),
        1 => Just(Word::Wants),
    ];
    let claim = prop_oneof![
        Just(ClaimState::Claiming),
        Just(ClaimState::Held),
        Just(ClaimState::Lost),
        Just(ClaimState::Failing)
    ];
    let holder = prop_oneof![
        2 => Just(Holder::Mine),
        1 => Just(Holder::Nobody),
        1 => Just(Holder::Unknown),
        1 => Just(Holder::Foreign(DropletId(9))),
        2 => Just(Holder::Member(address(PEER))),
        1 => Just(Holder::Member(address(THIRD))),
    ];
    let command = prop_oneof![
        Just(Command::Drain),
        Just(Command::Resume),
        Just(Command::Failover { to: None }),
        Just(Command::Failover { to: Some(address(PEER)) })
    ];
    let probe = prop_oneof![
        2 => Just(ProbeOutcome::Failed),
        1 => Just(ProbeOutcome::Answered),
        1 => Just(ProbeOutcome::CouldNotAsk)
    ];
    prop_oneof![
        8 => (peer(), prop::bool::weighted(0.8), state, 50_u8..150, 1_u64..9, word).prop_map(
            |(of, echoed, state, priority, term, word)| Story::Hears { of, echoed, state, priority, term, word }),
        3 => peer().prop_map(Story::Holds),
        1 => (any::<bool>(), 50_u8..150).prop_map(|(healthy, priority)| Story::Health(healthy, priority)),
        5 => (claim, prop::option::of(holder), any::<bool>())
            .prop_map(|(state, look, sent)| Story::Claim(state, look, sent)),
        1 => any::<bool>().prop_map(Story::Reach),
        3 => probe.prop_map(Story::Probe),
        1 => command.prop_map(Story::Command),
        1 => Just(Story::Late),
        1 => Just(Story::Gap),
        4 => Just(Story::Nothing),
    ]
}

fn spoken(report: GroupReport, word: Word) -> GroupReport {
    let offer = Some(Offer { to: address(OWN), cause: HandOver::Drain, began_ago: Duration::ZERO });
    match word {
        Word::Plain => report,
        Word::OffersToMe => GroupReport { offer, ..report },
        Word::Leaves { names_me } => {
            let leaving = Leaving { successor: Some(address(if names_me { OWN } else { THIRD })) };
            GroupReport { leaving: Some(leaving), ..report }
        }
        Word::DeposedBy(by) => GroupReport { deposed_by: Some(by), ..report },
        Word::Follows(master) => {
            let follows = Follows { master: address(master), heard_ago: Duration::from_millis(100) };
            GroupReport { follows: Some(follows), ..report }
        }
        Word::NotReady => GroupReport { readiness: Readiness { ready: false, proof_age: None }, ..report },
        Word::Wants => GroupReport { wants: true, ..report },
    }
}

/// It happens, and is not evaluated yet.
pub(super) fn tell(bench: &mut Bench, story: Story) {
    let now = bench.now;
    let hears = |peer, echoed, report| Input::Heard(Heard { peer: address(peer), at: now, echoed, report });
    bench.input(match story {
        Story::Hears { of, echoed, state, priority, term, word } => {
            let priority = Priority::new(i64::from(priority)).unwrap();
            hears(of, echoed, spoken(GroupReport { priority, term: Term(term), ..report(state) }, word))
        }
        Story::Holds(peer) => hears(peer, true, holding()),
        Story::Health(healthy, priority) => {
            let priority = Priority::new(i64::from(priority)).unwrap();
            Input::Candidacy(Candidacy { healthy, priority, because: None, since: None })
        }
        Story::Claim(state, look, sent) => Input::Claim(ClaimReport {
            state,
            sent,
            ever_sent: sent,
            proof: Some(now),
            verified: (state == ClaimState::Held).then_some(now),
            failing_since: (state == ClaimState::Failing).then_some(now),
            look: look.map(|holder| Look { source: Source::Api, begun: now, ended: now, holder, settled: true }),
            ..ClaimReport::default()
        }),
        Story::Reach(reachable) => Input::Reach { reachable },
        Story::Probe(outcome) => Input::Probe(probe_result(now.before(Duration::from_millis(100)), now, outcome)),
        Story::Command(command) => Input::Command(command),
        Story::Late => Input::Late,
        Story::Gap => Input::Gap { length: DEAD * 2 },
        Story::Nothing => Input::Drained,
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// A second evaluation at the same instant finds nothing left to do: what a transition makes of news
    /// that is known is told and kept with it, and not a heartbeat later.
    #[test]
    fn one_evaluation_settles_all_that_is_known(
        probe in any::<bool>(),
        preempt in any::<bool>(),
        stories in prop::collection::vec((story(), prop_oneof![Just(0_u64), 0..700_u64, 0..3_000_u64, 0..12_000_u64]), 0..40),
    ) {
        settles_at_once(probe.then_some(Duration::from_millis(500)), preempt, stories)?;
    }
}

fn settles_at_once(probe: Option<Duration>, preempt: bool, stories: Vec<(Story, u64)>) -> Result<(), TestCaseError> {
    let mut bench = Bench::with(Params { probe, preempt, preempt_delay: Duration::ZERO, ..params() }, None);
    for (story, millis) in stories {
        tell(&mut bench, story.clone());
        bench.drain();
        let (report, memory) = (bench.election.report(bench.now), bench.election.memory());
        let (before, wake) = (bench.election.view(bench.now), bench.election.next_deadline());
        bench.election.handle(bench.now, Input::Drained);
        let again = bench.election.poll_output();
        prop_assert_eq!(again, None, "after {:?}", story);
        prop_assert_eq!(memory, bench.election.memory());
        prop_assert_eq!(report, bench.election.report(bench.now));
        let after = bench.election.view(bench.now);
        prop_assert_eq!((before.master, before.waiting), (after.master, after.waiting));
        if let Some(later) = bench.election.next_deadline() {
            prop_assert!(wake.is_some_and(|wake| wake <= later), "{:?}, then {:?}", wake, later);
        }
        bench.now += Duration::from_millis(millis);
    }
    Ok(())
}

/// A failover that nobody took is forgotten, and what else the master waits for is known at once: here the
/// end of its own isolation.
#[test]
fn a_failover_that_nobody_took_hides_no_other_cause() {
    let hears = |of, echoed, state| Story::Hears { of, echoed, state, priority: 50, term: 1, word: Word::Plain };
    let stories = vec![
        (hears(9, false, NodeState::Init), 970),
        (Story::Holds(9), 530),
        (hears(5, false, NodeState::Init), 1_500),
        (Story::Reach(false), 0),
        (hears(9, true, NodeState::Backup), 0),
        (Story::Holds(5), 524),
        (Story::Command(Command::Failover { to: None }), 976),
        (Story::Health(true, 50), 0),
    ];
    settles_at_once(None, false, stories).unwrap();
}
