//! The IP is moved behind the group's back: to a member, to nobody, to a foreign droplet.

use super::*;

#[test]
fn hand_move_to_the_standby_takes_the_mastership_along() {
    told(two, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::MovedByHand { to: Target::Member(B) })?;
        s.served_by(B, s.one_assign() + Duration::from_secs(30))?;
        s.heal()
    });
}

/// Of three, the one that got it by hand keeps it.
#[test]
fn hand_move_to_the_last_of_three_is_respected() {
    told(three, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::MovedByHand { to: Target::Member(C) })?;
        s.served_by(C, s.one_assign() + Duration::from_secs(30))?;
        s.heal()
    });
}

/// A drained node cannot keep what it was given.
#[test]
fn hand_move_to_a_drained_node_is_repaired() {
    told(two, |s| {
        s.settle()?;
        s.act(Fault::Drain { host: B })?;
        s.pass(Duration::from_secs(2))?;
        s.fault(Fault::MovedByHand { to: Target::Member(B) })?;
        s.until("B has it", s.one_assign() + Duration::from_secs(2), |run| run.world.holder() == Some(B))?;
        s.served_by(A, s.one_assign() + Duration::from_secs(40))?;
        s.expect("one repair", s.agent_moves() == 1)
    });
}

#[test]
fn unassigned_by_hand_is_claimed_again_by_the_same_node() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::MovedByHand { to: Target::Nobody })?;
        s.until("nobody has it", s.one_assign(), |run| run.world.cloud.holder().is_none())?;
        s.served_by(A, s.one_assign() + Duration::from_secs(25))?;
        s.heal()
    });
}

#[test]
fn foreign_holder_at_the_start_is_never_robbed() {
    told(
        || Setup { holder: Target::Foreign, ..two() },
        |s| {
            if !s.inert {
                s.run.start_all(&mut s.rng);
            }
            s.pass(Duration::from_secs(180))?;
            s.expect("agents run", s.started(A) && s.started(B))?;
            s.expect("no assign", s.assigns() == 0)?;
            // The other droplet lets go: the group claims.
            s.heal()?;
            s.expect("one assign", s.agent_moves() == 1)
        },
    );
}

#[test]
fn hand_move_to_a_foreign_droplet_is_respected() {
    told(two, |s| {
        s.settle()?;
        s.fault(Fault::MovedByHand { to: Target::Foreign })?;
        s.pass(Duration::from_secs(120))?;
        s.expect("the foreign droplet keeps it", s.run.world.holder().is_none() && s.assigns() == 0)?;
        s.heal()
    });
}

/// `--take` names the foreign droplet: the operator's word permits it.
#[test]
fn foreign_droplet_is_replaced_by_an_operators_word() {
    told(two, |s| {
        s.settle()?;
        s.fault(Fault::MovedByHand { to: Target::Foreign })?;
        s.pass(s.one_assign() + Duration::from_secs(40))?;
        s.expect("the foreign droplet has it", s.run.world.holder().is_none())?;
        s.act(Fault::Take { host: A })?;
        s.served_by(A, s.one_assign() + Duration::from_secs(20))
    });
}
