//! The heart of each agent: the node's core, its sockets on the model network, and the
//! channel on which the other parts tell it things.

use std::rc::Rc;

use haagent::proto::claim::event::Intent;
use haagent::proto::election::event::{Command, Refusal, Transition};
use haagent::proto::heartbeat::NodeState;
use haagent::proto::node::{self, Node, PeerIndex};
use haagent::proto::time::{Duration, Time};

use super::queue::{Event, Word};
use super::{GROUP, Happening, World, droplet};
use crate::faults::{Host as HostIndex, Target};
use crate::planted::Bug;

/// Datagrams that a stopped process finds in its socket at most (a receive buffer is finite).
const SOCKET_BUFFER: usize = 512;

enum Effect {
    Transmit { peer: PeerIndex, bytes: Rc<[u8]> },
    Transition(Transition),
    Intent(Intent),
    Probe { wanted: bool },
    Persist,
    Answer { command: Command, result: Result<(), Refusal> },
}

impl World {
    pub(super) fn arrive(&mut self, from: HostIndex, to: HostIndex, bytes: Rc<[u8]>) {
        let now = self.now;
        let host = &mut self.hosts[to];
        if host.booted.is_none() {
            return;
        }
        if let Some(pause) = host.paused
            && pause.frozen
        {
            // The machine does not run, its network card has a few buffers.
            if self.rng.percent(50.0) {
                let late = pause.until + self.rng.millis(0..=2);
                self.post(late, Event::Arrive { from, to, bytes });
            }
            return;
        }
        let stamp = host.local(now);
        let Some(agent) = &mut host.agent else {
            // The host answers for the port that nobody listens on.
            let link = self.network.link(to, from);
            if !link.cut {
                let after = self.rng.duration(&link.delay.clone());
                self.post(now + after, Event::Unreachable { from: to, to: from });
            }
            return;
        };
        if agent.inbox.len() < SOCKET_BUFFER {
            agent.inbox.push_back((stamp, peer_index(to, from), bytes));
        }
        let jitter = self.rng.duration(&(Duration::ZERO..=Duration::from_micros(200)));
        self.schedule_heart(to, now + jitter);
    }

    pub(super) fn unreachable(&mut self, from: HostIndex, to: HostIndex) {
        if let Some(agent) = &mut self.hosts[to].agent {
            agent.unreachable.push(peer_index(to, from));
            self.schedule_heart(to, self.now);
        }
    }

    fn transmit(&mut self, from: HostIndex, peer: PeerIndex, bytes: &Rc<[u8]>) {
        let to = host_of_peer(from, peer);
        for delay in self.network.send(&mut self.rng, from, to, bytes).into_iter().flatten() {
            self.post(self.now + delay, Event::Arrive { from, to, bytes: Rc::clone(bytes) });
        }
    }

    pub(super) fn tell(&mut self, host: HostIndex, word: Word) {
        self.tell_after(host, Duration::ZERO, word);
    }

    /// Into the heart's channel, which keeps the order.
    pub(super) fn tell_after(&mut self, host: HostIndex, wait: Duration, word: Word) {
        let delay = wait + self.rng.duration(&self.setup.channel.clone());
        let now = self.now;
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.heart_channel = agent.heart_channel.max(now + delay);
        let (at, run) = (agent.heart_channel, agent.run);
        self.post(at, Event::ToHeart { host, run, word });
    }

    pub(super) fn schedule_heart(&mut self, host: HostIndex, at: Time) {
        let Some(agent) = &mut self.hosts[host].agent else { return };
        if agent.heart_at.is_none_or(|earlier| earlier > at) {
            agent.heart_at = Some(at);
            let run = agent.run;
            self.post(at, Event::Heart { host, run });
        }
    }

