//! From the takeover to the first verification (rules 12 and 14, the failure table).

use super::world::{Call, Fault, ME, OLD, OTHER, World, is_api_look, is_request};
use super::*;
use crate::proto::ids::DropletId;

#[test]
fn a_takeover_looks_assigns_polls_and_verifies_and_tells_each_step_once() {
    let mut w = World::new(OLD);
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(30));
    let steps: Vec<_> = w.milestones.iter().map(|(_, milestone)| *milestone).collect();
    assert_eq!(steps, [Milestone::Promoted, Milestone::AssignSent, Milestone::ActionCompleted, Milestone::Verified]);
    assert_eq!(w.assigns, [start + w.latency], "the assign leaves with the first look's answer");
    let held = w.first(start, ClaimState::Held).unwrap();
    assert!(held < start + secs(7), "{held:?}: 3 s of action, polled each 2 s at most, and a look");
    assert!(w.failures.is_empty());
}

#[test]
fn metadata_that_says_mine_is_worth_a_poll_at_once() {
    let mut w = World::new(OLD);
    w.assign_takes = Duration::from_millis(2_300);
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(30));
    let held = w.first(start, ClaimState::Held).unwrap();
    assert!(held < start + Duration::from_millis(3_500), "{:?}: the next poll was due a second later", held - start);
}

#[test]
fn a_takeover_asks_both_sides_at_once_and_drops_what_was_asked_before_it() {
    let mut w = World::new(ME);
    w.latency = secs(2);
    w.intend(Intent::Watch);
    w.run_ms(500);
    let start = w.now;
    w.hold(&[]);
    assert_eq!(w.count(start, |a| a == Action::LookLocal), 1);
    assert_eq!(w.count(start, is_api_look), 1);
    w.run(secs(10));
    assert!(w.report().verified >= Some(start), "an older look verifies nothing");
}

#[test]
fn an_address_that_is_here_already_is_held_without_a_write() {
    let mut w = World::new(ME);
    w.hold(&[]);
    w.run(secs(5));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 0));
    assert!(!w.report().ever_sent);
}

#[test]
fn a_holder_outside_the_base_is_reported_and_waits_for_a_wider_base() {
    for holder in [OTHER, Holder::Foreign(DropletId(9))] {
        let mut w = World::new(holder);
        w.hold(&[OLD]);
        w.run(secs(20));
        assert_eq!((w.assigns.len(), w.report().look.unwrap().holder), (0, holder));
    }
    let mut w = World::new(OTHER);
    w.hold(&[OLD]);
    w.run(secs(20));
    w.hold_again(&[OLD, OTHER]);
    let start = w.now;
    w.run(secs(10));
    assert_eq!(w.assigns, [start + w.latency], "a fresh look comes first, at once");
    assert_eq!(w.state(), ClaimState::Held);
}

#[test]
fn a_stale_read_after_a_landed_assign_is_no_loss_and_no_second_assign() {
    let mut w = World::new(OLD);
    (w.api_lag, w.local_lag) = (secs(5), secs(5));
    w.hold(&[OLD]);
    w.run(secs(30));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
    assert!(w.reports.iter().all(|(_, report)| report.state != ClaimState::Lost));
}

#[test]
fn an_assign_that_landed_nowhere_is_a_loss_after_s_and_waits_for_the_election() {
    let mut w = World::new(OLD);
    w.fault(HOUR, Call::Poll, Fault::Says(Progress::Completed));
    w.assign_ends_well = false;
    w.assign_takes = Duration::from_millis(100);
    w.hold(&[OLD]);
    w.run(secs(20));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Lost, 1));
    assert!(w.first(Time::ORIGIN, ClaimState::Lost).unwrap() >= w.assigns[0] + STALE_READ);
    w.run(secs(60));
    assert_eq!(w.assigns.len(), 1, "the base is used up");
    w.assign_ends_well = true;
    w.hold_again(&[OLD]);
    w.run(secs(30));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 2), "the same base, issued again, is a judgement");
}

#[test]
fn a_third_party_right_after_the_landing_is_news_and_no_stale_read() {
    let mut w = World::new(OLD);
    w.local_lag = secs(60);
    w.api_lag = secs(2);
    w.hold(&[OLD]);
    w.run_ms(3_100);
    w.move_to(OTHER);
    w.run(secs(4));
    assert_eq!((w.state(), w.report().look.unwrap().holder), (ClaimState::Lost, OTHER));
}

