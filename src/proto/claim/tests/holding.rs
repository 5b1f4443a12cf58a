//! A claim that is held: verification and loss (rule 13).

use super::world::{Call, Fault, ME, OLD, OTHER, World, is_api_look, is_request};
use super::*;
use crate::proto::ids::DropletId;

#[test]
fn a_held_claim_reads_metadata_each_second_and_the_api_once_each_readiness_interval() {
    let mut w = held();
    let start = w.now;
    w.run(HOUR);
    assert!((3_500..=3_601).contains(&w.count(start, |action| action == Action::LookLocal)));
    let looks = w.count(start, is_request);
    assert!((10..=12).contains(&looks), "{looks}");
    assert!(w.report().verified.unwrap() + secs(2) >= w.now);
}

#[test]
fn twice_not_mine_is_lost_at_once_whatever_the_api_does() {
    let mut w = held();
    w.fault(HOUR, Call::Look, Fault::Lost);
    w.move_to(OTHER);
    let start = w.now;
    w.run(secs(4));
    let lost = w.first(start, ClaimState::Lost).unwrap();
    assert!(lost <= start + w.local_lag + w.params.verify_interval + w.params.heartbeat_interval + w.latency * 2);
    w.run(secs(60));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Lost, 1));
}

#[test]
fn a_move_by_hand_to_a_member_is_reported_and_not_undone_without_a_word_of_the_election() {
    let mut w = held();
    w.move_to(OTHER);
    w.run(secs(10));
    assert_eq!((w.state(), w.report().look.unwrap().holder), (ClaimState::Lost, OTHER));
    w.run(secs(60));
    assert_eq!(w.assigns.len(), 1);
    w.hold_again(&[OLD, OTHER]);
    w.run(secs(10));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 2));
}

#[test]
fn the_old_holder_after_s_is_a_loss_too_and_the_used_base_permits_nothing() {
    let mut w = held();
    w.move_to(OLD);
    w.run(secs(30));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Lost, 1));
}

#[test]
fn an_unassign_by_hand_is_reported_and_claimed_again() {
    let mut w = held();
    w.move_to(Holder::Nobody);
    let start = w.now;
    w.run(secs(20));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 2));
    let lost = |report: &ClaimReport| report.state == ClaimState::Lost;
    let nobody = |report: &ClaimReport| report.look.is_some_and(|look| look.holder == Holder::Nobody);
    assert!(w.reports.iter().any(|(at, report)| *at > start && lost(report) && nobody(report)));
    let told: Vec<_> = w.milestones.iter().filter(|(at, _)| *at > start).map(|(_, step)| *step).collect();
    assert_eq!(told, [Milestone::AssignSent, Milestone::ActionCompleted, Milestone::Verified]);
}

#[test]
fn a_foreign_droplet_is_never_robbed() {
    let mut w = held();
    w.move_to(Holder::Foreign(DropletId(9)));
    w.run(secs(30));
    w.hold_again(&[OLD, OTHER]);
    w.run(secs(30));
    assert_eq!(w.assigns.len(), 1);
    assert_eq!(w.report().look.unwrap().holder, Holder::Foreign(DropletId(9)));
}

#[test]
fn a_stale_api_does_not_talk_a_lost_claim_back_to_held() {
    let mut w = held();
    w.api_lag = secs(5);
    w.move_to(OTHER);
    let start = w.now;
    w.run(secs(30));
    let lost = w.first(start, ClaimState::Lost).unwrap();
    assert_eq!(w.first(lost, ClaimState::Held), None);
}

#[test]
fn metadata_that_flips_once_loses_and_regains_without_a_write() {
    let mut w = held();
    w.move_to(OTHER);
    w.run_ms(2_000);
    w.move_to(ME);
    w.run(secs(15));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
}

#[test]
fn a_single_not_mine_is_no_loss() {
    let mut w = held();
    let start = w.now;
    let (ticket, outcome) = (Ticket(u64::MAX), Outcome::Local { mine: false });
    w.feed(Input::Done { ticket, outcome }); // A stranger's ticket is nothing at all.
    w.move_to(OTHER);
    w.run_ms(400);
    w.move_to(ME);
    w.run(secs(10));
    assert_eq!(w.first(start, ClaimState::Lost), None);
}

#[test]
fn metadata_that_lags_behind_the_api_loses_nothing_and_costs_few_looks() {
    let mut w = World::new(OLD);
    w.local_lag = secs(60);
    w.hold(&[OLD]);
    w.run(secs(10));
    let start = w.now;
    assert_eq!(w.state(), ClaimState::Held);
    w.run(secs(60));
    assert_eq!(w.first(start, ClaimState::Lost), None);
    assert!(w.count(start, is_api_look) < 12, "backs off to 10 s");
    let start = w.now;
    w.run(secs(60));
    assert!(w.count(start, is_request) <= 1, "quiet, once metadata agrees");
}

#[test]
fn without_metadata_the_api_verifies_backing_off_to_ten_seconds() {
    let mut w = held();
    w.fault(HOUR, Call::Local, Fault::Fail(FailureClass::Again));
    w.run(secs(60));
    let start = w.now;
    w.run(secs(300));
    assert!((28..=31).contains(&w.count(start, is_request)), "{}", w.count(start, is_request));
    assert_eq!(w.state(), ClaimState::Held);
    w.move_to(OTHER);
    w.run(secs(12));
    assert_eq!(w.state(), ClaimState::Lost);
}

#[test]
fn when_nothing_answers_it_is_still_held_and_its_verification_ages() {
    let mut w = held();
    let start = w.now;
    w.fault(HOUR, Call::Local, Fault::Lost);
    w.fault(HOUR, Call::Look, Fault::Lost);
    w.run(secs(600));
    assert_eq!(w.state(), ClaimState::Held);
    assert!(w.report().verified.unwrap() <= start);
    assert!(w.report().obstacle.is_some());
}

#[test]
fn a_refused_token_while_held_is_an_obstacle_and_nothing_else() {
    let mut w = held();
    w.fault(HOUR, Call::Look, Fault::Fail(FailureClass::Never));
    let start = w.now;
    w.run(HOUR);
    assert_eq!((w.state(), w.report().obstacle.as_deref()), (ClaimState::Held, Some("Never")));
    assert!(w.count(start, is_request) <= 61);
}

#[test]
fn a_raised_term_is_the_same_hold() {
    let mut w = held();
    let start = w.now;
    let Intent::Hold(hold) = w.reconciler.intent else { panic!() };
    w.intend(Intent::Hold(Hold { term: hold.term.next(), ..hold }));
    w.run(secs(5));
    assert_eq!((w.state(), w.count(start, is_request)), (ClaimState::Held, 0));
    assert_eq!(w.milestones.iter().filter(|(_, milestone)| *milestone == Milestone::Verified).count(), 1);
}
