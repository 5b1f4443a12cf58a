//! Links that are cut, both ways or one, that lose datagrams or bring old ones, and what
//! a deposed node does that was cut off.

use super::*;

#[test]
fn cut_link_moves_once_and_ends_with_one_master() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::CutBoth { a: A, b: B })?;
        s.until("B takes over", s.dead_interval() * 2, |run| run.world.hosts[B].is_master())?;
        s.pass(Duration::from_secs(30))?;
        s.fault(Fault::Mend { a: A, b: B })?;
        s.heal()?;
        s.expect("one move in all", s.moves() <= 1)
    });
}

/// Healed while B's assign is on its way: both are master and hear each other.
#[test]
fn link_mended_during_the_assign_ends_the_duel() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::CutBoth { a: A, b: B })?;
        s.until("B takes over", s.dead_interval() * 2, |run| run.world.hosts[B].is_master())?;
        let phase = s.rng.millis(0..=2_000);
        s.pass(phase)?;
        s.fault(Fault::Mend { a: A, b: B })?;
        s.until("one master", s.dead_interval() * 2 + s.one_assign() * 2, |run| run.world.masters().count() == 1)?;
        s.heal()
    });
}

/// B does not hear A, A hears B. One takeover at most.
#[test]
fn one_way_cut_moves_at_most_once() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::Cut { from: A, to: B })?;
        s.until("B takes over", s.dead_interval() * 2, |run| run.world.hosts[B].is_master())?;
        s.pass(Duration::from_secs(40))?;
        s.heal()
    });
}

/// A master that is deaf to a restarted backup never echoes its new run.
#[test]
fn mastership_that_is_not_echoed_hinders_a_takeover() {
    told(two, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::Cut { from: B, to: A })?;
        s.fault(Fault::AgentKilled { host: B })?;
        s.fault(Fault::AgentStarts { host: B })?;
        s.pass(Duration::from_secs(40))?;
        s.expect("B was started again", s.started(B))?;
        s.expect("B is no master", s.takeovers() == 0)?;
        s.heal()
    });
}

/// What one backup hears, the other knows.
#[test]
fn backup_of_three_that_is_cut_from_the_master_hears_it_by_relay() {
    told(three, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::CutBoth { a: A, b: C })?;
        s.pass(Duration::from_secs(60))?;
        s.expect("the link is cut", !s.run.world.network.is_sound(A, C))?;
        s.expect("nobody took over", s.takeovers() == 0)?;
        s.heal()
    });
}

/// Three lost datagrams are no death, because the backup asks.
#[test]
fn loss_of_three_percent_for_an_hour_moves_nothing() {
    for seed in 0..2 {
        let mut story = Story::new(two(), seed, false);
        let mut tell = || {
            story.settle()?;
            story.at_most(0);
            story.fault(Fault::Loss { percent: 3.0 })?;
            story.pass(Duration::from_secs(3_600))?;
            story.expect("nobody took over", story.takeovers() == 0)?;
            story.heal()
        };
        if let Err(Unmet(text)) = tell() {
            panic!("seed {seed}: {text}");
        }
    }
}

#[test]
fn loss_of_thirty_percent_for_a_minute_moves_at_most_once() {
    for seed in 0..20 {
        let mut story = Story::new(two(), seed, false);
        let mut tell = || {
            story.settle()?;
            story.at_most(1);
            story.fault(Fault::Loss { percent: 30.0 })?;
            story.pass(Duration::from_secs(60))?;
            story.heal()
        };
        if let Err(Unmet(text)) = tell() {
            panic!("seed {seed}: {text}");
        }
    }
}

/// Recorded before the restart and sent again after it: dropped.
#[test]
fn replayed_datagrams_change_nothing() {
    told(two, |s| {
        s.settle()?;
        // A resignation is among the records.
        s.fault(Fault::AgentStops { host: A })?;
        s.served_by(B, s.one_assign() + Duration::from_secs(8))?;
        s.act(Fault::AgentStarts { host: A })?;
        s.act(Fault::Failover { host: B, to: Some(A) })?;
        s.pass(Duration::from_secs(3))?;
        s.act(Fault::Failover { host: B, to: Some(A) })?;
        s.served_by(A, s.one_assign() * 2 + Duration::from_secs(16))?;
        s.pass(Duration::from_secs(3))?;
        let before = s.takeovers();
        s.at_most(0);
        s.fault(Fault::Replayed { from: A, to: B })?;
        s.fault(Fault::Replayed { from: B, to: A })?;
        s.pass(Duration::from_secs(30))?;
        s.expect("nobody took over", s.takeovers() == before)?;
        s.heal()
    });
}

/// Holes 9 and 10: cut off and deposed, paused and restarted, it does not take it back.
#[test]
fn deposed_node_that_restarts_does_not_take_it_back() {
    told(two, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::CutBoth { a: A, b: B })?;
        s.until("B has it", s.dead_interval() * 2 + s.one_assign(), |run| run.world.holder() == Some(B))?;
        s.pass(Duration::from_secs(12))?;
        s.fault(Fault::AgentKilled { host: A })?;
        s.pass(Duration::from_secs(1))?;
        s.fault(Fault::AgentStarts { host: A })?;
        s.pass(Duration::from_secs(30))?;
        s.expect("B keeps it", s.run.world.holder() == Some(B) && s.moves() == 1)?;
        s.heal()
    });
}

/// The one that took it dies behind the cut: the deposed one has its chance.
#[test]
fn deposed_node_has_its_chance_when_the_other_dies() {
    told(two, |s| {
        s.settle()?;
        s.at_most(2);
        s.fault(Fault::CutBoth { a: A, b: B })?;
        s.until("B has it", s.dead_interval() * 2 + s.one_assign(), |run| run.world.holder() == Some(B))?;
        s.pass(Duration::from_secs(12))?;
        s.fault(Fault::HostDies { host: B, shown_off: false })?;
        s.served_by(A, Duration::from_secs(100) + s.one_assign())
    });
}
