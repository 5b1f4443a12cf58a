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

/// The address is on a dead host, and nobody left can be promoted: the tries grow rarer, nothing is
/// written, and the first one that can be promoted has it.
#[test]
fn promotions_that_fail_everywhere_do_not_bounce() {
    told(
        || gated(three()),
        |s| {
            s.settle()?;
            s.at_most(0);
            s.act(Fault::PromotionFails { host: B })?;
            s.act(Fault::PromotionFails { host: C })?;
            s.fault(Fault::HostDies { host: A, shown_off: false })?;
            s.pass(Duration::from_secs(900))?;
            s.expect(&format!("few masterships, not {}", s.takeovers()), (2..=12).contains(&s.takeovers()))?;
            s.expect("nothing was written", s.assigns() == 0)?;
            s.at_most(1);
            s.act(Fault::PromotionWorks { host: B })?;
            // Its turn comes, at the latest, after the longest that one of them holds back.
            s.served_by(B, Duration::from_secs(900))
        },
    );
}

/// Rules 11 and 14: the better one cannot be promoted. The address stays, and it asks ever more rarely.
#[test]
fn a_better_node_that_cannot_be_promoted_asks_ever_more_rarely() {
    let setup =
        || Setup { preempt: true, priorities: vec![100, 200], preempt_delay: Duration::from_secs(5), ..gated(two()) };
    told(
        || Setup { holder: Target::Member(B), ..setup() },
        |s| {
            s.settle()?;
            s.act(Fault::PromotionFails { host: B })?;
            s.fault(Fault::HostDies { host: B, shown_off: false })?;
            s.served_by(A, promotion(s) + s.one_assign() + Duration::from_secs(15))?;
            s.at_most(0);
            s.fault(Fault::HostBoots { host: B })?;
            s.pass(Duration::from_secs(900))?;
            let asked = |reason: &Reason| matches!(reason, Reason::Offered { cause: HandOver::Preempt, .. });
            let times = s.happened().filter(
                |(_, h)| matches!(h, Happening::Transition { host: B, transition } if asked(&transition.reason)),
            );
            let times = times.count();
            s.expect(&format!("asked {times} times"), (2..=7).contains(&times))?;
            s.expect("B never assigned", assigns_of(s, B) == 0)?;
            s.expect("A has it all the time", s.run.world.holder() == Some(A))
        },
    );
}
