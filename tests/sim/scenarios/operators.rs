//! An operator's commands, orderly stops, priorities and `preempt`.

use super::*;

#[test]
fn drain_moves_once_and_resume_moves_nothing() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::Drain { host: A })?;
        s.served_by(B, s.one_assign() + Duration::from_secs(8))?;
        s.expect(
            "B was offered it",
            s.changed(B, |reason| matches!(reason, Reason::Offered { cause: HandOver::Drain, .. })),
        )?;
        s.fault(Fault::Resume { host: A })?;
        s.pass(Duration::from_secs(40))?;
        s.heal()?;
        s.expect("B keeps it", s.run.world.holder() == Some(B))
    });
}

/// A drain survives the restart of its agent.
#[test]
fn drained_node_that_restarts_is_still_drained() {
    told(two, |s| {
        s.settle()?;
        s.fault(Fault::Drain { host: A })?;
        s.served_by(B, s.one_assign() + Duration::from_secs(8))?;
        s.act(Fault::AgentKilled { host: A })?;
        s.pass(Duration::from_secs(3))?;
        s.act(Fault::AgentStarts { host: A })?;
        s.pass(Duration::from_secs(3))?;
        s.act(Fault::HostDies { host: B, shown_off: false })?;
        s.pass(Duration::from_secs(60))?;
        s.expect("A claims nothing", s.run.world.holder() == Some(B))
    });
}

#[test]
fn failover_by_command() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::Failover { host: A, to: Some(B) })?;
        s.served_by(B, s.one_assign() + Duration::from_secs(8))?;
        s.expect("it was accepted", s.accepted(|command| matches!(command, Command::Failover { .. })))?;
        s.heal()?;
        s.expect("B keeps it", s.run.world.holder() == Some(B))
    });
}

/// An operator's word is not undone by a priority.
#[test]
fn failover_is_not_preempted() {
    told(
        || Setup { preempt: true, priorities: vec![150, 100], ..two() },
        |s| {
            s.settle()?;
            s.at_most(1);
            s.fault(Fault::Failover { host: A, to: Some(B) })?;
            s.served_by(B, s.one_assign() + Duration::from_secs(8))?;
            s.pass(Duration::from_secs(120))?;
            s.expect("B keeps it", s.run.world.holder() == Some(B))
        },
    );
}

#[test]
fn preempt_brings_it_back_once() {
    told(
        || Setup { preempt: true, priorities: vec![150, 100], ..two() },
        |s| {
            s.settle()?;
            s.at_most(2);
            s.fault(Fault::Sick { host: A })?;
            s.served_by(B, s.one_assign() + Duration::from_secs(8))?;
            s.fault(Fault::Healthy { host: A })?;
            s.served_by(A, Duration::from_secs(15) + s.one_assign() + Duration::from_secs(8))?;
            s.heal()
        },
    );
}

/// A priority changes, and with `preempt` the best one has it once.
#[test]
fn raised_priority_preempts_once() {
    told(
        || Setup { preempt: true, ..two() },
        |s| {
            s.settle()?;
            s.at_most(1);
            s.fault(Fault::Priority { host: B, priority: 150 })?;
            s.served_by(B, Duration::from_secs(15) + s.one_assign() + Duration::from_secs(8))?;
            s.heal()
        },
    );
}

/// Who cannot claim asks for nothing.
#[test]
fn better_node_without_uplink_does_not_preempt() {
    told(
        || Setup { preempt: true, priorities: vec![150, 100, 100], ..three() },
        |s| {
            s.settle()?;
            s.at_most(1);
            s.fault(Fault::PublicCut { host: A })?;
            s.until("another has it", Duration::from_secs(17) + s.one_assign(), |run| {
                run.world.is_settled() && run.world.holder() != Some(A)
            })?;
            s.pass(Duration::from_secs(60))?;
            s.expect(&format!("one takeover, not {}", s.takeovers()), s.takeovers() == 1)
        },
    );
}

/// An orderly stop is known in a round trip, not in `D`.
#[test]
fn agent_that_stops_names_its_successor() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        let at = s.run.world.now;
        s.fault(Fault::AgentStops { host: A })?;
        s.until("B is master", Duration::from_millis(20), |run| run.world.hosts[B].is_master())?;
        s.expect("at once", s.run.world.now - at < Duration::from_millis(20))?;
        s.expect("as resigned", s.changed(B, |reason| matches!(reason, Reason::Resigned { .. })))?;
        s.served_by(B, s.one_assign() + Duration::from_secs(8))?;
        s.heal()
    });
}
