//! The world: hosts with the real cores, the model network and the model cloud, and
//! one queue of events. The wiring of the cores is the agent's own: the node's intents
//! go to the reconciler, the reconciler's reports to the node, each through a channel
//! that takes a little time, and the driver's calls go out and come back.
//!
//! Nothing is judged here. What happened goes to the invariants as [`Happening`]s.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use haagent::proto::claim::event::{Action, ClaimReport, CloudActionId, FailureClass, Holder, Intent, Outcome, Ticket};
use haagent::proto::claim::{Reconciler, STALE_READ, event as claim};
use haagent::proto::election::event as election;
use haagent::proto::election::event::{Candidacy, Command, ProbeOutcome, ProbeResult, Refusal, Transition};
use haagent::proto::heartbeat::NodeState;
use haagent::proto::ids::DropletId;
use haagent::proto::node::{self, GroupIndex, Node, PeerIndex};
use haagent::proto::time::{Duration, Time};

use crate::agent;
use crate::cloud::{Api, Cloud, Move, Profile, failed};
use crate::faults::{FOREIGN, Fault, File, Host as HostIndex, Target};
use crate::network::Network;
use crate::planted::Bug;
use crate::rng::Rng;

/// The one group.
pub(crate) const GROUP: GroupIndex = GroupIndex(0);

/// The world's clock when it begins; each host counts from its own boot.
pub(crate) const START: Time = Time::from_millis(100_000_000);

/// Datagrams that a stopped process finds in its socket at most (a receive buffer is finite).
const SOCKET_BUFFER: usize = 512;

/// The driver's time limit for an API call (`digitalocean.timeout`).
pub(crate) const API_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an orderly stop takes: three datagrams within 30 ms, and a little.
const STOP: Duration = Duration::from_millis(60);

/// From one probe to the next, as the agent's.
const PROBE_PERIOD: Duration = Duration::from_millis(125);

/// What does not change during a run.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) hosts: usize,
    pub(crate) interval: Duration,
    pub(crate) preempt: bool,
    pub(crate) preempt_delay: Duration,
    pub(crate) claim_timeout: Duration,
    pub(crate) verify_interval: Duration,
    pub(crate) readiness_interval: Duration,
    pub(crate) priorities: Vec<u8>,
    pub(crate) profile: Profile,
    /// How long a word takes from one part of an agent to another.
    pub(crate) channel: RangeInclusive<Duration>,
    /// Who has the IP when the world begins.
    pub(crate) holder: Target,
    /// How long the hosts have been up when the world begins.
    pub(crate) uptime: Duration,
    /// How long a promotion takes, where there is a gate.
    pub(crate) promote: Option<RangeInclusive<Duration>>,
    /// The time limit of a probe, where one is configured.
    pub(crate) probe: Option<Duration>,
    pub(crate) bug: Option<Bug>,
}

impl Setup {
    /// Equal hosts at the defaults of the configuration; waits that do not concern a
    /// promise are shortened.
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            hosts,
            interval: Duration::from_millis(500),
            preempt: false,
            preempt_delay: Duration::from_secs(10),
            claim_timeout: Duration::from_secs(20),
            verify_interval: Duration::from_secs(1),
            readiness_interval: Duration::from_secs(300),
            priorities: vec![100; hosts],
            profile: Profile::fast(),
            channel: Duration::ZERO..=Duration::from_millis(5),
            holder: Target::Member(0),
            uptime: Duration::from_secs(5_000),
            promote: None,
            probe: None,
            bug: None,
        }
    }

    /// What the file of `host` says when the world begins.
    pub(crate) fn file(&self, host: HostIndex) -> File {
        File {
            preempt: self.preempt,
            claim_timeout: self.claim_timeout,
            priority: self.priorities[host],
            probe: self.probe.is_some(),
            gate: self.promote.is_some(),
        }
    }

    /// The time limit of a probe, also of one that a reload brings.
    pub(crate) fn probe_limit(&self) -> Duration {
        self.probe.unwrap_or(Duration::from_millis(500))
    }

    /// `D`.
    pub(crate) fn dead_interval(&self) -> Duration {
        self.interval * 3
    }
}