#[test]
fn a_lost_answer_is_sent_until_a_look_decides_and_is_not_repeated() {
    let mut w = World::new(OLD);
    w.fault(secs(1), Call::Assign, Fault::Lost);
    w.hold(&[OLD]);
    w.run(secs(5));
    assert!(w.report().sent && w.report().ever_sent);
    w.run(secs(10));
    assert_eq!((w.state(), w.assigns.len(), w.report().sent), (ClaimState::Held, 1, false));
}

#[test]
fn a_lost_request_is_asked_for_again_only_when_s_has_shown_that_it_did_nothing() {
    let mut w = World::new(OLD);
    w.fault(secs(1), Call::Assign, Fault::Fail(FailureClass::Unanswered));
    w.hold(&[OLD]);
    w.run(secs(5));
    assert!(w.report().sent);
    w.run(secs(15));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 2));
    assert!(w.assigns[1] >= w.assigns[0] + STALE_READ);
}

#[test]
fn mine_while_locked_is_unknown_until_the_lock_is_gone() {
    let mut w = World::new(ME);
    w.local_lag = HOUR; // Metadata says "mine" all the time.
    w.lock_for(secs(4));
    let start = w.now;
    w.hold(&[]);
    w.run(secs(10));
    let held = w.first(start, ClaimState::Held).unwrap();
    assert!(held >= start + secs(4) && held < start + secs(6), "{held:?}");
    assert!(!w.reports.iter().find(|(_, report)| report.look.is_some()).unwrap().1.look.unwrap().settled);
}

#[test]
fn a_locked_address_is_not_assigned() {
    let mut w = World::new(OLD);
    w.lock_for(secs(4));
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(20));
    assert!(w.assigns[0] >= start + secs(4));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
}

#[test]
fn a_pending_event_is_waited_for_and_looked_at_before_each_assign() {
    let mut w = World::new(OLD);
    w.fault(secs(10), Call::Assign, Fault::Fail(FailureClass::PendingEvent));
    w.hold(&[OLD]);
    w.run(secs(30));
    let waits: Vec<_> = w.assigns.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= secs(1) && waits[0] < Duration::from_millis(1_500), "{waits:?}");
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1] + secs(1)) && waits.iter().all(|wait| *wait < secs(6)));
    assert_eq!(w.state(), ClaimState::Held);
}

#[test]
fn a_pending_event_that_was_the_own_landing_needs_no_further_assign() {
    let mut w = World::new(OLD);
    w.fault(secs(1), Call::Assign, Fault::Fail(FailureClass::PendingEvent));
    w.hold(&[OLD]);
    w.run_ms(200);
    w.move_to(ME);
    w.run(secs(10));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
}

#[test]
fn already_assigned_is_landed_when_a_look_agrees() {
    let mut w = World::new(OLD);
    (w.api_lag, w.local_lag) = (secs(4), secs(4));
    w.move_to(ME);
    w.hold(&[OLD]);
    w.run(secs(12));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
}

#[test]
fn already_assigned_that_no_look_confirms_within_s_is_failing_with_the_text() {
    let mut w = World::new(OLD);
    w.fault(HOUR, Call::Assign, Fault::Fail(FailureClass::AlreadyAssigned));
    w.hold(&[OLD]);
    w.run(secs(5));
    assert_eq!(w.state(), ClaimState::Claiming);
    w.run(secs(4));
    assert_eq!((w.state(), w.report().obstacle.as_deref()), (ClaimState::Failing, Some("AlreadyAssigned")));
    w.run(secs(120));
    assert!(w.assigns.len() <= 5, "slow retry");
}

#[test]
fn an_unknown_refusal_is_looked_at_first_then_failing_with_its_words() {
    let mut w = World::new(OLD);
    w.fault(secs(40), Call::Assign, Fault::Fail(FailureClass::Refused));
    w.hold(&[OLD]);
    w.run(secs(2));
    assert_eq!((w.state(), w.report().obstacle.as_deref()), (ClaimState::Failing, Some("Refused")));
    w.run(secs(80));
    assert_eq!(w.state(), ClaimState::Held);
    assert!(w.assigns.windows(2).all(|pair| pair[1] - pair[0] >= secs(30)));
}

#[test]
fn a_refusal_of_what_worked_all_the_same_is_held() {
    let mut w = World::new(OLD);
    w.fault(secs(1), Call::Assign, Fault::Fail(FailureClass::Refused));
    w.hold(&[OLD]);
    w.run_ms(60);
    w.move_to(ME);
    w.run(secs(3));
    assert_eq!(w.state(), ClaimState::Held);
    assert!(w.first(Time::ORIGIN, ClaimState::Failing).is_none());
}

