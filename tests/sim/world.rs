//! The world: hosts with the real cores, the model network and the model cloud, and
//! one queue of events. The wiring of the cores is the agent's own: the node's intents
//! go to the reconciler, the reconciler's reports to the node, each through a channel
//! that takes a little time, and the driver's calls go out and come back.
//!
//! Nothing is judged here. What happened goes to the invariants as [`Happening`]s.

mod apply;
mod brain;
mod happening;
mod heart;
mod host;
mod probe;
mod queue;
mod setup;

use std::collections::{BTreeMap, VecDeque};

use haagent::proto::claim::event as claim;
use haagent::proto::claim::event::{ClaimReport, Intent};
use haagent::proto::heartbeat::NodeState;
use haagent::proto::node::GroupIndex;
use haagent::proto::time::Time;

pub(crate) use self::brain::API_TIMEOUT;
pub(crate) use self::happening::Happening;
use self::host::{Agent, Gate, Host};
use self::queue::{Event, Queue, Word};
pub(crate) use self::setup::{Setup, address, droplet};
use crate::agent;
use crate::cloud::{Api, Cloud};
use crate::faults::{FOREIGN, Fault, Host as HostIndex, Target};
use crate::network::Network;
use crate::planted::Bug;
use crate::rng::Rng;

/// The one group.
pub(crate) const GROUP: GroupIndex = GroupIndex(0);

/// The world's clock when it begins; each host counts from its own boot.
pub(crate) const START: Time = Time::from_millis(100_000_000);

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) setup: Setup,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) cloud: Cloud,
    /// All has healed: a foreign droplet lets go of the IP as soon as it has it.
    healed: bool,
    happenings: Vec<Happening>,
    queue: Queue,
    rng: Rng,
}

impl World {
    /// All hosts are up, no agent runs yet.
    pub(crate) fn new(setup: Setup, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let holder = match setup.holder {
            Target::Member(host) => Some(droplet(host)),
            Target::Foreign => Some(FOREIGN),
            Target::Nobody => None,
        };
        let members = (0..setup.hosts).map(|host| (droplet(host), address(host))).collect();
        let cloud = Cloud::new(setup.profile.clone(), members, holder, rng.fork());
        let hosts = (0..setup.hosts)
            .map(|host| Host {
                address: address(host),
                droplet: droplet(host),
                // No two hosts booted at the same time: a time sent from one to another would show.
                booted: Some(START.before(setup.uptime + rng.millis(0..=5_000))),
                agent: None,
                paused: None,
                healthy: true,
                file: setup.file(host),
                priority: setup.priorities[host],
                drained: false,
                token: true,
                metadata: true,
                promotes: true,
                sees: true,
                disk: None,
                runs: 0,
                pauses: 0,
                deferred: Vec::new(),
            })
            .collect();
        Self {
            now: START,
            network: Network::new(setup.hosts),
            hosts,
            cloud,
            healed: false,
            happenings: Vec::new(),
            queue: Queue::default(),
            rng,
            setup,
        }
    }

    /// The host that has the IP by the truth, if it is a member.
    pub(crate) fn holder(&self) -> Option<HostIndex> {
        let holder = self.cloud.holder()?;
        self.hosts.iter().position(|host| host.droplet == holder)
    }