pub(crate) fn address(host: HostIndex) -> Ipv4Addr {
    Ipv4Addr::new(10, 114, 0, 4 + u8::try_from(host).unwrap_or(u8::MAX))
}

pub(crate) fn droplet(host: HostIndex) -> DropletId {
    DropletId(4_711 + host as u64)
}

/// A word to the heart.
#[derive(Clone, Debug)]
enum Word {
    Candidacy(Candidacy),
    Claim(ClaimReport),
    Reach(bool),
    Params(Box<election::Params>),
    Probe(ProbeResult),
    Command(Command),
}

#[derive(Clone, Debug)]
enum Event {
    Arrive { from: HostIndex, to: HostIndex, bytes: Rc<[u8]> },
    Unreachable { from: HostIndex, to: HostIndex },
    Heart { host: HostIndex, run: u32 },
    Brain { host: HostIndex, run: u32 },
    ToHeart { host: HostIndex, run: u32, word: Word },
    ToBrain { host: HostIndex, run: u32, intent: Intent },
    Reload { host: HostIndex, run: u32 },
    WantProbes { host: HostIndex, run: u32, wanted: bool },
    NextProbe { host: HostIndex, run: u32, spell: u32 },
    ProbeEnds { host: HostIndex, run: u32, begun: Time, answered: bool },
    Request { host: HostIndex, run: u32, ticket: Ticket, action: Action },
    Reply { host: HostIndex, run: u32, ticket: Ticket, outcome: Outcome },
    Exit { host: HostIndex, run: u32 },
    Wake { host: HostIndex, pause: u32 },
    Landing { id: CloudActionId },
    Fault(Fault),
}

/// What the world shows of itself to the invariants and to the trace.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Fault(Fault),
    Started { host: HostIndex },
    Ended { host: HostIndex },
    Woke { host: HostIndex },
    Transition { host: HostIndex, transition: Transition },
    Intent { host: HostIndex, intent: Intent },
    Report { host: HostIndex, report: ClaimReport },
    Called { host: HostIndex, action: Action },
    Answered { host: HostIndex, action: Action, outcome: Outcome },
    Command { host: HostIndex, command: Command, result: Result<(), Refusal> },
    Probing { host: HostIndex, wanted: bool },
    Moved(Move),
    Errored,
}

/// One run of an agent on a host.
pub(crate) struct Agent {
    pub(crate) run: u32,
    pub(crate) node: Node,
    pub(crate) reconciler: Reconciler,
    pub(crate) state: NodeState,
    pub(crate) intent: Intent,
    pub(crate) report: ClaimReport,
    /// When it was last master, if it was.
    pub(crate) was_master: Option<Time>,
    /// An own assign was last known to have ended well.
    pub(crate) landed: Option<Time>,
    /// Metadata has said "mine" since the hold began, or since the last assign in it.
    pub(crate) metadata_said_mine: bool,
    pub(crate) gate: Gate,
    /// What it has read of its file.
    file: File,
    inbox: VecDeque<(Time, PeerIndex, Rc<[u8]>)>,
    words: VecDeque<Word>,
    unreachable: Vec<PeerIndex>,
    heart_at: Option<Time>,
    brain_at: Option<Time>,
    heart_channel: Time,
    brain_channel: Time,
    calls: BTreeMap<Ticket, Action>,
    /// Probes are begun again and again, and the how manieth time that is.
    probing: Option<u32>,
    spells: u32,
}

/// What the world knows of a promotion gate: by its own count, not the reconciler's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gate {
    /// The mastership that the brain knows of, by its beginning.
    hold: Option<Time>,
    /// The mastership that the promotion under way was asked for in.
    promoting: Option<Time>,
    /// The newest mastership that a promotion has succeeded for.
    promoted: Option<Time>,
}

