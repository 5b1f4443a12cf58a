//! Scenarios with names: what operators were burnt by, and the holes that a first
//! model of the rules had, each over many seeds (delays, jitter, a slow or a fast
//! provider). The swarm's invariants judge each moment of these, too.
//!
//! A scenario is told with its faults and must end well, and without them, when it
//! must not: an expectation that holds whether anything happened or not tests nothing.

mod gate;
mod hands;
mod links;
mod operators;
mod outages;
mod probe;
mod services;

use haagent::proto::claim::event::Action;
use haagent::proto::election::event::{Command, Reason};
use haagent::proto::heartbeat::{HandOver, NodeState};
use haagent::proto::time::{Duration, Time};

use crate::cloud::{Api, Mover, Profile};
use crate::faults::{Fault, Host, Target};
use crate::invariants::{Terms, Violation};
use crate::rng::Rng;
use crate::run::Run;
use crate::swarm;
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
    // The inner loop wants to hear soon whether a story still ends well.
    let seeds = if swarm::seeds() < swarm::SEEDS { 3 } else { 12 };
    for seed in 0..seeds {
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