    /// One turn of the heart: read everything, then evaluate once.
    pub(super) fn heart(&mut self, host: HostIndex) {
        let local = self.hosts[host].local(self.now);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.heart_at = None;
        let mut effects = Vec::new();
        let node = &mut agent.node;
        for (stamp, peer, bytes) in agent.inbox.drain(..) {
            feed(node, local, node::Input::Datagram { peer, stamp, bytes: &bytes }, &mut effects);
        }
        for peer in agent.unreachable.drain(..) {
            feed(node, local, node::Input::PortUnreachable { peer }, &mut effects);
        }
        for word in agent.words.drain(..) {
            let input = match word {
                Word::Candidacy(candidacy) => node::Input::Candidacy { group: GROUP, candidacy },
                Word::Claim(report) => node::Input::Claim { group: GROUP, report },
                Word::Reach(reachable) => node::Input::Reach { reachable },
                Word::Params(params) => node::Input::Params { group: GROUP, params: *params },
                Word::Probe(result) => node::Input::Probe { group: GROUP, result },
                Word::Command(command) => node::Input::Command { group: GROUP, command },
            };
            feed(node, local, input, &mut effects);
        }
        feed(node, local, node::Input::Drained, &mut effects);
        let deadline = agent.node.next_deadline();
        for effect in effects {
            self.effect(host, effect);
        }
        if let Some(deadline) = deadline {
            let late = self.rng.duration(&(Duration::ZERO..=Duration::from_micros(300)));
            let at = self.now + deadline.since(local) + late;
            self.schedule_heart(host, at);
        }
    }

    fn effect(&mut self, host: HostIndex, effect: Effect) {
        match effect {
            Effect::Transmit { peer, bytes } => self.transmit(host, peer, &bytes),
            Effect::Transition(transition) => {
                let now = self.now;
                if let Some(agent) = &mut self.hosts[host].agent {
                    if agent.state == NodeState::Master {
                        agent.was_master = Some(now);
                    }
                    agent.state = transition.to;
                }
                self.happenings.push(Happening::Transition { host, transition });
            }
            Effect::Intent(intent) => {
                let Some(agent) = &mut self.hosts[host].agent else { return };
                let held = matches!(agent.intent, Intent::Hold(_));
                if !(held && matches!(intent, Intent::Hold(_))) {
                    agent.metadata_said_mine = false;
                }
                agent.intent = intent;
                self.happenings.push(Happening::Intent { host, intent });
                match self.setup.bug {
                    Some(Bug::NeverYields) if intent == Intent::Yield => return,
                    Some(Bug::UnassignsOnYield)
                        if held && !matches!(intent, Intent::Hold(_)) && self.cloud.holder() == Some(droplet(host)) =>
                    {
                        self.move_by_hand(Target::Nobody);
                    }
                    _ => {}
                }
                self.tell_brain(host, |run| Event::ToBrain { host, run, intent });
            }
            Effect::Probe { wanted } => {
                self.happenings.push(Happening::Probing { host, wanted });
                self.tell_brain(host, |run| Event::WantProbes { host, run, wanted });
            }
            Effect::Persist => {
                let place = &mut self.hosts[host];
                place.disk = place.agent.as_ref().map(|agent| agent.node.memory());
            }
            Effect::Answer { command, result } => {
                if result.is_ok() {
                    match command {
                        Command::Drain => self.hosts[host].drained = true,
                        Command::Resume => self.hosts[host].drained = false,
                        Command::Failover { .. } | Command::Take { .. } | Command::Resign => {}
                    }
                }
                self.happenings.push(Happening::Command { host, command, result });
            }
        }
    }
}

/// One input, and all that comes out of it.
fn feed(node: &mut Node, now: Time, input: node::Input<'_>, effects: &mut Vec<Effect>) {
    node.handle(now, input);
    while let Some(output) = node.poll_output() {
        effects.push(match output {
            node::Output::Transmit { peer, datagram } => Effect::Transmit { peer, bytes: Rc::from(datagram) },
            node::Output::Transition { transition, .. } => Effect::Transition(transition),
            node::Output::Intent { intent, .. } => Effect::Intent(intent),
            node::Output::Probe { wanted, .. } => Effect::Probe { wanted },
            node::Output::Persist => Effect::Persist,
            node::Output::Answer { command, result, .. } => Effect::Answer { command, result },
            node::Output::Bulletin { .. } => continue,
        });
    }
}

/// Peers are all other hosts in their order.
fn peer_index(host: HostIndex, peer: HostIndex) -> PeerIndex {
    PeerIndex(if peer < host { peer } else { peer - 1 })
}

fn host_of_peer(host: HostIndex, peer: PeerIndex) -> HostIndex {
    if peer.0 < host { peer.0 } else { peer.0 + 1 }
}
