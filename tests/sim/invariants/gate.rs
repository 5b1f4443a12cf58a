//! The gate: where a mastership must be promoted, no assign leaves before a promotion
//! that was asked for in this mastership has succeeded.

use haagent::proto::claim::event::Action;

use super::Invariant;
use crate::world::{Happening, World};

pub(crate) struct Gate;

impl Invariant for Gate {
    fn promise(&self) -> &'static str {
        "the gate"
    }

    fn observe(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let Happening::Called { host, action: Action::Assign } = happening else { return Ok(()) };
        let gate = world.hosts[*host].agent.as_ref().map(|agent| agent.gate);
        if !gate.is_some_and(|gate| gate.is_open()) {
            return Err(format!("host {host} assigns while its gate is shut: {gate:?}"));
        }
        Ok(())
    }
}
