//! What a fault does to the world, and how all of them heal.

use haagent::proto::claim::event as claim;
use haagent::proto::election::event::Command;
use haagent::proto::time::Duration;

use super::host::Pause;
use super::queue::{Event, Word};
use super::{Happening, World, address, droplet};
use crate::agent;
use crate::cloud::Api;
use crate::faults::{FOREIGN, Fault, Host as HostIndex, Target};

/// How long an orderly stop takes: three datagrams within 30 ms, and a little.
const STOP: Duration = Duration::from_millis(60);

impl World {
    pub(super) fn apply(&mut self, fault: &Fault) {
        match *fault {
            Fault::HostDies { host, shown_off } => {
                self.end_agent(host);
                self.hosts[host].booted = None;
                self.cloud.set_off(droplet(host), shown_off);
            }
            Fault::HostBoots { host } => {
                self.cloud.set_off(droplet(host), false);
                if self.hosts[host].booted.is_none() {
                    self.hosts[host].booted = Some(self.now.before(self.rng.millis(2_000..=8_000)));
                    self.start_agent(host);
                }
            }
            Fault::AgentKilled { host } => self.end_agent(host),
            Fault::AgentStarts { host } => self.start_agent(host),
            Fault::AgentStops { host } => {
                self.command(host, Command::Resign);
                if let Some(agent) = &self.hosts[host].agent {
                    let run = agent.run;
                    self.post(self.now + STOP, Event::Exit { host, run });
                }
            }
            Fault::Stopped { host, length } => self.pause(host, length, false),
            Fault::Frozen { host, length } => self.pause(host, length, true),
            Fault::Sick { host } => self.set_health(host, false, self.hosts[host].priority),
            Fault::Healthy { host } => self.set_health(host, true, self.hosts[host].priority),
            Fault::Priority { host, priority } => self.set_health(host, self.hosts[host].healthy, priority),
            Fault::Reload { host, file } => {
                let place = &mut self.hosts[host];
                (place.file, place.priority) = (file, file.priority);
                if let Some(run) = place.agent.as_ref().map(|agent| agent.run) {
                    self.post(self.now, Event::Reload { host, run });
                }
            }
            Fault::Drain { host } => self.command(host, Command::Drain),
            Fault::Resume { host } => self.command(host, Command::Resume),
            Fault::Failover { host, to } => self.command(host, Command::Failover { to: to.map(address) }),
            Fault::Take { host } => self.command(host, Command::Take { droplet: FOREIGN }),
            Fault::Cut { from, to } => self.network.link_mut(from, to).cut = true,
            Fault::CutBoth { a, b } => {
                self.network.link_mut(a, b).cut = true;
                self.network.link_mut(b, a).cut = true;
            }
            Fault::Mend { a, b } => {
                self.network.link_mut(a, b).cut = false;
                self.network.link_mut(b, a).cut = false;
            }
            Fault::Loss { percent } => {
                for link in self.network.every_link() {
                    link.loss_percent = percent;
                }
            }
            Fault::Delay { from, to, most } => {
                let link = self.network.link_mut(from, to);
                link.delay = *link.delay.start()..=most;
            }
            Fault::PublicCut { host } => self.set_reach(host, false),
            Fault::PublicMended { host } => self.set_reach(host, true),
            Fault::Api(api) => {
                self.cloud.api = api;
                (0..self.hosts.len()).for_each(|host| self.probe(host));
            }
            Fault::TokenRevoked { host } => self.hosts[host].token = false,
            Fault::TokenRestored { host } => self.hosts[host].token = true,
            Fault::MetadataDown { host } => self.hosts[host].metadata = false,
            Fault::MetadataUp { host } => self.hosts[host].metadata = true,
            Fault::MovedByHand { to } => self.move_by_hand(to),
            Fault::PromotionFails { host } => self.hosts[host].promotes = false,
            Fault::PromotionWorks { host } => self.hosts[host].promotes = true,
            Fault::ProbesBlind { host } => self.hosts[host].sees = false,
            Fault::ProbesSee { host } => self.hosts[host].sees = true,
            Fault::Replayed { from, to } => {
                let recorded: Vec<_> = self.network.recorded(from, to).cloned().collect();
                for (number, datagram) in (0u32..).zip(recorded) {
                    let at = self.now + Duration::from_micros(100) * number;
                    self.post(at, Event::Arrive { from, to, bytes: datagram.bytes });
                }
            }
            Fault::HealAll => self.heal_all(),
        }
    }

