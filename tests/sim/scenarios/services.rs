//! Sick services, an API that refuses or is lost, a master without its uplink.

use super::*;

/// Both sick at once, the IP stays where it is.
#[test]
fn two_sick_at_once_move_nothing() {
    told(two, |s| {
        s.settle()?;
        s.at_most(0);
        // The backup's word must be on its way first: who is offered to at once goes at once.
        s.fault(Fault::Sick { host: B })?;
        s.pass(Duration::from_millis(20))?;
        s.fault(Fault::Sick { host: A })?;
        s.pass(Duration::from_millis(400))?;
        s.expect("A is sick", !s.run.world.hosts[A].healthy)?;
        // Whoever recovers first is the better one from then on.
        s.fault(Fault::Healthy { host: A })?;
        s.pass(Duration::from_millis(50))?;
        s.fault(Fault::Healthy { host: B })?;
        s.heal()?;
        s.expect("A has it", s.run.world.holder() == Some(A))
    });
}

/// All sick for long; the first that recovers gets it.
#[test]
fn first_to_recover_gets_the_address() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::Sick { host: B })?;
        s.pass(Duration::from_secs(1))?;
        s.fault(Fault::Sick { host: A })?;
        s.pass(Duration::from_secs(30))?;
        s.expect("it stays", s.moves() == 0)?;
        s.fault(Fault::Healthy { host: B })?;
        s.served_by(B, Duration::from_secs(4) + s.one_assign() + Duration::from_secs(8))
    });
}

/// Reads work, each write is refused: the mastership does not bounce.
#[test]
fn claim_that_fails_everywhere_does_not_bounce() {
    told(two, |s| {
        s.settle()?;
        s.fault(Fault::Api(Api::ReadOnly))?;
        s.fault(Fault::HostDies { host: A, shown_off: false })?;
        s.pass(Duration::from_secs(20))?;
        s.fault(Fault::HostBoots { host: A })?;
        s.pass(Duration::from_secs(300))?;
        s.expect("B tried", s.assigns() > 0)?;
        s.expect(&format!("few masterships, not {}", s.takeovers()), s.takeovers() <= 5)?;
        s.heal()
    });
}

/// The API is lost to all: nothing moves, the holder stays (P4).
fn lost(api: Api) {
    told(two, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::Api(api))?;
        s.fault(Fault::MetadataDown { host: A })?;
        s.pass(Duration::from_secs(120))?;
        s.expect("the API is lost", s.run.world.cloud.api == api)?;
        s.expect("A is master", s.run.world.hosts[A].is_master() && s.takeovers() == 0)?;
        s.heal()?;
        s.expect("A has it", s.run.world.holder() == Some(A))
    });
}

#[test]
fn api_that_answers_503_moves_nothing() {
    lost(Api::Down);
}

/// Each notices it in its own time: who is first must not hand over to who has yet to.
#[test]
fn api_that_nobody_reaches_moves_nothing() {
    lost(Api::Unreachable);
}

/// It comes back for each in its own time, too: the master may be the last to know.
#[test]
fn api_that_comes_back_moves_nothing() {
    told(two, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::Api(Api::Unreachable))?;
        s.pass(Duration::from_secs(20))?;
        s.expect("nobody reaches it", s.run.world.cloud.api == Api::Unreachable)?;
        s.act(Fault::Api(Api::Up))?;
        s.pass(Duration::from_secs(20))?;
        s.expect("A is master", s.run.world.hosts[A].is_master() && s.takeovers() == 0)?;
        s.heal()
    });
}

/// "Reach": a master without uplink offers to one that has it.
#[test]
fn isolated_master_hands_over() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::PublicCut { host: A })?;
        s.served_by(B, Duration::from_secs(9) + s.one_assign() + Duration::from_secs(8))?;
        s.expect(
            "as isolated",
            s.changed(B, |reason| matches!(reason, Reason::Offered { cause: HandOver::Isolated, .. })),
        )?;
        s.heal()
    });
}
