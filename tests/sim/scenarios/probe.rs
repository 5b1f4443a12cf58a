//! The probe (rule 9): a silent master that still serves is not dead, and one that does not is.

use super::*;
use crate::faults::File;

fn probed(setup: Setup) -> Setup {
    Setup { probe: Some(Duration::from_millis(500)), ..setup }
}

fn two_probed() -> Setup {
    probed(two())
}

impl Story {
    /// From the last heartbeat to complete evidence, the API's word included.
    fn evidence(&self) -> Duration {
        let look = *self.run.world.setup.profile.latency.end() * 2 + Duration::from_millis(50);
        self.dead_interval().max(self.interval() * 11 / 10 + Duration::from_millis(750) + look)
    }

    fn probing(&self, host: Host) -> bool {
        self.happened().any(|(_, h)| matches!(h, Happening::Probing { host: who, wanted: true } if *who == host))
    }
}

/// A service that answers is not taken its address, however long nothing is heard of its agent.
#[test]
fn cut_link_with_a_probe_moves_nothing_and_heals_quietly() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::CutBoth { a: A, b: B })?;
        s.pass(Duration::from_secs(120))?;
        s.expect("B asked the service", s.probing(B))?;
        s.expect("nobody took over", s.takeovers() == 0)?;
        s.fault(Fault::Mend { a: A, b: B })?;
        s.heal()?;
        s.expect("A has it, and nobody took over", s.run.world.holder() == Some(A) && s.takeovers() == 0)
    });
}

/// B does not hear A, A hears B.
#[test]
fn one_way_cut_with_a_probe_moves_nothing() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::Cut { from: A, to: B })?;
        s.pass(Duration::from_secs(60))?;
        s.expect("B asked the service", s.probing(B))?;
        s.heal()?;
        s.expect("nobody took over", s.takeovers() == 0)
    });
}

#[test]
fn dead_host_with_a_probe_moves_once_and_as_fast_as_its_evidence() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(1);
        let died = s.run.world.now;
        s.fault(Fault::HostDies { host: A, shown_off: died.as_nanos() % 2 == 0 })?;
        let evidence = s.evidence();
        s.until("B takes over", evidence + Duration::from_millis(100), |run| run.world.hosts[B].is_master())?;
        s.served_by(B, s.one_assign() + Duration::from_secs(8))?;
        s.heal()?;
        s.expect("B keeps it", s.run.world.holder() == Some(B))
    });
}

/// P4 outranks P1: a service whose agent is dead runs on where it is, until it dies too.
#[test]
fn dead_agent_with_a_living_service_is_left_alone_until_the_service_dies_too() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::AgentKilled { host: A })?;
        s.pass(Duration::from_secs(60))?;
        s.expect("B asked the service", s.probing(B))?;
        s.expect("nobody took over", s.takeovers() == 0 && s.moves() == 0)?;
        s.fault(Fault::HostDies { host: A, shown_off: false })?;
        // The API is asked each 2 s by then; its word is younger than the first failure.
        let limit = Duration::from_millis(1_500) + Duration::from_secs(2) + s.one_assign() + Duration::from_secs(8);
        s.served_by(B, limit)?;
        s.heal()
    });
}

#[test]
fn dead_agent_that_comes_back_finds_its_address() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::AgentKilled { host: A })?;
        s.pass(Duration::from_secs(30))?;
        s.expect("B asked the service", s.probing(B))?;
        s.act(Fault::AgentStarts { host: A })?;
        s.heal()?;
        s.expect("A has it", s.run.world.holder() == Some(A))
    });
}

/// An agent that stands still while its host serves.
#[test]
fn stopped_agent_with_a_living_service_is_left_alone_and_a_frozen_host_is_replaced() {
    for frozen in [false, true] {
        told(two_probed, |s| {
            s.settle()?;
            s.at_most(usize::from(frozen));
            let length = Duration::from_secs(20);
            let fault = if frozen { Fault::Frozen { host: A, length } } else { Fault::Stopped { host: A, length } };
            s.fault(fault)?;
            s.pass(length + Duration::from_secs(1))?;
            s.expect("A saw the gap", s.changed(A, |reason| matches!(reason, Reason::Gap { .. })))?;
            s.heal()?;
            s.expect("it is where it should be", s.run.world.holder() == Some(if frozen { B } else { A }))
        });
    }
}

/// Who is cut off itself hears no service either, and learns nothing from that.
#[test]
fn own_uplink_cut_makes_a_failing_probe_no_evidence() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::PublicCut { host: B })?;
        s.fault(Fault::CutBoth { a: A, b: B })?;
        s.pass(Duration::from_secs(60))?;
        s.expect("B asked the service", s.probing(B))?;
        s.expect("nobody took over", s.takeovers() == 0)?;
        // The provider is reached again before the peer is.
        s.fault(Fault::PublicMended { host: B })?;
        s.pass(Duration::from_secs(20))?;
        s.expect("nobody took over", s.takeovers() == 0)?;
        s.heal()?;
        s.expect("A has it", s.run.world.holder() == Some(A))
    });
}

