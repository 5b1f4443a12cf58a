//! Scenarios with names: what operators were burnt by, and the holes that a first
//! model of the rules had, each over many seeds (delays, jitter, a slow or a fast
//! provider). The swarm's invariants judge each moment of these, too.
//!
//! A scenario is told with its faults and must end well, and without them, when it
//! must not: an expectation that holds whether anything happened or not tests nothing.

mod probe;

use haagent::proto::claim::event::Action;
use haagent::proto::election::event::{Command, Reason};
use haagent::proto::heartbeat::{HandOver, NodeState};
use haagent::proto::time::{Duration, Time};

use crate::cloud::{Api, Mover, Profile};
use crate::faults::{Fault, File, Host, Target};
use crate::invariants::{Terms, Violation};
use crate::rng::Rng;
use crate::run::Run;
use crate::world::{Happening, Setup};

const A: Host = 0;
const B: Host = 1;
const C: Host = 2;

/// How a story ended that did not end well.
#[derive(Debug)]
struct Unmet(String);

impl From<Violation> for Unmet {
    fn from(violation: Violation) -> Self {
        Self(format!("{}: {}", violation.promise, violation.text))
    }
}

type Told = Result<(), Unmet>;

struct Story {
    run: Run,
    rng: Rng,
    /// Faults are told and do not happen.
    inert: bool,
    chapter: usize,
}

impl Story {
    fn new(setup: Setup, seed: u64, inert: bool) -> Self {
        Self { run: Run::new(setup, seed, true).with_history(), rng: Rng::new(seed ^ 0x5707), inert, chapter: 0 }
    }

    fn interval(&self) -> Duration {
        self.run.world.setup.interval
    }

    fn dead_interval(&self) -> Duration {
        self.run.world.setup.dead_interval()
    }

    /// The longest that one assign takes, all words and looks included.
    fn one_assign(&self) -> Duration {
        let profile = &self.run.world.setup.profile;
        *profile.assign.end() + *profile.latency.end() * 6 + Duration::from_millis(50)
    }

    /// All agents start and the group settles, on the host that has the IP.
    fn settle(&mut self) -> Told {
        self.run.start_all(&mut self.rng);
        let limit = self.dead_interval() * 8 + Duration::from_secs(40);
        self.until("the group settles", limit, |run| run.world.is_settled())?;
        self.pass(self.dead_interval() * 2)?;
        // Where in the heartbeat interval the fault falls is the seed's choice.
        let phase = self.rng.duration(&(Duration::ZERO..=self.interval()));
        self.pass(phase)?;
        self.chapter = self.run.history.len();
        Ok(())
    }

    /// From now on so many moves by agents are due at most.
    fn at_most(&mut self, moves: usize) {
        self.run.arm(Terms { moves: Some(moves), ..Terms::default() });
    }

    fn fault(&mut self, fault: Fault) -> Told {
        if !self.inert {
            self.act(fault)?;
        }
        Ok(())
    }

    /// What belongs to the story and is no fault.
    fn act(&mut self, fault: Fault) -> Told {
        let now = self.run.world.now;
        self.run.world.inject(now, fault);
        Ok(self.run.run_until(now)?)
    }

    fn pass(&mut self, length: Duration) -> Told {
        let end = self.run.world.now + length;
        Ok(self.run.run_until(end)?)
    }

    fn until(&mut self, what: &str, limit: Duration, mut met: impl FnMut(&Run) -> bool) -> Told {
        if self.run.run_while(limit, |run| !met(run))? {
            Ok(())
        } else {
            Err(Unmet(format!("not within {limit:?}: {what}")))
        }
    }

    /// `host` has the IP, is the one master and knows it.
    fn served_by(&mut self, host: Host, limit: Duration) -> Told {
        self.until(&format!("served by host {host}"), limit, |run| {
            run.world.is_settled() && run.world.holder() == Some(host)
        })
    }

    fn expect(&self, what: &str, met: bool) -> Told {
        if met { Ok(()) } else { Err(Unmet(what.to_owned())) }
    }

    /// What happened since the group had settled.
    fn happened(&self) -> impl Iterator<Item = &(Time, Happening)> {
        self.run.history[self.chapter..].iter()
    }

    fn moves(&self) -> usize {
        self.happened().filter(|(_, happening)| matches!(happening, Happening::Moved(_))).count()
    }

    fn agent_moves(&self) -> usize {
        self.happened()
            .filter(|(_, happening)| matches!(happening, Happening::Moved(change) if change.by != Mover::Hand))
            .count()
    }

    fn assigns(&self) -> usize {
        self.happened()
            .filter(|(_, happening)| matches!(happening, Happening::Called { action: Action::Assign, .. }))
            .count()
    }

    /// Masterships that began.
    fn takeovers(&self) -> usize {
        self.happened()
            .filter(
                |(_, h)| matches!(h, Happening::Transition { transition, .. } if transition.to == NodeState::Master),
            )
            .count()
    }

    fn changed(&self, host: Host, why: impl Fn(&Reason) -> bool) -> bool {
        self.happened().any(|(_, happening)| {
            matches!(happening, Happening::Transition { host: who, transition } if *who == host && why(&transition.reason))
        })
    }

    fn started(&self, host: Host) -> bool {
        self.happened().any(|(_, happening)| matches!(happening, Happening::Started { host: who } if *who == host))
    }

    fn accepted(&self, command: impl Fn(&Command) -> bool) -> bool {
        self.happened().any(|(_, h)| matches!(h, Happening::Command { command: c, result: Ok(()), .. } if command(c)))
    }

    /// All heals, and must come to rest.
    fn heal(&mut self) -> Told {
        self.act(Fault::HealAll)?;
        Ok(self.run.converge()?)
    }
}

fn slow(setup: Setup) -> Setup {
    Setup { profile: Profile::slow(), ..setup }
}

fn booted_together(setup: Setup) -> Setup {
    Setup { uptime: Duration::from_secs(10), ..setup }
}

/// Over many seeds the story ends well, and it does not where its faults stay away.
fn told(setup: impl Fn() -> Setup, story: impl Fn(&mut Story) -> Told) {
    const SEEDS: u64 = 12;
    for seed in 0..SEEDS {
        for setup in [setup(), slow(setup())] {
            let mut teller = Story::new(setup, seed, false);
            if let Err(Unmet(text)) = story(&mut teller) {
                let at = teller.run.world.now;
                panic!("{}\nseed {seed} at {at:?}: {text}", teller.run.trace());
            }
        }
    }
    let without = story(&mut Story::new(setup(), 0, true));
    assert!(without.is_err(), "the story ends in the same way without its faults");
}

fn two() -> Setup {
    Setup::new(2)
}

fn three() -> Setup {
    Setup::new(3)
}

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