#[test]
fn a_refused_token_fails_at_once_says_why_and_is_healed_later() {
    let mut w = World::new(OLD);
    w.fault(secs(100), Call::Look, Fault::Fail(FailureClass::Never));
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(95));
    assert_eq!((w.state(), w.report().obstacle.as_deref()), (ClaimState::Failing, Some("Never")));
    assert!(w.count(start, is_request) <= 4, "slow retry");
    assert!(w.report().failing_since.unwrap() < start + secs(1), "without a break");
    w.run(secs(60));
    assert_eq!((w.state(), w.report().obstacle), (ClaimState::Held, None));
}

#[test]
fn a_token_without_the_right_to_assign_fails_slowly() {
    let mut w = World::new(OLD);
    w.fault(HOUR, Call::Assign, Fault::Fail(FailureClass::Never));
    w.hold(&[OLD]);
    w.run(secs(100));
    assert_eq!((w.state(), w.report().obstacle.as_deref()), (ClaimState::Failing, Some("Never")));
    assert!((3..=4).contains(&w.assigns.len()), "{:?}", w.assigns);
}

#[test]
fn a_token_that_may_not_see_droplets_assigns_nothing_and_says_so() {
    let mut w = World::new(OLD);
    w.fault(HOUR, Call::Look, Fault::Hidden);
    w.hold(&[OLD]);
    w.run(secs(90));
    assert_eq!((w.state(), w.assigns.len(), w.report().proof), (ClaimState::Failing, 0, None));
    assert!(w.report().obstacle.unwrap().contains("droplet:read"));
}

#[test]
fn a_429_is_honoured_for_looks_and_assigns_and_capped_at_an_hour() {
    for (asked, wait) in [(secs(29), secs(29)), (secs(1_000_000), HOUR)] {
        let mut w = World::new(OLD);
        w.fault(secs(1), Call::Assign, Fault::Fail(FailureClass::NotBefore(asked)));
        let start = w.now;
        w.hold(&[OLD]);
        w.run(wait + secs(20));
        let later = start + secs(1);
        let next = w.calls.iter().find(|(at, action)| *at > later && is_request(*action)).unwrap().0;
        assert!(next >= start + wait && next < start + wait + secs(2), "{next:?}");
        assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 2));
    }
}

#[test]
fn a_429_that_names_no_time_still_backs_off() {
    let mut w = World::new(OLD);
    w.fault(secs(60), Call::Look, Fault::Fail(FailureClass::NotBefore(Duration::ZERO)));
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(60));
    assert!(w.count(start, is_request) < 40, "{}", w.count(start, is_request));
}

#[test]
fn server_errors_back_off_and_each_assign_has_its_own_look() {
    let mut w = World::new(OLD);
    w.fault(secs(20), Call::Assign, Fault::Fail(FailureClass::Again));
    w.fault(secs(2), Call::Look, Fault::Fail(FailureClass::Again));
    w.hold(&[OLD]);
    w.run(secs(60));
    assert_eq!(w.state(), ClaimState::Held);
    assert!(w.assigns.len() > 3 && w.assigns.len() < 20, "{}", w.assigns.len());
}

#[test]
fn an_errored_action_is_tried_again() {
    let mut w = World::new(OLD);
    w.assign_ends_well = false;
    w.hold(&[OLD]);
    w.run_ms(4_900);
    w.assign_ends_well = true;
    w.run(secs(30));
    assert_eq!(w.state(), ClaimState::Held);
    assert!(w.assigns.len() >= 2 && w.assigns[1] >= w.assigns[0] + w.assign_takes + Duration::from_millis(250));
}

#[test]
fn an_action_that_is_never_found_is_verified_by_the_address() {
    let mut w = World::new(OLD);
    w.local_lag = HOUR;
    w.fault(HOUR, Call::Poll, Fault::Says(Progress::Unknown));
    w.hold(&[OLD]);
    w.run(secs(10));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
}

#[test]
fn an_action_that_cannot_be_polled_is_verified_by_the_address() {
    let mut w = World::new(OLD);
    w.fault(HOUR, Call::Poll, Fault::Fail(FailureClass::Again));
    w.hold(&[OLD]);
    w.run(secs(10));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
}

#[test]
fn a_very_slow_action_is_watched_by_the_address_and_not_repeated() {
    let mut w = World::new(OLD);
    w.assign_takes = secs(50);
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(45));
    assert!(w.report().sent);
    assert_eq!(w.count(start + secs(21), |action| matches!(action, Action::Poll { .. })), 0, "polls are bounded");
    w.run(secs(60));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
}

