//! P5, quiet: whatever happens, no node asks the API more often than its budget.
//! (What a group at rest may ask is part of [`super::Converges`].)

use std::collections::VecDeque;

use haagent::proto::claim::event::Action;
use haagent::proto::time::Time;

use super::{Duration, Invariant};
use crate::world::{Happening, Setup, World};

/// `digitalocean.calls_per_minute`.
pub(crate) const CALLS_PER_MINUTE: u32 = 60;

pub(crate) struct Quiet {
    calls: Vec<VecDeque<Time>>,
}

impl Quiet {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self { calls: vec![VecDeque::new(); setup.hosts] }
    }
}

pub(crate) fn is_api_call(action: Action) -> bool {
    match action {
        Action::LookApi { .. } | Action::Assign | Action::Poll { .. } => true,
        Action::LookLocal | Action::Warm | Action::Promote => false,
    }
}

impl Invariant for Quiet {
    fn promise(&self) -> &'static str {
        "P5 quiet"
    }

    fn observe(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        match happening {
            // The budget is the process's own.
            Happening::Started { host } => self.calls[*host].clear(),
            Happening::Called { host, action } if is_api_call(*action) => {
                let calls = &mut self.calls[*host];
                calls.push_back(world.now);
                while calls.front().is_some_and(|first| world.now - *first > Duration::from_secs(60)) {
                    calls.pop_front();
                }
                if calls.len() > CALLS_PER_MINUTE as usize {
                    return Err(format!("host {host} makes {} API calls within a minute", calls.len()));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
