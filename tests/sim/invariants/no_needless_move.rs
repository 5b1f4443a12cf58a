//! P2, no needless move: without a fault nothing moves, one fault moves the IP once,
//! and a live droplet that is no member is never robbed.

use haagent::proto::claim::event::Action;
use haagent::proto::heartbeat::NodeState;
use haagent::proto::time::Time;

use super::{Duration, Invariant, Terms};
use crate::cloud::Mover;
use crate::faults::Fault;
use crate::world::{API_TIMEOUT, Happening, Setup, World};

pub(crate) struct NoNeedlessMove {
    limit: Option<usize>,
    no_takeover: bool,
    moves: usize,
    /// Since when the holder is foreign.
    foreign_since: Option<Time>,
    /// An operator said `--take`.
    taken: bool,
    /// For how long after a hand move an honest look may still not show it: stale
    /// reads, and the look that was under way.
    blindness: Duration,
}

impl NoNeedlessMove {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self {
            limit: None,
            no_takeover: false,
            moves: 0,
            foreign_since: None,
            taken: false,
            blindness: setup.profile.stale + API_TIMEOUT,
        }
    }
}

impl Invariant for NoNeedlessMove {
    fn promise(&self) -> &'static str {
        "P2 no needless move"
    }

    fn arm(&mut self, terms: Terms) {
        (self.limit, self.no_takeover) = (terms.moves, terms.no_takeover);
        self.moves = 0;
    }

    fn observe(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::Moved(change) if change.by != Mover::Hand => {
                self.moves += 1;
                if let Some(limit) = self.limit
                    && self.moves > limit
                {
                    return Err(format!("move {} by an agent, at most {limit} was due", self.moves));
                }
            }
            Happening::Transition { host, transition } if self.no_takeover && transition.to == NodeState::Master => {
                return Err(format!("host {host} takes over without need: {:?}", transition.reason));
            }
            Happening::Called { host, action: Action::Assign } => {
                let seen = self.foreign_since.is_some_and(|since| world.now - since > self.blindness);
                if seen && !self.taken {
                    return Err(format!("host {host} robs a live foreign droplet"));
                }
            }
            Happening::Fault(Fault::Take { .. }) => self.taken = true,
            _ => {}
        }
        Ok(())
    }

    fn look(&mut self, world: &World) -> Result<(), String> {
        match world.cloud.holder().is_some_and(|holder| world.cloud.is_foreign(holder)) {
            true => _ = self.foreign_since.get_or_insert(world.now),
            false => self.foreign_since = None,
        }
        Ok(())
    }
}
