//! After all faults have healed: one master, which holds the IP and knows it; all
//! others follow it; nothing moves any more and hardly anybody asks the API (P5).

use haagent::proto::election::event::Reason;
use haagent::proto::heartbeat::NodeState;
use haagent::proto::time::Time;

use super::quiet::is_api_call;
use super::{Duration, Violation};
use crate::world::{GROUP, Happening, Setup, World};

pub struct Converges {
    begun: Time,
    settled_since: Option<Time>,
    calls: Vec<usize>,
    limit: Duration,
    rest: Duration,
    readiness_interval: Duration,
}

impl Converges {
    /// The longest waits of the rules, one after the other: `boot_grace`, the chance of a
    /// deposed node, a doubled `claim_timeout`, and two moves with their stale reads.
    pub fn new(setup: &Setup, begun: Time) -> Self {
        let moves = (*setup.profile.assign.end() + Duration::from_secs(6)) * 2;
        let waits = Duration::from_secs(20) + Duration::from_secs(60) + setup.claim_timeout * 2;
        let rest = setup.preempt_delay + setup.dead_interval() * 4 + Duration::from_secs(8);
        Self {
            begun,
            settled_since: None,
            calls: vec![0; setup.hosts],
            limit: waits + moves + setup.preempt_delay + setup.dead_interval() * 8 + rest,
            rest,
            readiness_interval: setup.readiness_interval,
        }
    }

    /// Whether it has come to rest, and has rested long enough.
    pub fn judge(&mut self, world: &World, happenings: &[Happening]) -> Result<bool, Violation> {
        let broken = |text: String| Violation { at: world.now, promise: "converges", text };
        let stirred = happenings.iter().any(|happening| match happening {
            Happening::Moved(_) => true,
            Happening::Transition { transition, .. } => {
                // A node that follows another one now is no unrest, a new master is.
                transition.to == NodeState::Master || matches!(transition.reason, Reason::Silent { .. })
            }
            _ => false,
        });
        if !world.is_settled() || stirred {
            self.settled_since = None;
            self.calls.fill(0);
        } else {
            self.settled_since.get_or_insert(world.now);
        }
        for happening in happenings {
            if let Happening::Called { host, action } = happening
                && is_api_call(*action)
            {
                self.calls[*host] += 1;
            }
        }
        if let Some(since) = self.settled_since
            && world.now - since >= self.rest
        {
            let due = 2 + usize::try_from(self.rest.as_secs() / self.readiness_interval.as_secs().max(1)).unwrap_or(0);
            if let Some(host) = self.calls.iter().position(|calls| *calls > due) {
                let calls = self.calls[host];
                return Err(broken(format!("host {host} makes {calls} API calls in {:?} of rest", self.rest)));
            }
            return self.all_agree(world).map(|()| true).map_err(broken);
        }
        if world.now - self.begun > self.limit {
            let states: Vec<_> = world
                .hosts
                .iter()
                .map(|host| host.agent.as_ref().map(|agent| (agent.state, agent.report.state)))
                .collect();
            return Err(broken(format!(
                "no rest {:?} after all healed; holder {:?}, {states:?}",
                self.limit,
                world.cloud.holder()
            )));
        }
        Ok(false)
    }

    fn all_agree(&self, world: &World) -> Result<(), String> {
        let master = world.holder().map(|holder| world.hosts[holder].address);
        for (index, host) in world.hosts.iter().enumerate() {
            let Some(agent) = &host.agent else { continue };
            let view = agent.node.view(GROUP, host.local(world.now));
            if view.master != master {
                return Err(format!("host {index} takes {:?} for master, the IP is on {master:?}", view.master));
            }
        }
        Ok(())
    }
}
