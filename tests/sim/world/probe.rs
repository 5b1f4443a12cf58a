//! The probe: through the prober's public side to the host that has the IP for clients.

use haagent::proto::election::event::{ProbeOutcome, ProbeResult};
use haagent::proto::time::{Duration, Time};

use super::World;
use super::queue::{Event, Word};
use crate::faults::Host as HostIndex;
use crate::planted::Bug;

/// From one probe to the next, as the agent's.
const PROBE_PERIOD: Duration = Duration::from_millis(125);

impl World {
    pub(super) fn want_probes(&mut self, host: HostIndex, wanted: bool) {
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.spells += 1;
        agent.probing = wanted.then_some(agent.spells);
        if let Some(spell) = agent.probing {
            self.begin_probe(host, spell);
        }
    }

    pub(super) fn begin_probe(&mut self, host: HostIndex, spell: u32) {
        let limit = self.setup.probe_limit();
        let begun = self.hosts[host].local(self.now);
        let Some(run) = self.hosts[host].agent.as_ref().filter(|agent| agent.probing == Some(spell)).map(|a| a.run)
        else {
            return;
        };
        let holder = self.cloud.client_side(self.now);
        let member = holder.and_then(|holder| self.hosts.iter().position(|other| other.droplet == holder));
        let there = match member {
            Some(holder) => self.service_lives(holder),
            // What runs on a foreign droplet answers as well as any.
            None => holder.is_some(),
        };
        let answered = there && !self.network.public_cut[host];
        let after = if answered { self.rng.millis(2..=60) } else { limit };
        let now = self.now;
        self.post(now + after, Event::ProbeEnds { host, run, begun, answered });
        self.post(now + PROBE_PERIOD, Event::NextProbe { host, run, spell });
    }

    pub(super) fn end_probe(&mut self, host: HostIndex, begun: Time, answered: bool) {
        let limit = self.setup.probe_limit();
        let ended = self.hosts[host].local(self.now);
        // A process that stood still finds the time limit over, whatever has come meanwhile.
        let answered = answered && ended - begun <= limit && !self.network.public_cut[host];
        if answered && self.setup.bug == Some(Bug::ProbeNeverAnswered) {
            return;
        }
        let outcome = match (self.hosts[host].sees, answered) {
            (false, _) => ProbeOutcome::CouldNotAsk,
            (true, true) => ProbeOutcome::Answered,
            (true, false) => ProbeOutcome::Failed,
        };
        self.tell(host, Word::Probe(ProbeResult { begun, ended, outcome }));
    }
}