#[test]
fn an_action_stuck_for_ever_is_failing_and_no_longer_sent() {
    let mut w = World::new(OLD);
    w.assign_takes = HOUR;
    w.hold(&[OLD]);
    w.run(secs(70));
    assert_eq!((w.state(), w.report().sent, w.assigns.len()), (ClaimState::Failing, false, 1));
}

#[test]
fn a_look_without_answer_gets_a_second_connection_after_a_second() {
    let mut w = World::new(OLD);
    w.fault(secs(3), Call::Look, Fault::LostUnlessFresh);
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(2));
    assert_eq!(w.assigns, [start + secs(1) + w.latency]);
    assert_eq!(w.count(start, is_api_look), 2);
}

#[test]
fn a_claim_that_lasts_is_failing() {
    let mut w = World::new(OTHER);
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(59));
    assert_eq!(w.state(), ClaimState::Claiming);
    w.run(secs(2));
    assert_eq!(w.report().failing_since, Some(start));
}

#[test]
fn metadata_is_enough_when_the_api_cannot_be_read_but_only_after_s() {
    let mut w = World::new(ME);
    w.fault(HOUR, Call::Look, Fault::Lost);
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(5));
    assert_eq!(w.state(), ClaimState::Claiming);
    w.run(secs(5));
    assert_eq!(w.state(), ClaimState::Held);
    assert!(w.report().verified >= Some(start + STALE_READ));
}

#[test]
fn a_lost_assign_that_metadata_shows_is_held_without_the_api() {
    let mut w = World::new(OLD);
    w.fault(secs(1), Call::Assign, Fault::Lost);
    w.hold(&[OLD]);
    w.run_ms(100);
    w.fault(HOUR, Call::Look, Fault::Fail(FailureClass::Again));
    w.run(secs(20));
    assert_eq!((w.state(), w.report().sent), (ClaimState::Held, false));
}

#[test]
fn a_429_to_a_look_or_a_poll_silences_the_whole_api() {
    for (call, from) in [(Call::Look, 40), (Call::Poll, 300)] {
        let mut w = World::new(OLD);
        w.fault(secs(1), call, Fault::Fail(FailureClass::NotBefore(secs(29))));
        let start = w.now;
        w.hold(&[OLD]);
        w.run_ms(from + 200);
        let silent = w.now;
        w.run(secs(28));
        assert_eq!(w.count(silent, is_request), 0, "{call:?}");
        w.intend(Intent::Watch);
        w.hold(&[OLD]);
        assert_eq!(w.count(start + secs(2), is_request), 0, "a new takeover honours it too");
        w.run(secs(20));
        assert_eq!(w.state(), ClaimState::Held);
    }
}

#[test]
fn a_takeover_does_not_wait_for_the_backoff_of_earlier_reads() {
    let mut w = World::new(OLD);
    w.fault(secs(1), Call::Look, Fault::Fail(FailureClass::Never));
    w.intend(Intent::Watch);
    w.run(secs(2));
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(1));
    assert_eq!(w.assigns, [start + w.latency]);
}

#[test]
fn a_refusal_of_an_earlier_hold_fails_no_later_one() {
    let mut w = World::new(OLD);
    w.fault(secs(1), Call::Assign, Fault::Fail(FailureClass::Refused));
    w.hold(&[OLD]);
    w.run_ms(120);
    w.intend(Intent::Yield);
    w.run(secs(2));
    w.hold(&[OLD]);
    w.run(secs(10));
    assert_eq!((w.state(), w.first(Time::ORIGIN, ClaimState::Failing)), (ClaimState::Held, None));
}

#[test]
fn a_stale_read_after_an_action_that_was_never_found_is_no_loss() {
    let mut w = World::new(OLD);
    w.local_lag = HOUR;
    w.fault(HOUR, Call::Poll, Fault::Says(Progress::Unknown));
    w.hold(&[OLD]);
    while w.state() != ClaimState::Held {
        w.run_ms(10);
    }
    w.api_lag = secs(2); // Another of the API's servers answers now.
    w.run(secs(10));
    assert_eq!((w.state(), w.first(Time::ORIGIN, ClaimState::Lost)), (ClaimState::Held, None));
}

#[test]
fn an_api_that_hides_the_holder_is_one_that_cannot_be_read() {
    let mut w = World::new(ME);
    w.fault(HOUR, Call::Look, Fault::Hidden);
    w.hold(&[OLD]);
    w.run(secs(10));
    assert_eq!((w.state(), w.report().proof), (ClaimState::Held, None));
    assert!(w.report().obstacle.is_some_and(|text| text.contains("droplet:read")));
}
