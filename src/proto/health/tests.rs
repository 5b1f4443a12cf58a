use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn pace(rise: u32, fall: u32) -> Pace {
    Pace { rise: NonZeroU32::new(rise).unwrap(), fall: NonZeroU32::new(fall).unwrap(), ..Pace::default() }
}

fn health(checks: &[Pace]) -> Health {
    let named = checks.iter().enumerate().map(|(i, pace)| (Arc::from(format!("c{i}")), *pace));
    Health::new(Time::ORIGIN, Priority::DEFAULT, named.collect::<Vec<_>>())
}

fn feed(health: &mut Health, check: usize, verdict: Verdict, at: Time) {
    let sample = Sample { verdict, detail: Arc::from("9 of 10 running"), at };
    health.handle(at, Input::Sample { check: CheckIndex(check), sample });
}

fn condition(health: &Health) -> Condition {
    health.checks().next().unwrap().condition
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

#[test]
fn before_the_first_result_the_node_is_no_candidate_and_says_why() {
    let mut health = health(&[pace(2, 2)]);
    let Some(Output::Candidacy(first)) = health.poll_output() else { panic!("no first candidacy") };
    assert!(!first.healthy);
    assert_eq!(first.because.as_deref(), Some("check c0 is starting: no result yet"));
}

#[test]
fn the_first_result_decides_at_once() {
    for (verdict, expected) in [
        (Verdict::Ok, Condition::Up),
        (Verdict::Failed, Condition::Down),
        (Verdict::TimedOut, Condition::Down),
        (Verdict::CouldNotRun, Condition::Down),
    ] {
        let mut health = health(&[pace(3, 3)]);
        feed(&mut health, 0, verdict, at(5));
        assert_eq!(condition(&health), expected, "{verdict:?}");
    }
}

fn next(index: usize, from: From, pace: Pace) -> Next {
    Next { index: CheckIndex(index), name: Arc::from(format!("c{index}")), pace, from }
}

fn replace(health: &mut Health, at: Time, checks: Vec<Next>) {
    health.handle(at, Input::Params { base: Priority::DEFAULT, checks });
}

#[test]
fn a_check_that_stays_keeps_its_condition_and_its_row() {
    let (mut health, kept) = (health(&[pace(2, 2), pace(2, 2)]), pace(2, 2));
    feed(&mut health, 0, Verdict::Ok, at(0));
    feed(&mut health, 1, Verdict::Ok, at(0));
    feed(&mut health, 1, Verdict::Failed, at(1_000));
    replace(&mut health, at(1_500), vec![next(1, From::Same, kept)]);
    assert!(health.candidacy().healthy);
    feed(&mut health, 1, Verdict::Failed, at(2_000));
    assert!(!health.candidacy().healthy, "the second of a row of two");
}

#[test]
fn a_new_check_counts_for_nothing_until_its_verdict() {
    let weighted = Pace { weight: Some(20), ..pace(2, 2) };
    for (bad, healthy) in [(0, true), (1, true), (2, false)] {
        let mut health = health(&[]);
        replace(&mut health, at(0), vec![next(7, From::New, pace(2, 2)), next(8, From::New, weighted)]);
        assert!(health.candidacy().healthy);
        assert_eq!(health.candidacy().priority, Priority::DEFAULT);
        for look in 0..bad {
            feed(&mut health, 7, Verdict::Failed, at(10 + look * 1_000));
        }
        assert_eq!(health.candidacy().healthy, healthy, "after {bad} bad looks");
    }
    let mut health = health(&[]);
    replace(&mut health, at(0), vec![next(7, From::New, pace(2, 2))]);
    feed(&mut health, 7, Verdict::Ok, at(10));
    assert_eq!(condition(&health), Condition::Up, "one good look is a verdict");
    replace(&mut health, at(20), vec![next(9, From::New, pace(2, 2))]);
    let deadline = health.next_deadline().unwrap();
    health.handle(deadline, Input::Timer);
    assert!(!health.candidacy().healthy, "one that never looks is a failed one");
}

#[test]
fn a_changed_check_counts_for_what_it_did_until_its_verdict() {
    for was_ok in [true, false] {
        let mut health = health(&[pace(3, 3)]);
        feed(&mut health, 0, if was_ok { Verdict::Ok } else { Verdict::Failed }, at(0));
        let before = health.candidacy().clone();
        replace(&mut health, at(10), vec![next(1, From::Changed(CheckIndex(0)), pace(3, 2))]);
        assert_eq!(*health.candidacy(), before);
        assert_eq!(condition(&health), Condition::Starting);
        feed(&mut health, 0, Verdict::Failed, at(11));
        feed(&mut health, 0, Verdict::Ok, at(12));
        assert_eq!(*health.candidacy(), before, "the late result of one that is gone");
        feed(&mut health, 1, Verdict::Failed, at(20));
        assert_eq!(health.candidacy().healthy, was_ok, "one bad look is no verdict");
        feed(&mut health, 1, Verdict::Ok, at(30));
        assert!(health.candidacy().healthy, "one good look is");
    }
}

#[test]
fn without_the_check_that_failed_the_node_is_healthy_at_once() {
    let mut health = health(&[pace(2, 2), pace(2, 2)]);
    feed(&mut health, 0, Verdict::Failed, at(0));
    feed(&mut health, 1, Verdict::Ok, at(0));
    while health.poll_output().is_some() {}
    replace(&mut health, at(10), vec![next(1, From::Same, pace(2, 2))]);
    let Some(Output::Candidacy(candidacy)) = health.poll_output() else { panic!("nothing was said") };
    assert!(candidacy.healthy && health.poll_output().is_none());
}

#[test]
fn another_priority_is_told_and_nothing_else_changes() {
    let mut health = health(&[pace(2, 2)]);
    feed(&mut health, 0, Verdict::Ok, at(0));
    while health.poll_output().is_some() {}
    let base = Priority::new(150).unwrap();
    health.handle(at(10), Input::Params { base, checks: vec![next(0, From::Same, pace(2, 2))] });
    let Some(Output::Candidacy(candidacy)) = health.poll_output() else { panic!("nothing was said") };
    assert_eq!((candidacy.priority, candidacy.healthy), (base, true));
}

proptest! {
    /// Whatever was seen before: new numbers and changed checks alone change no candidacy.
    #[test]
    fn changed_checks_alone_change_no_candidacy(
        looks in prop::collection::vec((0_usize..3, any::<bool>(), 1_u64..900), 0..30),
        paces in prop::collection::vec((1_u32..4, 1_u32..4, prop::option::of(-50_i32..50)), 3),
        changed in prop::collection::vec(any::<bool>(), 3),
    ) {
        let with = |(rise, fall, weight): (u32, u32, Option<i32>)| Pace { weight, ..pace(rise, fall) };
        let mut health = health(&paces.iter().copied().map(with).collect::<Vec<_>>());
        let mut now = 0;
        for (check, ok, wait) in looks {
            now += wait;
            feed(&mut health, check, if ok { Verdict::Ok } else { Verdict::Failed }, at(now));
        }
        health.handle(at(now), Input::Timer);
        let before = health.candidacy().clone();
        let checks = changed.iter().enumerate().map(|(check, changed)| match changed {
            true => next(check + 3, From::Changed(CheckIndex(check)), pace(2, 2)),
            false => next(check, From::Same, with(paces[check])),
        });
        replace(&mut health, at(now), checks.collect());
        prop_assert_eq!(&health.candidacy().healthy, &before.healthy);
        prop_assert_eq!(&health.candidacy().priority, &before.priority);
    }
}

#[test]
fn the_reason_names_the_check_and_tells_failed_timed_out_and_could_not_run_apart() {
    for (verdict, expected) in [
        (Verdict::Failed, "check c0 failed: 9 of 10 running"),
        (Verdict::TimedOut, "check c0 timed out: 9 of 10 running"),
        (Verdict::CouldNotRun, "check c0 could not be run: 9 of 10 running"),
    ] {
        let mut health = health(&[pace(1, 1)]);
        feed(&mut health, 0, verdict, at(5));
        assert_eq!(health.candidacy().because.as_deref(), Some(expected));
    }
}

#[test]
fn a_burst_of_failed_looks_is_one_failure() {
    let mut health = health(&[pace(2, 2)]);
    feed(&mut health, 0, Verdict::Ok, at(0));
    for millis in [500, 501, 600, 1_499] {
        feed(&mut health, 0, Verdict::Failed, at(millis));
        assert_eq!(condition(&health), Condition::Up, "{millis}");
    }
    feed(&mut health, 0, Verdict::Failed, at(1_500));
    assert_eq!(condition(&health), Condition::Down);
}

#[test]
fn recreating_a_container_within_an_interval_moves_nothing_at_the_defaults() {
    let mut health = health(&[Pace::default()]);
    while health.poll_output().is_some() {}
    feed(&mut health, 0, Verdict::Ok, at(0));
    while health.poll_output().is_some() {}
    feed(&mut health, 0, Verdict::Failed, at(950));
    feed(&mut health, 0, Verdict::Ok, at(1_750));
    feed(&mut health, 0, Verdict::Ok, at(2_750));
    assert_eq!(health.poll_output(), None);
}

#[test]
fn with_a_fall_of_one_the_first_failed_look_counts() {
    let mut health = health(&[pace(2, 1)]);
    feed(&mut health, 0, Verdict::Ok, at(0));
    feed(&mut health, 0, Verdict::Failed, at(3));
    assert!(!health.candidacy().healthy);
}

#[test]
fn failures_of_the_start_period_are_starting_and_the_first_good_result_ends_it() {
    let mut health = health(&[Pace { start_period: 10 * SECOND, ..pace(2, 1) }]);
    feed(&mut health, 0, Verdict::Failed, at(1_000));
    assert_eq!(condition(&health), Condition::Starting);
    assert!(!health.candidacy().healthy, "not known is not ok");
    feed(&mut health, 0, Verdict::Ok, at(2_000));
    assert_eq!(condition(&health), Condition::Up);
    feed(&mut health, 0, Verdict::Failed, at(3_000));
    assert_eq!(condition(&health), Condition::Down);
}

#[test]
fn the_start_period_ends() {
    let mut health = health(&[Pace { start_period: SECOND, ..pace(2, 2) }]);
    feed(&mut health, 0, Verdict::Failed, at(1_000));
    assert_eq!(condition(&health), Condition::Down);
}

#[test]
fn a_silent_check_is_not_ok_from_its_deadline_on_and_must_rise_again() {
    let mut health = health(&[pace(2, 2)]);
    feed(&mut health, 0, Verdict::Ok, at(1_000));
    let deadline = at(1_000) + 2 * SECOND + 2 * SECOND + STALE_GRACE;
    assert_eq!(health.next_deadline(), Some(deadline));
    health.handle(deadline.before(Duration::from_nanos(1)), Input::Timer);
    assert!(health.candidacy().healthy);
    health.handle(deadline, Input::Timer);
    assert_eq!(health.candidacy().because.as_deref(), Some("check c0 is silent: no result for 5s"));
    assert_eq!(health.next_deadline(), None);
    feed(&mut health, 0, Verdict::Ok, at(10_000));
    assert!(!health.candidacy().healthy);
    feed(&mut health, 0, Verdict::Ok, at(11_000));
    assert!(health.candidacy().healthy);
}

#[test]
fn this_nodes_own_gap_is_no_silence_of_its_checks() {
    let mut health = health(&[pace(2, 2)]);
    feed(&mut health, 0, Verdict::Ok, at(1_000));
    health.handle(at(13_000), Input::Timer);
    assert!(health.candidacy().healthy, "nobody could look");
    let deadline = health.next_deadline().unwrap();
    assert_eq!(deadline, at(13_000) + pace(2, 2).stale_after());
    health.handle(deadline, Input::Timer);
    assert!(!health.candidacy().healthy, "now somebody could");
}

#[test]
fn a_check_that_never_reports_goes_silent() {
    let mut health = health(&[pace(2, 2)]);
    health.handle(at(5_000), Input::Timer);
    assert_eq!(condition(&health), Condition::Stale);
}

#[test]
fn a_result_that_waited_in_the_queue_is_not_silence() {
    let mut health = health(&[pace(2, 2)]);
    feed(&mut health, 0, Verdict::Ok, at(0));
    let sample = Sample { verdict: Verdict::Ok, detail: Arc::from(""), at: at(8_000) };
    health.handle(at(9_000), Input::Sample { check: CheckIndex(0), sample });
    assert_eq!(condition(&health), Condition::Up);
}

#[test]
fn a_weighted_check_changes_the_priority_and_never_the_candidacy() {
    let weighed = |weight| Pace { weight: Some(weight), ..pace(1, 1) };
    let mut health = health(&[weighed(-20), weighed(5)]);
    assert_eq!(health.candidacy().priority.get(), 80, "not known is not ok");
    feed(&mut health, 0, Verdict::Ok, at(0));
    feed(&mut health, 1, Verdict::Ok, at(0));
    assert_eq!(health.candidacy().priority.get(), 105);
    feed(&mut health, 0, Verdict::Failed, at(1_000));
    feed(&mut health, 1, Verdict::Failed, at(1_000));
    assert_eq!((health.candidacy().priority.get(), health.candidacy().healthy), (80, true));
}

#[test]
fn what_does_not_change_is_not_told() {
    let mut health = health(&[pace(2, 2)]);
    feed(&mut health, 0, Verdict::Ok, at(0));
    while health.poll_output().is_some() {}
    feed(&mut health, 0, Verdict::Ok, at(1_000));
    assert_eq!(health.poll_output(), None);
    feed(&mut health, 7, Verdict::Failed, at(2_000));
    assert_eq!(health.poll_output(), None, "a check that nobody knows");
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => Just(Verdict::Ok),
        2 => Just(Verdict::Failed),
        1 => Just(Verdict::TimedOut),
        1 => Just(Verdict::CouldNotRun),
    ]
}

