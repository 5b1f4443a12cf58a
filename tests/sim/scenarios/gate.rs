//! The promotion gate (rule 14): no assign before the service has been promoted.

use super::*;

fn gated(setup: Setup) -> Setup {
    Setup { promote: Some(Duration::from_millis(50)..=Duration::from_secs(3)), ..setup }
}

fn promotion(s: &Story) -> Duration {
    s.run.world.setup.promote.as_ref().map_or(Duration::ZERO, |takes| *takes.end())
}

fn assigns_of(s: &Story, host: Host) -> usize {
    let by = |h: &Happening| matches!(h, Happening::Called { host: of, action: Action::Assign } if *of == host);
    s.happened().filter(|(_, happening)| by(happening)).count()
}

/// Rule 14: a node that cannot be promoted never assigns, and the next one gets its turn.
#[test]
fn a_node_whose_promotion_fails_hands_on() {
    told(
        || gated(three()),
        |s| {
            s.settle()?;
            s.at_most(1);
            s.fault(Fault::PromotionFails { host: C })?;
            s.fault(Fault::HostDies { host: A, shown_off: false })?;
            // The best candidate goes first.
            s.until("C is master", s.dead_interval() * 2, |run| run.world.hosts[C].is_master())?;
            let claim_timeout = s.run.world.setup.claim_timeout;
            s.served_by(B, claim_timeout + promotion(s) * 3 + s.one_assign() + Duration::from_secs(10))?;
            s.expect(
                "C offered it",
                s.changed(B, |reason| matches!(reason, Reason::Offered { cause: HandOver::ClaimFailing, .. })),
            )?;
            s.expect("C never assigned", assigns_of(s, C) == 0)?;
            s.heal()?;
            s.expect("B keeps it", s.run.world.holder() == Some(B))
        },
    );
}

#[test]
fn an_address_whose_new_master_cannot_be_promoted_stays_where_it_serves() {
    told(
        || gated(two()),
        |s| {
            s.settle()?;
            s.at_most(0);
            s.fault(Fault::PromotionFails { host: B })?;
            s.act(Fault::Failover { host: A, to: None })?;
            s.until("B is master", s.dead_interval() * 2, |run| run.world.hosts[B].is_master())?;
            let claim_timeout = s.run.world.setup.claim_timeout;
            s.served_by(A, claim_timeout + promotion(s) * 3 + s.one_assign() + Duration::from_secs(10))?;
            s.expect("nothing was written", s.assigns() == 0 && s.moves() == 0)?;
            s.heal()?;
            s.expect("A keeps it", s.run.world.holder() == Some(A))
        },
    );
}

/// A promotion that takes its time is no failure, and its mastership may end meanwhile.
#[test]
fn a_promotion_that_is_overtaken_by_a_second_failover_counts_for_nothing() {
    told(
        || Setup { promote: Some(Duration::from_secs(6)..=Duration::from_secs(8)), ..two() },
        |s| {
            s.settle()?;
            s.fault(Fault::Sick { host: A })?;
            s.until("B is master", s.dead_interval() * 2, |run| run.world.hosts[B].is_master())?;
            s.pass(Duration::from_secs(1))?;
            s.act(Fault::Healthy { host: A })?;
            s.pass(Duration::from_secs(1))?;
            s.act(Fault::Failover { host: B, to: None })?;
            s.until("A is master", s.dead_interval() * 2, |run| run.world.hosts[A].is_master())?;
            s.served_by(A, s.one_assign() + Duration::from_secs(10))?;
            s.expect("nothing was written", s.assigns() == 0)?;
            s.pass(Duration::from_secs(20))?;
            s.heal()
        },
    );
}