    pub(crate) fn masters(&self) -> impl Iterator<Item = HostIndex> + '_ {
        (0..self.hosts.len()).filter(|host| self.hosts[*host].is_master())
    }

    /// Whoever has the IP here is served.
    pub(crate) fn serves(&self, host: HostIndex) -> bool {
        self.hosts[host].is_candidate() && !self.network.public_cut[host]
    }

    /// The service on the host answers clients, whatever becomes of the agent there.
    pub(crate) fn service_lives(&self, host: HostIndex) -> bool {
        let place = &self.hosts[host];
        let stands_still = place.paused.is_some_and(|pause| pause.frozen);
        place.booted.is_some() && !stands_still && place.healthy && !self.network.public_cut[host]
    }

    /// The agent on the host is dead or stands still.
    pub(crate) fn is_agentless(&self, host: HostIndex) -> bool {
        self.hosts[host].agent.is_none() || self.hosts[host].paused.is_some()
    }

    /// The host gets a connection to the API's host.
    fn reaches_api(&self, host: HostIndex) -> bool {
        !self.network.public_cut[host] && self.cloud.api != Api::Unreachable
    }

    /// The host could be master, and a claim would work there.
    pub(crate) fn is_eligible(&self, host: HostIndex) -> bool {
        self.serves(host) && self.hosts[host].token && self.cloud.api == Api::Up
    }

    /// One master, which holds the IP and knows it; nothing under way.
    pub(crate) fn is_settled(&self) -> bool {
        let mut masters = self.masters();
        let (Some(master), None) = (masters.next(), masters.next()) else { return false };
        self.holder() == Some(master)
            && !self.cloud.is_locked()
            && self.hosts[master].agent.as_ref().is_some_and(|agent| agent.report.state == claim::ClaimState::Held)
    }

    pub(crate) fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    pub(crate) fn inject(&mut self, at: Time, fault: Fault) {
        self.post(at, Event::Fault(fault));
    }

    /// When the next event is due.
    pub(crate) fn next_event(&self) -> Option<Time> {
        self.queue.next()
    }

    /// Lets time pass without an event.
    pub(crate) fn advance(&mut self, to: Time) {
        self.now = self.now.max(to);
    }

    fn post(&mut self, at: Time, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    /// The next event happens.
    pub(crate) fn step(&mut self) {
        let Some((at, event)) = self.queue.pop() else { return };
        self.now = at;
        match event {
            Event::Arrive { from, to, bytes } => self.arrive(from, to, bytes),
            Event::Unreachable { from, to } => self.unreachable(from, to),
            Event::Heart { host, run } => {
                if self.awake(host, run).is_some_and(|agent| agent.heart_at == Some(at)) {
                    self.heart(host);
                }
            }
            Event::Brain { host, run } => {
                if self.awake(host, run).is_some_and(|agent| agent.brain_at == Some(at)) {
                    self.brain(host, claim::Input::Timer);
                }
            }
            Event::Wake { host, pause } => self.wake(host, pause),
            Event::Landing { id } => {
                if self.cloud.land(at, id) {
                    let moved = self.cloud.moves().last().cloned();
                    self.happenings.extend(moved.map(Happening::Moved));
                } else {
                    self.happenings.push(Happening::Errored);
                }
                if self.healed {
                    self.release_from_foreign();
                }
            }
            Event::Request { host, run, ticket, action } => self.request(host, run, ticket, action),
            Event::Fault(fault) => {
                self.happenings.push(Happening::Fault(fault.clone()));
                self.apply(&fault);
            }
            Event::ToHeart { host, run, .. }
            | Event::ToBrain { host, run, .. }
            | Event::Reload { host, run }
            | Event::Reach { host, run }
            | Event::WantProbes { host, run, .. }
            | Event::NextProbe { host, run, .. }
            | Event::ProbeEnds { host, run, .. }
            | Event::Reply { host, run, .. }
            | Event::Exit { host, run } => {
                if self.hosts[host].paused.is_some() {
                    self.hosts[host].deferred.push(event);
                } else if self.awake(host, run).is_some() {
                    self.deliver(host, event);
                }
            }
        }
    }

    fn deliver(&mut self, host: HostIndex, event: Event) {
        match event {
            Event::ToHeart { word, .. } => {
                if let Some(agent) = &mut self.hosts[host].agent {
                    agent.words.push_back(word);
                }
                self.schedule_heart(host, self.now);
            }
            Event::ToBrain { intent, .. } => self.learn_intent(host, intent),
            Event::Reload { .. } => self.reload(host),
            Event::Reach { .. } => self.tell(host, Word::Reach(self.reaches_api(host))),
            Event::WantProbes { wanted, .. } => self.want_probes(host, wanted),
            Event::NextProbe { spell, .. } => self.begin_probe(host, spell),
            Event::ProbeEnds { begun, answered, .. } => self.end_probe(host, begun, answered),
            Event::Reply { ticket, outcome, .. } => self.end_call(host, ticket, outcome),
            Event::Exit { .. } => self.end_agent(host),
            _ => {}
        }
    }

    fn awake(&self, host: HostIndex, run: u32) -> Option<&Agent> {
        let host = &self.hosts[host];
        host.agent.as_ref().filter(|agent| agent.run == run && host.paused.is_none())
    }

    fn start_agent(&mut self, host: HostIndex) {
        if self.hosts[host].agent.is_some() || self.hosts[host].booted.is_none() {
            return;
        }
        let boot = self.rng.word();
        let local = self.hosts[host].local(self.now);
        let memory = match self.setup.bug {
            Some(Bug::ForgetsMemory) => None,
            _ => self.hosts[host].disk.clone(),
        };
        let (node, reconciler) =
            agent::cores(&self.setup, self.hosts[host].file, host, boot, local, memory, self.rng.word());
        let (now, file) = (self.now, self.hosts[host].file);
        let place = &mut self.hosts[host];
        place.runs += 1;
        let run = place.runs;
        place.agent = Some(Agent {
            run,
            node,
            reconciler,
            state: NodeState::Init,
            intent: Intent::Yield,
            report: ClaimReport::default(),
            was_master: None,
            landed: None,
            metadata_said_mine: false,
            gate: Gate::default(),
            file,
            inbox: VecDeque::new(),
            words: VecDeque::new(),
            unreachable: Vec::new(),
            heart_at: None,
            brain_at: None,
            heart_channel: now,
            brain_channel: now,
            calls: BTreeMap::new(),
            probing: None,
            spells: 0,
        });
        self.happenings.push(Happening::Started { host });
        self.schedule_heart(host, now);
        self.brain(host, claim::Input::Timer);
        let candidacy = self.hosts[host].candidacy();
        let first_look = self.rng.millis(5..=200);
        self.tell_after(host, first_look, Word::Candidacy(candidacy));
        let reachable = self.reaches_api(host);
        self.tell_after(host, first_look, Word::Reach(reachable));
    }

    fn end_agent(&mut self, host: HostIndex) {
        let place = &mut self.hosts[host];
        place.paused = None;
        place.deferred.clear();
        if place.agent.take().is_some() {
            self.happenings.push(Happening::Ended { host });
        }
    }
}
