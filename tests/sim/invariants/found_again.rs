//! P1, found again: once one eligible node can reach the API, the IP is on an
//! eligible node within detection and one assign. The run says what that sums up to
//! for its fault.

use haagent::proto::time::Time;

use super::{Duration, Invariant, Terms};
use crate::world::World;

#[derive(Default)]
pub(crate) struct FoundAgain {
    limit: Option<Duration>,
    unserved_since: Option<Time>,
}

impl Invariant for FoundAgain {
    fn promise(&self) -> &'static str {
        "P1 found again"
    }

    fn arm(&mut self, terms: Terms) {
        self.limit = terms.unserved;
        self.unserved_since = None;
    }

    fn look(&mut self, world: &World) -> Result<(), String> {
        let Some(limit) = self.limit else { return Ok(()) };
        // With a probe, a service that lives without its agent is left alone (P4 outranks P1).
        let left_alone =
            |holder| world.setup.probe.is_some() && world.is_agentless(holder) && world.service_lives(holder);
        let served = world.holder().is_some_and(|holder| world.serves(holder) || left_alone(holder));
        // A foreign droplet has it by somebody's will (P2).
        let foreign = world.cloud.holder().is_some_and(|holder| world.cloud.is_foreign(holder));
        let possible = (0..world.hosts.len()).any(|host| world.is_eligible(host));
        if served || foreign || !possible {
            self.unserved_since = None;
            return Ok(());
        }
        let since = *self.unserved_since.get_or_insert(world.now);
        let length = world.now - since;
        if length > limit {
            return Err(format!("the IP is on no eligible node for {length:?}, at most {limit:?} was due"));
        }
        Ok(())
    }
}
