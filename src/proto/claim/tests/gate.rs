//! The promotion gate: a takeover, an address that is here already, a mastership that ends meanwhile.

use super::world::{ME, OLD, OTHER, World, is_api_look};
use super::*;

fn gated(holder: Holder) -> World {
    World::with(Params { gated: true, ..params() }, holder)
}

fn steps(w: &World) -> Vec<Milestone> {
    w.milestones.iter().map(|(_, milestone)| *milestone).collect()
}

#[test]
fn a_promotion_comes_between_the_look_that_permits_an_assign_and_a_second_one() {
    let mut w = gated(OLD);
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(30));
    assert_eq!(w.promotions, [start + w.latency], "asked for with the first look's answer");
    let promoted = start + w.latency + w.promotion_takes;
    assert_eq!(w.assigns, [promoted + w.latency], "and looked at again before the assign");
    assert_eq!(
        steps(&w),
        [Milestone::Promoted, Milestone::AssignSent, Milestone::ActionCompleted, Milestone::Verified]
    );
    assert_eq!(w.milestones[0].0, promoted);
    assert_eq!((w.state(), w.report().promoted), (ClaimState::Held, Some(start)));
}

#[test]
fn nothing_is_promoted_for_an_address_that_may_not_be_claimed() {
    let mut w = gated(OTHER);
    w.hold(&[OLD]);
    w.run(secs(30));
    assert_eq!((w.promotions.len(), w.assigns.len()), (0, 0));
    w.hold_again(&[OTHER]);
    w.run(secs(30));
    assert_eq!((w.promotions.len(), w.state()), (1, ClaimState::Held));
}

#[test]
fn a_failed_promotion_fails_the_claim_and_is_repeated_after_1_s_growing_to_30_s() {
    let mut w = gated(OLD);
    w.promotion_ends_well = false;
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(200));
    let failing = w.first(start, ClaimState::Failing).unwrap();
    assert_eq!(failing, start + w.latency + w.promotion_takes, "since the first failure, for rule 14");
    assert_eq!(w.report().failing_since, Some(failing));
    assert_eq!(w.report().obstacle.as_deref(), Some("Again"), "the hook's own words");
    assert!(w.assigns.is_empty() && w.report().promoted.is_none() && !w.report().sent);
    let waits: Vec<_> = w.promotions.windows(2).map(|two| two[1] - two[0] - w.promotion_takes).collect();
    // A look, 50 ms, is between the wait's end and the promotion.
    let expected = [1_u64, 2, 4, 8, 16, 30, 30];
    assert!(waits.len() >= 7, "{waits:?}");
    for (wait, expected) in waits.iter().zip(expected) {
        let (least, most) = (secs(expected), secs(expected) * 5 / 4 + secs(1));
        assert!((least..=most).contains(wait), "{wait:?}, not {least:?} to {most:?}");
    }
    w.promotion_ends_well = true;
    let mended = w.now;
    w.run(secs(60));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
    let claiming = w.first(mended, ClaimState::Claiming).unwrap();
    assert!(claiming > mended, "the assign has all of claim_timeout for itself");
    assert_eq!(w.report().obstacle, None);
}

#[test]
fn a_gate_takes_no_address_away() {
    let mut w = gated(ME);
    w.promotion_ends_well = false;
    let start = w.now;
    w.hold(&[]);
    w.run(secs(100));
    assert_eq!((w.state(), w.report().promoted, w.report().obstacle), (ClaimState::Held, None, None));
    assert!(w.promotions.len() >= 5, "repeated all the same: {:?}", w.promotions);
    assert!(w.count(start, is_api_look) <= 3, "for which nobody is asked who holds it");
    w.promotion_ends_well = true;
    w.run(secs(60));
    assert_eq!(steps(&w), [Milestone::Verified, Milestone::Promoted]);
    assert_eq!(w.report().promoted, Some(start));
    let done = w.promotions.len();
    w.run(HOUR);
    assert_eq!(w.promotions.len(), done, "once for each hold");
}

#[test]
fn an_address_that_is_lost_before_the_promotion_waits_for_it() {
    let mut w = gated(ME);
    w.promotion_ends_well = false;
    w.hold(&[]);
    w.run(secs(20));
    w.move_to(Holder::Nobody);
    w.run(secs(40));
    w.hold_again(&[]);
    w.run(secs(40));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Failing, 0));
    w.promotion_ends_well = true;
    w.run(secs(60));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
}

#[test]
fn an_address_that_comes_back_needs_no_second_promotion() {
    let mut w = gated(OLD);
    w.hold(&[OLD]);
    w.run(secs(60));
    w.move_to(Holder::Nobody);
    w.run(secs(5));
    w.hold_again(&[]);
    w.run(secs(30));
    assert_eq!((w.state(), w.assigns.len(), w.promotions.len()), (ClaimState::Held, 2, 1));
}

#[test]
fn a_promotion_of_a_mastership_that_is_over_runs_on_and_the_next_one_waits_for_its_end() {
    let mut w = gated(OLD);
    w.promotion_takes = secs(20);
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(2));
    w.intend(Intent::Yield);
    w.run(secs(3));
    assert_eq!((w.state(), w.report().promoted), (ClaimState::Idle, None));
    w.hold(&[OLD]);
    w.run(secs(10));
    assert_eq!((w.promotions.len(), w.assigns.len()), (1, 0), "one at a time");
    w.run(secs(60));
    assert_eq!((w.promotions.len(), w.state()), (2, ClaimState::Held), "its result counted for nothing");
    assert!(w.promotions[1] >= start + secs(20));
}

#[test]
fn what_a_promotion_says_after_its_mastership_is_nobodys_obstacle() {
    let mut w = gated(OLD);
    w.promotion_ends_well = false;
    w.promotion_takes = secs(5);
    w.hold(&[OLD]);
    w.run(secs(2));
    w.intend(Intent::Yield);
    w.run(secs(30));
    assert_eq!((w.promotions.len(), w.report().obstacle), (1, None));
    assert_eq!(w.failures, [FailureClass::Again], "it is logged");
}

#[test]
fn a_gate_that_is_taken_away_is_open_and_one_that_is_new_is_for_the_next_mastership() {
    let mut w = gated(OLD);
    w.promotion_ends_well = false;
    w.hold(&[OLD]);
    w.run(secs(30));
    assert_eq!(w.state(), ClaimState::Failing);
    w.retune(params());
    w.run(secs(30));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
    let before = w.promotions.len();
    w.retune(Params { gated: true, ..params() });
    w.run(secs(60));
    assert_eq!((w.state(), w.promotions.len()), (ClaimState::Held, before));
}

#[test]
fn a_promotion_that_outlasts_the_time_for_a_claim_lets_another_node_try() {
    let mut w = gated(OLD);
    w.promotion_takes = secs(100);
    let start = w.now;
    w.hold(&[OLD]);
    w.run(secs(61));
    assert_eq!((w.state(), w.report().failing_since), (ClaimState::Failing, Some(start)));
    assert!(w.assigns.is_empty());
}
