//! A node that is not master, or no longer: proofs, warmth, watching, and the budget (P5).

use super::world::{Call, Fault, ME, OLD, OTHER, World, is_api_look, is_request};
use super::*;

#[test]
fn at_rest_one_read_each_readiness_interval_beginning_at_once() {
    let mut w = World::new(OLD);
    let start = w.now;
    w.run(HOUR * 10);
    let looks: Vec<_> = w.calls.iter().map(|(at, _)| *at).collect();
    assert_eq!((looks[0], w.calls.len()), (start, w.count(start, is_api_look)));
    assert!((109..=120).contains(&looks.len()), "{}", looks.len());
    assert!(looks.windows(2).all(|pair| pair[1] - pair[0] >= w.params.readiness_interval));
    assert!(w.report().proof.unwrap() > start + HOUR * 9);
}

#[test]
fn a_failing_proof_is_repeated_after_30_s_and_then_each_minute() {
    for fault in [Fault::Lost, Fault::Fail(FailureClass::Again), Fault::Fail(FailureClass::Never)] {
        let mut w = World::new(OLD);
        w.fault(HOUR, Call::Look, fault);
        w.run(secs(29));
        assert_eq!(w.calls.len(), 1);
        w.run(HOUR - secs(29));
        let last: Vec<_> = w.calls.iter().rev().take(2).map(|(at, _)| *at).collect();
        assert!((54..=61).contains(&w.calls.len()), "{}", w.calls.len());
        assert!(last[0] - last[1] >= secs(60));
        assert!(w.report().obstacle.is_some() && w.report().proof.is_none());
    }
}

#[test]
fn warm_opens_one_connection_and_asks_nothing() {
    let mut w = World::new(OLD);
    w.run(secs(1));
    let start = w.now;
    w.intend(Intent::Warm);
    w.intend(Intent::Warm);
    w.run(secs(600));
    assert_eq!(w.calls.iter().filter(|(at, _)| *at >= start).map(|(_, a)| *a).collect::<Vec<_>>(), [Action::Warm]);
}

#[test]
fn watch_asks_metadata_each_500_ms_and_the_api_each_2_s_at_once() {
    let mut w = World::new(OLD);
    w.run(secs(1));
    let start = w.now;
    w.intend(Intent::Watch);
    assert_eq!(w.count(start, |_| true), 2);
    w.run_ms(9_900);
    assert_eq!(w.count(start, |action| action == Action::LookLocal), 20);
    assert_eq!(w.count(start, is_api_look), 5);
    assert_eq!(w.report().look.unwrap().holder, OLD);
}

#[test]
fn a_watched_metadata_mine_is_settled_only_while_the_api_cannot_be_read() {
    let mut w = World::new(ME);
    w.latency = Duration::from_millis(300);
    w.intend(Intent::Watch);
    w.run_ms(10_000);
    assert!(
        w.reports
            .iter()
            .all(|(_, report)| report.look.is_none_or(|look| { look.source == Source::Api || !look.settled }))
    );
    let mut w = World::new(ME);
    w.fault(HOUR, Call::Look, Fault::Fail(FailureClass::Again));
    w.intend(Intent::Watch);
    w.run_ms(3_000);
    let look = w.report().look.unwrap();
    assert_eq!((look.source, look.settled), (Source::Metadata, true));
    w.local_lag = Duration::ZERO;
    w.move_to(OTHER);
    w.run_ms(1_000);
    assert_eq!(w.report().look, None, "a retracted \"mine\" is no look");
}

#[test]
fn a_stale_metadata_mine_does_not_hide_what_the_api_says() {
    let mut w = World::new(ME);
    w.local_lag = HOUR;
    w.move_to(OTHER);
    w.intend(Intent::Watch);
    w.run(secs(20));
    let look = w.report().look.unwrap();
    assert_eq!((look.source, look.holder), (Source::Api, OTHER));
}

#[test]
fn yield_cancels_the_reads_and_follows_the_assign_to_its_end() {
    let mut w = World::new(OLD);
    w.hold(&[OLD]);
    w.run_ms(500);
    assert!(w.report().sent);
    let start = w.now;
    w.intend(Intent::Yield);
    assert_eq!((w.state(), w.report().sent), (ClaimState::Idle, true));
    w.run(secs(6));
    assert!(w.report().sent, "it ended well less than S ago and nothing verified it");
    w.run(secs(6));
    assert!(!w.report().sent);
    assert_eq!(w.count(start, |action| is_request(action) && !matches!(action, Action::Poll { .. })), 0);
}

#[test]
fn what_was_verified_is_no_longer_sent_after_a_yield() {
    let mut w = World::new(OLD);
    w.hold(&[OLD]);
    while w.state() != ClaimState::Held {
        w.run_ms(100);
    }
    w.intend(Intent::Yield);
    assert!(!w.report().sent);
}

#[test]
fn an_assign_that_outlives_its_hold_is_not_doubled_by_the_next_one() {
    let mut w = World::new(OLD);
    w.assign_takes = secs(8);
    w.hold(&[OLD]);
    w.run_ms(500);
    w.intend(Intent::Yield);
    w.run_ms(500);
    w.hold(&[OLD]);
    w.run(secs(20));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
}

#[test]
fn status_reads_do_not_eat_what_a_takeover_needs() {
    let mut w = World::with(Params { calls_per_minute: 12, ..params() }, OLD);
    w.intend(Intent::Watch);
    w.run(secs(300));
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(10));
    assert_eq!(w.assigns, [start + w.latency]);
}

#[test]
fn looks_that_wait_for_a_wider_base_leave_room_for_its_assign() {
    let mut w = World::with(Params { calls_per_minute: Params::MIN_CALLS_PER_MINUTE, ..params() }, OTHER);
    w.hold(&[OLD]);
    w.run(secs(100));
    w.hold_again(&[OTHER]);
    w.run(secs(100));
    assert_eq!(w.assigns.len(), 1);
    w.run(secs(100));
    assert_eq!(w.state(), ClaimState::Held);
}

#[test]
fn a_watch_with_a_refused_token_asks_slowly() {
    let mut w = World::new(OLD);
    w.fault(HOUR, Call::Look, Fault::Fail(FailureClass::Never));
    w.intend(Intent::Watch);
    let start = w.now;
    w.run(secs(89));
    assert!(w.count(start, is_request) <= 3, "{}", w.count(start, is_request));
}