impl Gate {
    /// A mastership that has once had no gate is past it.
    fn pass_ungated(&mut self, file: File) {
        if !file.gate {
            self.promoted = self.hold;
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.hold.is_some() && self.promoted == self.hold
    }
}

/// A droplet.
pub(crate) struct Host {
    pub(crate) address: Ipv4Addr,
    pub(crate) droplet: DropletId,
    /// `None`: it is off.
    pub(crate) booted: Option<Time>,
    pub(crate) agent: Option<Agent>,
    pub(crate) paused: Option<Pause>,
    pub(crate) healthy: bool,
    pub(crate) file: File,
    pub(crate) priority: u8,
    pub(crate) drained: bool,
    pub(crate) token: bool,
    pub(crate) metadata: bool,
    /// Its promotions succeed.
    pub(crate) promotes: bool,
    /// Its probes can ask.
    pub(crate) sees: bool,
    disk: Option<node::Memory>,
    runs: u32,
    pauses: u32,
    deferred: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    pub(crate) until: Time,
    frozen: bool,
    number: u32,
}

impl Host {
    /// The host's own clock: it counts from its boot.
    pub(crate) fn local(&self, now: Time) -> Time {
        Time::ORIGIN + now.since(self.booted.unwrap_or(now))
    }

    fn candidacy(&self) -> Candidacy {
        Candidacy {
            healthy: self.healthy,
            priority: agent::priority(self.priority),
            because: (!self.healthy).then(|| Arc::from("docker")),
            since: None,
        }
    }

    /// It runs, and may be master.
    pub(crate) fn is_candidate(&self) -> bool {
        self.agent.is_some() && self.paused.is_none() && self.healthy && !self.drained
    }

    pub(crate) fn is_master(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.state == NodeState::Master)
    }
}

enum Effect {
    Transmit { peer: PeerIndex, bytes: Rc<[u8]> },
    Transition(Transition),
    Intent(Intent),
    Probe { wanted: bool },
    Persist,
    Answer { command: Command, result: Result<(), Refusal> },
}