proptest! {
    /// The model keeps everything and looks at the end of it.
    #[test]
    fn rise_and_fall_agree_with_a_model_that_keeps_every_result(
        rise in 1_u32..5, fall in 1_u32..5, results in prop::collection::vec(verdicts(), 1..60),
    ) {
        let mut health = health(&[pace(rise, fall)]);
        let mut model = false;
        for (i, verdict) in results.iter().enumerate() {
            feed(&mut health, 0, *verdict, at(1_000 * i as u64));
            let past = &results[..=i];
            let all = |n: u32, ok: bool| {
                past.len() >= n as usize && past.iter().rev().take(n as usize).all(|v| (*v == Verdict::Ok) == ok)
            };
            if i == 0 {
                model = *verdict == Verdict::Ok;
            } else if model && all(fall, false) {
                model = false;
            } else if !model && all(rise, true) {
                model = true;
            }
            prop_assert_eq!(health.candidacy().healthy, model, "after {:?}", past);
        }
    }

    /// Looks between two ticks that see the same as the tick before change nothing.
    #[test]
    fn extra_looks_that_see_the_same_change_nothing(
        rise in 1_u32..4, fall in 1_u32..4,
        results in prop::collection::vec((verdicts(), prop::collection::vec(1_u64..1_000, 0..4)), 1..30),
    ) {
        let (mut plain, mut eager) = (health(&[pace(rise, fall)]), health(&[pace(rise, fall)]));
        for (i, (verdict, extra)) in results.iter().enumerate() {
            let tick = 1_000 * i as u64;
            feed(&mut plain, 0, *verdict, at(tick));
            feed(&mut eager, 0, *verdict, at(tick));
            let mut extra = extra.clone();
            extra.sort_unstable();
            for millis in extra {
                feed(&mut eager, 0, *verdict, at(tick + millis));
            }
            prop_assert_eq!(condition(&plain), condition(&eager));
        }
    }

    #[test]
    fn no_candidate_while_a_check_without_weight_is_down_and_the_priority_stays_in_range(
        weights in prop::collection::vec(prop::option::of(any::<i32>()), 1..5),
        base in 1_i64..=254,
        events in prop::collection::vec((0_usize..5, verdicts(), 1_u64..9_000), 0..60),
    ) {
        let paces: Vec<_> = weights.iter().map(|weight| Pace { weight: *weight, ..pace(2, 2) }).collect();
        let named = paces.iter().map(|pace| (Arc::from("c"), *pace)).collect::<Vec<_>>();
        let mut health = Health::new(Time::ORIGIN, Priority::new(base).unwrap(), named);
        let mut now = 0;
        for (check, verdict, wait) in events {
            now += wait;
            feed(&mut health, check, verdict, at(now));
            let faulty = health.checks().zip(&weights).any(|(check, w)| w.is_none() && !check.condition.is_ok());
            prop_assert_eq!(health.candidacy().healthy, !faulty);
            prop_assert_eq!(health.candidacy().because.is_some(), faulty);
            prop_assert!((1..=254).contains(&health.candidacy().priority.get()));
            prop_assert!(health.next_deadline().is_none_or(|deadline| deadline > at(now)));
        }
    }
}
