//! Other settings in a running election: they decide nothing by themselves.

use proptest::prelude::*;

use super::story::{story, tell};
use super::*;

fn retuned() -> impl Strategy<Value = Params> {
    (any::<u32>(), any::<bool>(), 0_u64..120, 1_u64..120, 10_u64..600, any::<bool>()).prop_map(
        |(settings, preempt, delay, timeout, readiness, probe)| Params {
            settings,
            preempt,
            preempt_delay: Duration::from_secs(delay),
            claim_timeout: Duration::from_secs(timeout),
            readiness_interval: Duration::from_secs(readiness),
            probe: probe.then_some(Duration::from_millis(500)),
            ..params()
        },
    )
}

proptest! {
    /// What was just evaluated is evaluated again by the new settings: nobody changes state,
    /// and nothing else is wanted of the claim. Only an offer or a wish may follow.
    #[test]
    fn in_no_state_do_settings_alone_move_anything(
        stories in prop::collection::vec((story(), 0_u64..3_000), 0..40),
        first in retuned(),
        next in retuned(),
    ) {
        let mut bench = Bench::with(first, None);
        for (story, millis) in stories {
            tell(&mut bench, story);
            bench.drain();
            bench.now += Duration::from_millis(millis);
        }
        bench.drain();
        let (transitions, intents) = (bench.transitions.len(), bench.intents.len());
        let (before, kept) = (bench.election.view(bench.now), bench.election.memory());
        bench.input(Input::Params(next.clone()));
        bench.drain();
        prop_assert_eq!(bench.transitions.len(), transitions, "{:?}", bench.transitions.last());
        prop_assert_eq!(bench.intents.len(), intents, "{:?}", bench.intents.last());
        let after = bench.election.view(bench.now);
        prop_assert_eq!((before.state, before.term, before.candidate), (after.state, after.term, after.candidate));
        prop_assert_eq!(kept, bench.election.memory());
        prop_assert_eq!(bench.election.report(bench.now).settings, next.settings);
    }
}

#[test]
fn other_settings_are_advertised_at_once_and_the_rest_of_who_it_is_stays() {
    let mut bench = Bench::new();
    bench.now += DEAD;
    bench.drain();
    let mut told = || {
        let other = Params {
            settings: 7,
            group: GroupId(99),
            own: address(77),
            interval: Duration::from_secs(9),
            host_up: Time::from_millis(5),
            ..params()
        };
        bench.election.handle(bench.now, Input::Params(other));
        bench.election.handle(bench.now, Input::Drained);
        std::iter::from_fn(|| bench.election.poll_output()).filter(|output| matches!(output, Output::Advertise)).count()
    };
    assert_eq!(told(), 1);
    assert_eq!(told(), 0, "once");
    let report = bench.election.report(bench.now);
    assert_eq!((report.settings, report.group), (7, GroupId(1)));
    let params = &bench.election.params;
    assert_eq!((params.own, params.interval, params.host_up), (address(OWN), INTERVAL, Time::ORIGIN));
}

#[test]
fn preempt_that_is_switched_on_waits_its_delay_and_off_ends_the_wish() {
    let mut bench = Bench::new();
    bench.input(Input::Candidacy(Candidacy {
        healthy: true,
        priority: Priority::new(150).unwrap(),
        because: None,
        since: None,
    }));
    let hear = |bench: &mut Bench, millis: u64| {
        for _ in 0..millis / 500 {
            bench.now += INTERVAL;
            let (peer, at) = (address(PEER), bench.now);
            bench.input(Input::Heard(Heard { peer, at, echoed: true, report: holding() }));
            bench.drain();
        }
        bench.election.report(bench.now).wants
    };
    assert!(!hear(&mut bench, 30_000), "sticky");
    let preempt = Params { preempt: true, preempt_delay: Duration::from_secs(10), ..params() };
    bench.input(Input::Params(preempt));
    assert!(!hear(&mut bench, 9_000), "the delay counts from here");
    assert!(hear(&mut bench, 2_000));
    bench.input(Input::Params(params()));
    assert!(!hear(&mut bench, 500));
}