struct Queued {
    at: Time,
    number: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (Reverse(self.at), Reverse(self.number)).cmp(&(Reverse(other.at), Reverse(other.number)))
    }
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) setup: Setup,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) cloud: Cloud,
    /// All has healed: a foreign droplet lets go of the IP as soon as it has it.
    healed: bool,
    happenings: Vec<Happening>,
    queue: BinaryHeap<Queued>,
    queued: u64,
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
            queue: BinaryHeap::new(),
            queued: 0,
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
        self.queue.peek().map(|queued| queued.at)
    }

    /// Lets time pass without an event.
    pub(crate) fn advance(&mut self, to: Time) {
        self.now = self.now.max(to);
    }

    fn post(&mut self, at: Time, event: Event) {
        self.queued += 1;
        self.queue.push(Queued { at: at.max(self.now), number: self.queued, event });
    }

    /// The next event happens.
    pub(crate) fn step(&mut self) {
        let Some(Queued { at, event, .. }) = self.queue.pop() else { return };
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
            Event::ToBrain { intent, .. } => {
                if let Some(agent) = &mut self.hosts[host].agent {
                    agent.gate.hold = match intent {
                        Intent::Hold(hold) => Some(hold.since),
                        Intent::Yield | Intent::Warm | Intent::Watch => None,
                    };
                    agent.gate.pass_ungated(agent.file);
                }
                self.brain(host, claim::Input::Intent(intent));
            }
            Event::Reload { .. } => self.reload(host),
            Event::WantProbes { wanted, .. } => self.want_probes(host, wanted),
            Event::NextProbe { spell, .. } => self.begin_probe(host, spell),
            Event::ProbeEnds { begun, answered, .. } => self.end_probe(host, begun, answered),
            Event::Reply { ticket, outcome, .. } => {
                let outcome = self.planted_outcome(outcome);
                let Some(agent) = &mut self.hosts[host].agent else { return };
                let Some(action) = agent.calls.remove(&ticket) else { return };
                if let Outcome::Local { mine } = outcome {
                    // The read began a little before its answer.
                    let lag = STALE_READ + Duration::from_millis(50);
                    let lagging = agent.landed.is_some_and(|landed| self.now - landed <= lag);
                    // "Not mine" within S of a landing is the lag, and makes the service a doubtful witness.
                    agent.metadata_said_mine = mine || (agent.metadata_said_mine && !lagging);
                }
                if action == Action::Promote && outcome == Outcome::Promoted {
                    agent.gate.promoted = agent.gate.promoted.max(agent.gate.promoting);
                }
                if ends_well(&outcome) {
                    agent.landed = Some(self.now);
                }
                self.happenings.push(Happening::Answered { host, action, outcome: outcome.clone() });
                self.brain(host, claim::Input::Done { ticket, outcome });
            }
            Event::Exit { .. } => self.end_agent(host),
            _ => {}
        }
    }

    fn awake(&self, host: HostIndex, run: u32) -> Option<&Agent> {
        let host = &self.hosts[host];
        host.agent.as_ref().filter(|agent| agent.run == run && host.paused.is_none())
    }

    // The network.

    fn arrive(&mut self, from: HostIndex, to: HostIndex, bytes: Rc<[u8]>) {
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

    fn unreachable(&mut self, from: HostIndex, to: HostIndex) {
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

    // The agent.

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
        let reachable = !self.network.public_cut[host] && self.cloud.api != Api::Unreachable;
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

    fn tell(&mut self, host: HostIndex, word: Word) {
        self.tell_after(host, Duration::ZERO, word);
    }

    /// Into the heart's channel, which keeps the order.
    fn tell_after(&mut self, host: HostIndex, wait: Duration, word: Word) {
        let delay = wait + self.rng.duration(&self.setup.channel.clone());
        let now = self.now;
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.heart_channel = agent.heart_channel.max(now + delay);
        let (at, run) = (agent.heart_channel, agent.run);
        self.post(at, Event::ToHeart { host, run, word });
    }

    /// Into the brain's channel, which keeps the order.
    fn tell_brain(&mut self, host: HostIndex, word: impl FnOnce(u32) -> Event) {
        let delay = self.rng.duration(&self.setup.channel.clone());
        let now = self.now;
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.brain_channel = agent.brain_channel.max(now + delay);
        let (at, run) = (agent.brain_channel, agent.run);
        self.post(at, word(run));
    }

    fn schedule_heart(&mut self, host: HostIndex, at: Time) {
        let Some(agent) = &mut self.hosts[host].agent else { return };
        if agent.heart_at.is_none_or(|earlier| earlier > at) {
            agent.heart_at = Some(at);
            let run = agent.run;
            self.post(at, Event::Heart { host, run });
        }
    }

    /// One turn of the heart: read everything, then evaluate once.
    fn heart(&mut self, host: HostIndex) {
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

    /// One input to the reconciler.
    fn brain(&mut self, host: HostIndex, input: claim::Input) {
        let local = self.hosts[host].local(self.now);
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.brain_at = None;
        agent.reconciler.handle(local, input);
        while let Some(output) = self.hosts[host].agent.as_mut().and_then(|agent| agent.reconciler.poll_output()) {
            match output {
                claim::Output::Start { ticket, action } => self.call(host, ticket, action),
                claim::Output::Cancel { ticket } => {
                    if let Some(agent) = &mut self.hosts[host].agent {
                        agent.calls.remove(&ticket);
                    }
                }
                claim::Output::Report(report) => {
                    if let Some(agent) = &mut self.hosts[host].agent {
                        // A lost poll: a look is what told that the assign has worked.
                        if agent.report.sent && report.state == claim::ClaimState::Held {
                            agent.landed = Some(self.now);
                        }
                        agent.report = report.clone();
                    }
                    self.happenings.push(Happening::Report { host, report: report.clone() });
                    if self.setup.bug != Some(Bug::ReportsNothing) {
                        self.tell(host, Word::Claim(report));
                    }
                }
                claim::Output::Milestone(_) | claim::Output::Failed(_) => {}
            }
        }
        let Some(agent) = &mut self.hosts[host].agent else { return };
        if let Some(deadline) = agent.reconciler.next_deadline() {
            let at = self.now + deadline.since(local);
            agent.brain_at = Some(at);
            let run = agent.run;
            self.post(at, Event::Brain { host, run });
        }
    }

    // The driver.

    fn call(&mut self, host: HostIndex, ticket: Ticket, action: Action) {
        let now = self.now;
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.calls.insert(ticket, action);
        if action == Action::Assign {
            agent.metadata_said_mine = false;
        }
        let run = agent.run;
        if action == Action::Promote {
            agent.gate.promoting = agent.gate.hold;
        }
        self.happenings.push(Happening::Called { host, action });
        if action == Action::Promote {
            let takes = self.setup.promote.clone().unwrap_or(Duration::ZERO..=Duration::from_secs(2));
            let after = self.rng.duration(&takes);
            let outcome = match self.hosts[host].promotes {
                true => Outcome::Promoted,
                false => failed(FailureClass::Again, "the promote hook failed"),
            };
            self.post(now + after, Event::Reply { host, run, ticket, outcome });
            return;
        }
        if action == Action::LookLocal {
            if self.hosts[host].metadata {
                let after = self.rng.millis(1..=10);
                self.post(now + after, Event::Request { host, run, ticket, action });
            } else {
                let outcome = failed(FailureClass::Again, "metadata does not answer");
                self.post(now + Duration::from_secs(1), Event::Reply { host, run, ticket, outcome });
            }
            return;
        }
        if self.network.public_cut[host] {
            let after = self.rng.millis(1..=3_000);
            let outcome = failed(FailureClass::Again, "connection failed");
            self.post(now + after, Event::Reply { host, run, ticket, outcome });
            return;
        }
        if !self.rng.percent(self.setup.profile.lost_request_percent) {
            let after = self.rng.duration(&self.setup.profile.latency.clone());
            self.post(now + after, Event::Request { host, run, ticket, action });
        }
        let outcome = failed(FailureClass::Unanswered, "no answer within 5 s");
        self.post(now + API_TIMEOUT, Event::Reply { host, run, ticket, outcome });
    }

    /// The request is at the provider, whatever became of the agent that sent it.
    fn request(&mut self, host: HostIndex, run: u32, ticket: Ticket, action: Action) {
        let now = self.now;
        let local = action == Action::LookLocal;
        if self.network.public_cut[host] && !local {
            return;
        }
        let (outcome, begun) = if self.hosts[host].token || local {
            self.cloud.request(now, droplet(host), action)
        } else {
            (failed(FailureClass::Never, "401 token refused"), None)
        };
        if let Some((after, id)) = begun {
            self.post(now + after, Event::Landing { id });
        }
        if local {
            let after = self.rng.millis(1..=10);
            self.post(now + after, Event::Reply { host, run, ticket, outcome });
        } else if !self.rng.percent(self.setup.profile.lost_reply_percent) {
            let after = self.rng.duration(&self.setup.profile.latency.clone());
            self.post(now + after, Event::Reply { host, run, ticket, outcome });
        }
    }

    fn planted_outcome(&self, outcome: Outcome) -> Outcome {
        match (self.setup.bug, outcome) {
            (Some(Bug::BelievesMetadataAlways), Outcome::Local { .. }) => Outcome::Local { mine: true },
            (Some(Bug::TakesForeignForNobody), Outcome::Api { holder: Holder::Foreign(_), locked }) => {
                Outcome::Api { holder: Holder::Nobody, locked }
            }
            (_, outcome) => outcome,
        }
    }

    // The probe: through the prober's public side to the host that has the IP for clients.

    fn want_probes(&mut self, host: HostIndex, wanted: bool) {
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.spells += 1;
        agent.probing = wanted.then_some(agent.spells);
        if let Some(spell) = agent.probing {
            self.begin_probe(host, spell);
        }
    }

    fn begin_probe(&mut self, host: HostIndex, spell: u32) {
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

    fn end_probe(&mut self, host: HostIndex, begun: Time, answered: bool) {
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

    // Faults.

    fn move_by_hand(&mut self, to: Target) {
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

    fn wake(&mut self, host: HostIndex, pause: u32) {
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
    fn reload(&mut self, host: HostIndex) {
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

    /// What the host's reach probe will find.
    fn probe(&mut self, host: HostIndex) {
        let reachable = !self.network.public_cut[host] && self.cloud.api != Api::Unreachable;
        // Three failures a second apart, after the next look of five seconds; one success.
        let after = if reachable { self.rng.millis(0..=1_000) } else { self.rng.millis(2_000..=8_000) };
        self.tell_after(host, after, Word::Reach(reachable));
    }

    fn command(&mut self, host: HostIndex, command: Command) {
        self.tell(host, Word::Command(command));
    }

    fn apply(&mut self, fault: &Fault) {
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

    fn release_from_foreign(&mut self) {
        if self.cloud.holder().is_some_and(|holder| self.cloud.is_foreign(holder)) {
            self.move_by_hand(Target::Nobody);
        }
    }
}

/// The answer says that an own assign has worked.
fn ends_well(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Progress(progress) => *progress == claim::Progress::Completed,
        Outcome::Failed(failure) => failure.class == FailureClass::AlreadyAssigned,
        Outcome::Local { .. }
        | Outcome::Api { .. }
        | Outcome::Warmed
        | Outcome::Accepted { .. }
        | Outcome::Promoted => false,
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

fn letter(host: HostIndex) -> char {
    char::from(b'a' + u8::try_from(host).unwrap_or(25).min(25))
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "*  FAULT {fault}"),
            Self::Started { host } => write!(f, "{}  agent starts", letter(*host)),
            Self::Ended { host } => write!(f, "{}  agent ends", letter(*host)),
            Self::Woke { host } => write!(f, "{}  runs again", letter(*host)),
            Self::Transition { host, transition } => write!(
                f,
                "{}  {:?} -> {:?} term {} {:?} (look {:?}, probe {:?})",
                letter(*host),
                transition.from,
                transition.to,
                transition.term,
                transition.reason,
                transition.evidence.look.map(|look| look.holder),
                transition.evidence.probe,
            ),
            Self::Intent { host, intent: Intent::Hold(hold) } => {
                write!(f, "{}  wants Hold over {:?}", letter(*host), hold.base.members().collect::<Vec<_>>())
            }
            Self::Intent { host, intent } => write!(f, "{}  wants {intent:?}", letter(*host)),
            Self::Report { host, report } => write!(
                f,
                "{}  claim {:?} look {:?} sent {} verified {:?}",
                letter(*host),
                report.state,
                report.look.map(|look| (look.source, look.holder, look.settled)),
                report.sent,
                report.verified
            ),
            Self::Called { host, action } => write!(f, "{}  calls {action:?}", letter(*host)),
            Self::Answered { host, action, outcome } => write!(f, "{}  {action:?}: {outcome:?}", letter(*host)),
            Self::Command { host, command, result } => write!(f, "{}  {command:?}: {result:?}", letter(*host)),
            Self::Moved(change) => write!(
                f,
                "*  IP MOVES from {:?} to {:?} by {:?}",
                change.from.map(|droplet| droplet.0),
                change.to.map(|droplet| droplet.0),
                change.by
            ),
            Self::Probing { host, wanted: true } => write!(f, "{}  begins to probe", letter(*host)),
            Self::Probing { host, wanted: false } => write!(f, "{}  ends to probe", letter(*host)),
            Self::Errored => f.write_str("*  an action ends, the IP stays"),
        }
    }
}
