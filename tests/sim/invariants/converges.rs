//! After all faults have healed: one master, which holds the IP and knows it; all
//! others follow it; nothing moves any more and hardly anybody asks the API (P5).

use haagent::proto::election::event::Reason;
use haagent::proto::heartbeat::NodeState;
use haagent::proto::time::Time;

use super::quiet::is_api_call;
use super::{Duration, Violation};
use crate::world::{GROUP, Happening, Setup, World};

pub(crate) struct Converges {
    begun: Time,
    settled_since: Option<Time>,
    /// API calls of each host since the last move was done with.
    calls: Vec<usize>,
    /// So long a settled claim may still be asked of the API: until metadata agrees,
    /// and the longest pause between two looks.
    verifying: Duration,
    limit: Duration,
    rest: Duration,
    readiness_interval: Duration,
}

impl Converges {
    /// The longest waits of the rules, one after the other: `boot_grace`, the chance of a
    /// deposed node, a doubled `claim_timeout`, and two moves with their stale reads.
    pub(crate) fn new(setup: &Setup, begun: Time) -> Self {
        let moves = (*setup.profile.assign.end() + Duration::from_secs(6)) * 2;
        let waits = Duration::from_secs(20) + Duration::from_secs(60) + setup.claim_timeout * 2;
        let verifying = setup.profile.metadata_lag + Duration::from_secs(12);
        let rest = verifying + setup.preempt_delay + setup.dead_interval() * 4;
        Self {
            begun,
            settled_since: None,
            calls: vec![0; setup.hosts],
            verifying,
            limit: waits + moves + setup.preempt_delay + setup.dead_interval() * 8 + rest,
            rest,
            readiness_interval: setup.readiness_interval,
        }
    }

    /// Whether it has come to rest, and has rested long enough.
    pub(crate) fn judge(&mut self, world: &World, happenings: &[Happening]) -> Result<bool, Violation> {
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
        let verified = self.settled_since.is_some_and(|since| world.now - since > self.verifying);
        for happening in happenings.iter().filter(|_| verified) {
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
                return Err(broken(format!(
                    "host {host} makes {calls} API calls in {:?} of rest",
                    self.rest - self.verifying
                )));
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
            let view = agent.node.view(host.local(world.now));
            let followed = view.groups.get(GROUP.0).and_then(|group| group.master);
            if followed != master {
                return Err(format!("host {index} takes {:?} for master, the IP is on {master:?}", followed));
            }
        }
        Ok(())
    }
}