    pub(super) fn move_by_hand(&mut self, to: Target) {
        let to_droplet = match to {
            Target::Member(host) => Some(droplet(host)),
            Target::Foreign => Some(FOREIGN),
            Target::Nobody => None,
        };
        match self.cloud.move_by_hand(to_droplet) {
            Some((after, id)) => self.post(self.now + after, Event::Landing { id }),
            None => self.post(self.now + Duration::from_secs(1), Event::Fault(Fault::MovedByHand { to })),
        }
    }

    fn pause(&mut self, host: HostIndex, length: Duration, frozen: bool) {
        let until = self.now + length;
        let place = &mut self.hosts[host];
        if place.booted.is_none() || place.paused.is_some() {
            return;
        }
        place.pauses += 1;
        place.paused = Some(Pause { until, frozen, number: place.pauses });
        let pause = place.pauses;
        self.post(until, Event::Wake { host, pause });
    }

    pub(super) fn wake(&mut self, host: HostIndex, pause: u32) {
        let place = &mut self.hosts[host];
        if place.paused.is_none_or(|paused| paused.number != pause) {
            return;
        }
        place.paused = None;
        let deferred = std::mem::take(&mut place.deferred);
        if let Some(agent) = &mut place.agent {
            agent.heart_at = None;
            agent.brain_at = None;
        }
        self.happenings.push(Happening::Woke { host });
        // Which thread runs first is the scheduler's affair.
        let (heart, brain) = (self.rng.millis(0..=2), self.rng.millis(0..=2));
        let now = self.now;
        self.schedule_heart(host, now + heart);
        for event in deferred {
            self.post(now + brain, event);
        }
        if let Some(agent) = &mut self.hosts[host].agent {
            agent.brain_at = Some(now + brain);
            let run = agent.run;
            self.post(now + brain, Event::Brain { host, run });
        }
    }

    fn set_health(&mut self, host: HostIndex, healthy: bool, priority: u8) {
        let place = &mut self.hosts[host];
        (place.healthy, place.priority) = (healthy, priority);
        let candidacy = place.candidacy();
        self.tell(host, Word::Candidacy(candidacy));
    }

    /// The agent takes what its file says, as `haagent::agent` does it.
    pub(super) fn reload(&mut self, host: HostIndex) {
        let file = self.hosts[host].file;
        let params = agent::election_params(&self.setup, file, host);
        self.tell(host, Word::Params(Box::new(params)));
        self.set_health(host, self.hosts[host].healthy, file.priority);
        if let Some(agent) = &mut self.hosts[host].agent {
            agent.file = file;
            agent.gate.pass_ungated(file);
            // A probe that is taken away ends; a new one is begun by the heart's word.
            agent.probing = agent.probing.filter(|_| file.probe);
        }
        let params = agent::claim_params(&self.setup, file, 0);
        self.brain(host, claim::Input::Params(params));
    }

    fn set_reach(&mut self, host: HostIndex, reachable: bool) {
        self.network.public_cut[host] = !reachable;
        self.probe(host);
    }

    /// The host's reach probe finds out in its own time, and no other word waits for that.
    fn probe(&mut self, host: HostIndex) {
        // Three failures a second apart, after the next look of five seconds; one success, after an attempt
        // that may just have begun and takes a second and a half to fail.
        let after = match self.reaches_api(host) {
            true => self.rng.millis(0..=1_600),
            false => self.rng.millis(2_000..=8_000),
        };
        if let Some(run) = self.hosts[host].agent.as_ref().map(|agent| agent.run) {
            self.post(self.now + after, Event::Reach { host, run });
        }
    }

    fn command(&mut self, host: HostIndex, command: Command) {
        self.tell(host, Word::Command(command));
    }

    fn heal_all(&mut self) {
        self.network.heal();
        self.cloud.api = Api::Up;
        // Errors of the provider are faults too.
        self.setup.profile.lost_request_percent = 0.0;
        self.setup.profile.lost_reply_percent = 0.0;
        self.cloud.profile.errored_percent = 0.0;
        for host in 0..self.hosts.len() {
            let place = &mut self.hosts[host];
            (place.token, place.metadata, place.promotes, place.sees) = (true, true, true, true);
            let (paused, drained, healthy) = (place.paused, place.drained, place.healthy);
            if let Some(pause) = paused {
                self.wake(host, pause.number);
            }
            self.apply(&Fault::HostBoots { host });
            self.start_agent(host);
            self.set_reach(host, true);
            if drained {
                self.command(host, Command::Resume);
            }
            if !healthy {
                self.apply(&Fault::Healthy { host });
            }
        }
        self.healed = true;
        self.release_from_foreign();
    }

    pub(super) fn release_from_foreign(&mut self) {
        if self.cloud.holder().is_some_and(|holder| self.cloud.is_foreign(holder)) {
            self.move_by_hand(Target::Nobody);
        }
    }
}