/// Cut off for so short that no reach probe has noticed.
#[test]
fn short_isolation_of_the_backup_moves_nothing() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::PublicCut { host: B })?;
        s.fault(Fault::CutBoth { a: A, b: B })?;
        let length = s.rng.millis(500..=6_000);
        s.pass(length)?;
        s.fault(Fault::PublicMended { host: B })?;
        s.pass(Duration::from_secs(10))?;
        s.expect("B asked the service", s.probing(B))?;
        s.heal()?;
        s.expect("nobody took over", s.takeovers() == 0)
    });
}

/// The master without uplink hands over by its own word; no probe is needed for that.
#[test]
fn isolated_master_with_a_probe_hands_over() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::PublicCut { host: A })?;
        s.served_by(B, Duration::from_secs(9) + s.one_assign() + Duration::from_secs(8))?;
        s.heal()
    });
}

/// Rule 8: the service of the one that took it must have been dead for 25 s.
#[test]
fn deposed_node_with_a_probe_comes_back_after_25_s_of_failure_and_not_before() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(1);
        s.fault(Fault::CutBoth { a: A, b: B })?;
        // A person moves it, and the two do not hear each other.
        s.fault(Fault::MovedByHand { to: Target::Member(B) })?;
        s.until("A is deposed", s.one_assign() + Duration::from_secs(40), |run| !run.world.hosts[A].is_master())?;
        s.pass(Duration::from_secs(90))?;
        s.expect("B's service answers, and it keeps it", s.run.world.holder() == Some(B) && s.agent_moves() == 0)?;
        s.fault(Fault::HostDies { host: B, shown_off: false })?;
        s.pass(Duration::from_secs(24))?;
        s.expect("not yet", s.agent_moves() == 0)?;
        s.served_by(A, Duration::from_secs(4) + s.one_assign() + Duration::from_secs(8))?;
        s.expect("by its chance", s.changed(A, |reason| matches!(reason, Reason::Chance { .. })))
    });
}

/// The one that took it never serves: the tries grow rarer.
#[test]
fn chances_with_a_probe_grow_rarer() {
    told(two_probed, |s| {
        s.settle()?;
        s.fault(Fault::CutBoth { a: A, b: B })?;
        s.fault(Fault::MovedByHand { to: Target::Member(B) })?;
        s.until("A is deposed", s.one_assign() + Duration::from_secs(40), |run| !run.world.hosts[A].is_master())?;
        s.fault(Fault::HostDies { host: B, shown_off: false })?;
        let chances = |s: &Story| {
            s.happened()
                .filter(|(_, h)| matches!(h, Happening::Transition { host: A, transition } if matches!(transition.reason, Reason::Chance { .. })))
                .count()
        };
        // Each time it has it, a person takes it away again.
        for _ in 0..3 {
            let before = chances(s);
            s.until("A has another chance", Duration::from_secs(240) + s.one_assign(), |run| {
                run.world.holder() == Some(A)
            })?;
            s.expect("one more", chances(s) == before + 1)?;
            s.pass(Duration::from_secs(12))?;
            s.act(Fault::MovedByHand { to: Target::Member(B) })?;
            s.until("A is deposed", s.one_assign() + Duration::from_secs(40), |run| !run.world.hosts[A].is_master())?;
        }
        let deposed = s.run.world.now;
        s.pass(Duration::from_secs(25) * 4)?;
        s.expect(&format!("no chance within 100 s of {deposed:?}"), chances(s) == 3)
    });
}

/// "Could not ask" is neither an answer nor a failure: while it lasts nothing moves, however long.
#[test]
fn probes_that_cannot_ask_take_nothing_over_until_they_can() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(0);
        s.act(Fault::ProbesBlind { host: B })?;
        s.fault(Fault::HostDies { host: A, shown_off: false })?;
        s.pass(Duration::from_secs(120))?;
        s.expect("B waits", !s.run.world.hosts[B].is_master())?;
        s.at_most(1);
        s.act(Fault::ProbesSee { host: B })?;
        s.served_by(B, s.evidence() + s.one_assign() + Duration::from_secs(8))
    });
}

/// The operator takes the probe away while it defers a takeover: silence decides, from that word on.
#[test]
fn a_reload_that_takes_the_probe_away_begins_the_silence_anew() {
    told(two_probed, |s| {
        s.settle()?;
        s.at_most(0);
        s.fault(Fault::AgentKilled { host: A })?;
        s.pass(Duration::from_secs(60))?;
        s.expect("B defers", s.run.world.holder() == Some(A) && !s.run.world.hosts[B].is_master())?;
        let file = File { probe: false, ..s.run.world.setup.file(B) };
        s.act(Fault::Reload { host: B, file })?;
        s.pass(s.dead_interval() - s.run.world.setup.interval / 5)?;
        s.expect("not at once", !s.run.world.hosts[B].is_master())?;
        s.at_most(1);
        s.served_by(B, s.interval() + s.one_assign() + Duration::from_secs(8))
    });
}
