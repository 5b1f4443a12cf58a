//! What the promises rest on: only masters assign, terms only grow, and two masters
//! that hear each other do not both stay.

use std::collections::BTreeMap;

use haagent::proto::claim::event::Action;
use haagent::proto::heartbeat::NodeState;
use haagent::proto::ids::Term;
use haagent::proto::time::Time;

use super::{Duration, Invariant};
use crate::world::{Happening, Setup, World};

pub(crate) struct Masters {
    /// A word's way from the election to the claim, and a start that was under way.
    channel: Duration,
    /// How long two masters that hear each other may take to notice: a heal must first
    /// be echoed, and an offer lapses after `D`.
    duel: Duration,
    terms: Vec<Term>,
    both: BTreeMap<(usize, usize), Time>,
}

impl Masters {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self {
            channel: *setup.channel.end() * 2 + Duration::from_millis(5),
            duel: setup.dead_interval() * 2 + Duration::from_millis(100),
            terms: vec![Term(0); setup.hosts],
            both: BTreeMap::new(),
        }
    }
}

impl Invariant for Masters {
    fn promise(&self) -> &'static str {
        "one master"
    }

    fn observe(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::Called { host, action: Action::Assign } => {
                let agent = world.hosts[*host].agent.as_ref();
                let master = agent.is_some_and(|agent| {
                    agent.state == NodeState::Master
                        || agent.was_master.is_some_and(|last| world.now - last <= self.channel)
                });
                if !master {
                    return Err(format!("host {host} assigns and is not master"));
                }
            }
            Happening::Transition { host, transition } if transition.to == NodeState::Master => {
                if transition.term <= self.terms[*host] {
                    return Err(format!(
                        "host {host} is master again with term {}, its last was {}",
                        transition.term, self.terms[*host]
                    ));
                }
                self.terms[*host] = transition.term;
            }
            _ => {}
        }
        Ok(())
    }

    fn look(&mut self, world: &World) -> Result<(), String> {
        for a in 0..world.hosts.len() {
            for b in a + 1..world.hosts.len() {
                let awake = |host: usize| world.hosts[host].is_master() && world.hosts[host].paused.is_none();
                if !(awake(a) && awake(b) && world.network.is_sound(a, b)) {
                    self.both.remove(&(a, b));
                    continue;
                }
                let since = *self.both.entry((a, b)).or_insert(world.now);
                if world.now - since > self.duel {
                    return Err(format!("hosts {a} and {b} hear each other and are both master for {:?}", self.duel));
                }
            }
        }
        Ok(())
    }
}
