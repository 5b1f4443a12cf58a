//! Hosts and agents that die, restart, boot late or stand still, and a cold start of all.

use super::*;

#[test]
fn host_gone() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::HostDies { host: A, shown_off: s.run.world.now.as_nanos() % 2 == 0 })?;
        s.served_by(B, s.dead_interval() + s.interval() + s.one_assign() + Duration::from_secs(6))?;
        s.heal()?;
        s.expect("B keeps it", s.run.world.holder() == Some(B))
    });
}

#[test]
fn killed_agent_back_within_d_moves_nothing() {
    told(two, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::AgentKilled { host: A })?;
        let down = s.rng.duration(&(Duration::from_millis(10)..=s.interval()));
        s.pass(down)?;
        s.fault(Fault::AgentStarts { host: A })?;
        s.pass(Duration::from_secs(20))?;
        s.expect("A was started again", s.started(A))?;
        s.expect("B never took over", !s.changed(B, |reason| matches!(reason, Reason::Silent { .. })))?;
        s.heal()?;
        s.expect("A keeps it", s.run.world.holder() == Some(A) && s.moves() == 0)
    });
}

#[test]
fn killed_agent_that_stays_away_is_replaced() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::AgentKilled { host: A })?;
        s.served_by(B, s.dead_interval() + s.interval() + s.one_assign() + Duration::from_secs(6))
    });
}

/// The backup that restarts in the outage has never heard a master.
#[test]
fn backup_restarted_during_the_outage_still_takes_over() {
    told(two, |s| {
        s.settle()?;
        s.fault(Fault::HostDies { host: A, shown_off: false })?;
        let early = s.rng.duration(&(Duration::ZERO..=s.dead_interval() / 2));
        s.pass(early)?;
        s.act(Fault::AgentKilled { host: B })?;
        s.pass(Duration::from_secs(1))?;
        s.act(Fault::AgentStarts { host: B })?;
        s.served_by(B, s.dead_interval() * 6 + s.one_assign() + Duration::from_secs(10))
    });
}

/// The holder does not come back from the power cut, the other host does.
#[test]
fn holder_that_does_not_boot_is_replaced_after_the_boot_grace() {
    told(
        || booted_together(two()),
        |s| {
            if s.inert {
                s.act(Fault::AgentStarts { host: A })?;
            } else {
                s.act(Fault::HostDies { host: A, shown_off: false })?;
            }
            s.act(Fault::AgentStarts { host: B })?;
            s.served_by(B, Duration::from_secs(20) + s.dead_interval() * 6 + s.one_assign() + Duration::from_secs(10))
        },
    );
}

/// All boot together and the holder is the slowest.
#[test]
fn holder_that_boots_last_keeps_the_address() {
    told(
        || booted_together(two()),
        |s| {
            s.at_most(0);
            s.fault(Fault::AgentStarts { host: B })?;
            s.pass(Duration::from_secs(10))?;
            s.expect("B listens", s.started(B))?;
            s.act(Fault::AgentStarts { host: A })?;
            s.served_by(A, Duration::from_secs(30))
        },
    );
}

/// A droplet that was `off` when it was replaced is on again before the reads agree.
#[test]
fn host_that_boots_during_the_assign_moves_once() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::HostDies { host: A, shown_off: true })?;
        s.until("the assign is sent", s.dead_interval() * 2 + Duration::from_secs(2), |run| {
            run.history.iter().any(|(_, h)| matches!(h, Happening::Called { host: B, action: Action::Assign }))
        })?;
        s.pass(Duration::from_millis(100))?;
        s.fault(Fault::HostBoots { host: A })?;
        s.served_by(B, s.one_assign() + Duration::from_secs(8))?;
        s.heal()?;
        s.expect("B keeps it", s.run.world.holder() == Some(B))
    });
}

#[test]
fn two_deaths_in_a_row_of_three() {
    told(three, |s| {
        s.settle()?;
        s.at_most(2);
        s.fault(Fault::HostDies { host: A, shown_off: false })?;
        let limit = s.dead_interval() + s.interval() * 2 + s.one_assign() + Duration::from_secs(8);
        s.until("one of the others", limit, |run| run.world.is_settled() && run.world.holder() != Some(A))?;
        let Some(second) = s.run.world.holder() else { return Err(Unmet("nobody".into())) };
        s.fault(Fault::HostDies { host: second, shown_off: false })?;
        s.served_by(B + C - second, limit)?;
        s.heal()
    });
}

#[test]
fn cold_start_with_the_address_on_nobody() {
    told(
        || Setup { holder: Target::Nobody, ..two() },
        |s| {
            if !s.inert {
                s.run.start_all(&mut s.rng);
            }
            s.until("served", s.dead_interval() * 8 + s.one_assign() + Duration::from_secs(10), |run| {
                run.world.is_settled()
            })?;
            s.expect("one move", s.agent_moves() == 1)?;
            s.heal()
        },
    );
}

#[test]
fn cold_start_with_the_address_on_either_moves_nothing() {
    for holder in [A, B] {
        told(
            || Setup { holder: Target::Member(holder), ..two() },
            |s| {
                s.at_most(0);
                if !s.inert {
                    s.run.start_all(&mut s.rng);
                }
                s.served_by(holder, s.dead_interval() * 4 + Duration::from_secs(2))?;
                s.heal()?;
                s.expect("no assign", s.assigns() == 0)
            },
        );
    }
}

#[test]
fn short_pause_of_the_master_moves_nothing() {
    told(two, |s| {
        s.settle()?;
        s.at_most(0);
        let length = s.dead_interval() - s.interval() - Duration::from_millis(50);
        s.fault(Fault::Stopped { host: A, length })?;
        s.pass(Duration::from_secs(20))?;
        s.expect("A was paused", s.happened().any(|(_, h)| matches!(h, Happening::Woke { host: A })))?;
        s.expect("A has listened to nothing", s.takeovers() == 0)?;
        s.heal()
    });
}

#[test]
fn long_pause_of_the_master_moves_once() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        let length = s.rng.millis(6_000..=20_000);
        let fault = s.rng.pick(&[Fault::Stopped { host: A, length }, Fault::Frozen { host: A, length }]);
        s.fault(fault)?;
        s.pass(length + Duration::from_secs(1))?;
        s.expect("A saw the gap", s.changed(A, |reason| matches!(reason, Reason::Gap { .. })))?;
        s.heal()?;
        s.expect("B has it", s.run.world.holder() == Some(B))
    });
}

/// After a pause the backup reads what has queued before it judges.
#[test]
fn pause_of_the_backup_moves_nothing() {
    told(two, |s| {
        s.settle()?;
        s.at_most(0);
        // Shorter than `D` with a silence longer than `D`: no gap excuses the evaluation.
        let within = s.dead_interval() - s.rng.duration(&(Duration::ZERO..=s.interval()));
        let long = s.rng.millis(300..=20_000);
        let length = s.rng.pick(&[within, long]);
        s.fault(Fault::Stopped { host: B, length })?;
        s.pass(length + Duration::from_secs(20))?;
        s.expect("B was paused", s.happened().any(|(_, h)| matches!(h, Happening::Woke { host: B })))?;
        s.expect("nobody took over", s.takeovers() == 0)?;
        s.heal()
    });
}
