//! The node: all elections and links of one host as one core. The heart and the
//! simulator drive it in the same way.
//!
//! One input at a time. Datagrams and news only record what happened; the rules
//! are evaluated once, by [`Input::Drained`], when every queued datagram was read
//! (rule 1): so that the node's own lateness is never a peer's death.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::proto::claim::event::{ClaimReport, Intent};
use crate::proto::election::Election;
use crate::proto::election::event::{
    self, Candidacy, Command, DEAD_INTERVALS, Heard, ProbeResult, Refusal, Transition,
};
use crate::proto::heartbeat::bulletin::{BulletinAssembler, BulletinSender};
use crate::proto::heartbeat::codec::{DecodeError, Encoder, MAX_DATAGRAM, Message, Record};
use crate::proto::heartbeat::mac::{Keys, Route, SealError, SignedWith};
use crate::proto::ids::{BootId, GroupId, NodeId, Priority};
use crate::proto::link::{Dropped, Link, LinkMemory, Loss, Own, WrongKey};
use crate::proto::time::{Duration, Time, TimerTable};

/// A group of this node, by its place in [`Params::groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub usize);

/// A peer of this node, by its place in [`Params::peers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIndex(pub usize);

/// The only way in. After any of them drain [`Node::poll_output`].
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A datagram from the peer's address. `stamp` is its arrival by the kernel's clock.
    Datagram { peer: PeerIndex, stamp: Time, bytes: &'a [u8] },
    /// The peer's host answered "port unreachable".
    PortUnreachable { peer: PeerIndex },
    /// This node's own health in a group.
    Candidacy { group: GroupIndex, candidacy: Candidacy },
    /// The newest word of a group's reconciler.
    Claim { group: GroupIndex, report: ClaimReport },
    /// Whether the API's host is reached from here.
    Reach { reachable: bool },
    /// A probe of a group has ended (rule 9).
    Probe { group: GroupIndex, result: ProbeResult },
    /// An operator's word; answered by [`Output::Answer`].
    Command { group: GroupIndex, command: Command },
    /// This node's newest bulletin, passed on as it is.
    Bulletin { bytes: &'a [u8] },
    /// Other settings of a group (see [`event::Input::Params`]).
    Params { group: GroupIndex, params: event::Params },
    /// Other keys, from the next datagram on.
    Keys(Keys),
    /// The agent stops: say goodbye in every group and name successors (rule 5).
    Resign,
    /// The rest of the agent gives no sign of life.
    BrainStale,
    /// Every queued datagram was read, or a deadline passed: evaluate the rules.
    Drained,
}

/// All that a node can do to the world.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send this datagram to the peer, now.
    Transmit { peer: PeerIndex, datagram: &'a [u8] },
    /// A whole bulletin of the peer.
    Bulletin { peer: PeerIndex, bytes: &'a [u8] },
    /// The state in a group changed.
    Transition { group: GroupIndex, transition: Transition },
    /// What is wanted of a group's claims.
    Intent { group: GroupIndex, intent: Intent },
    /// Begin to probe for a group again and again, or end it (rule 9).
    Probe { group: GroupIndex, wanted: bool },
    /// [`Node::memory`] changed: write it down.
    Persist,
    /// What became of a command.
    Answer { group: GroupIndex, command: Command, result: Result<(), Refusal> },
}

/// What a node is told once.
#[derive(Clone, Debug)]
pub struct Params {
    /// The node's name on the wire.
    pub node: NodeId,
    /// This run.
    pub boot: BootId,
    /// The private address.
    pub own: Ipv4Addr,
    /// `I`.
    pub interval: Duration,
    /// All peers of all groups, each once.
    pub peers: Vec<Ipv4Addr>,
    /// The groups.
    pub groups: Vec<GroupParams>,
}

/// What a node is told once about a group.
#[derive(Clone, Debug)]
pub struct GroupParams {
    /// The election's part.
    pub election: event::Params,
    /// The members besides this node.
    pub peers: Vec<PeerIndex>,
    /// The priority until the first candidacy comes.
    pub priority: Priority,
}

/// What survives a restart (rule 1). What is not in it is learnt again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Each group's.
    pub groups: Vec<(GroupId, event::Memory)>,
    /// Each peer's, by address.
    pub links: Vec<(Ipv4Addr, LinkMemory)>,
}

/// What `status` shows of the node.
#[derive(Clone, Debug)]
pub struct View {
    /// In the order of [`Params::groups`].
    pub groups: Vec<event::View>,
    /// In the order of [`Params::peers`].
    pub links: Vec<LinkView>,
    /// Datagrams that were sent.
    pub sent: u64,
}

/// What `status` shows of the way to a peer.
#[derive(Clone, Copy, Debug)]
pub struct LinkView {
    /// The peer's private address.
    pub address: Ipv4Addr,
    /// Its name on the wire, once it was heard.
    pub node: Option<NodeId>,
    /// When it was last heard.
    pub heard_at: Option<Time>,
    /// It hears this node too.
    pub echoed: bool,
    /// How many of its newest datagrams did not arrive.
    pub loss: Option<Loss>,
    /// Smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// Its heartbeat interval; it should be the same as ours.
    pub interval: Option<Duration>,
    /// What came from it and what became of that.
    pub counts: Counts,
    /// The last spell of datagrams that no key of ours made.
    pub wrong_key: Option<WrongKey>,
    /// The last one that only the old key made.
    pub old_key_at: Option<Time>,
    /// Two nodes have one name: the last datagram that carried ours.
    pub own_name_at: Option<Time>,
    /// The last one in a format that this release does not know.
    pub malformed_at: Option<Time>,
    /// The newest of those that speak another version of the protocol: which one, and when it came.
    pub other_version: Option<(u8, Time)>,
}

/// Datagrams of one peer, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub accepted: u64,
    /// No key of ours made the tag.
    pub wrong_key: u64,
    /// Too short, too long or nonsense.
    pub malformed: u64,
    /// A format of another release.
    pub other_version: u64,
    /// Replayed, left or unproved runs (see [`crate::proto::link::Dropped`]).
    pub replayed: u64,
    /// Carried this node's own name.
    pub own_name: u64,
}

/// The timers of a node.
mod timer {
    /// The heartbeat to everybody.
    pub(super) const HEARTBEAT: usize = 0;
    /// The second and third sending of an urgent change.
    pub(super) const SECOND: usize = 1;
    pub(super) const THIRD: usize = 2;
    /// The next part of the bulletin.
    pub(super) const BULLETIN: usize = 3;
    pub(super) const COUNT: usize = 4;
}

/// Urgent changes are sent thrice, 0/10/30 ms apart (`docs/design.md`, rule 4).
const SECOND: Duration = Duration::from_millis(10);
const THIRD: Duration = Duration::from_millis(30);

/// Parts of a bulletin leave no closer than this: a long one must not crowd out heartbeats.
const PART_GAP: Duration = Duration::from_millis(20);

/// The way to one peer and what came over it.
#[derive(Debug)]
struct Peer {
    address: Ipv4Addr,
    link: Link,
    bulletin: BulletinAssembler,
    counts: Counts,
    old_key_at: Option<Time>,
    own_name_at: Option<Time>,
    malformed_at: Option<Time>,
    other_version: Option<(u8, Time)>,
    /// When it was last answered at once (rule 4): a flood of questions is not answered one by one.
    answered_at: Option<Time>,
}

#[derive(Debug)]
struct Group {
    id: GroupId,
    peers: Vec<PeerIndex>,
    election: Election,
}

/// What waits to be put out. Datagrams are encoded when they leave, so that their ages are true.
#[derive(Debug)]
enum Pending {
    Heartbeat { peer: PeerIndex, ask: bool, first: usize },
    Part { peer: PeerIndex },
    PartSent,
    PeersBulletin { peer: PeerIndex },
    Persist,
    Election { group: GroupIndex, output: event::Output },
}

/// What is put out next; its bytes are in the node's own memory.
enum Ready {
    Datagram { peer: PeerIndex, length: usize },
    Bulletin { peer: PeerIndex },
    Persist,
    Transition(GroupIndex, Transition),
    Intent(GroupIndex, Intent),
    Probe(GroupIndex, bool),
    Answer(GroupIndex, Command, Result<(), Refusal>),
}

/// All elections and links of one host.
#[derive(Debug)]
pub struct Node {
    params: Params,
    keys: Keys,
    peers: Vec<Peer>,
    groups: Vec<Group>,
    bulletin: BulletinSender,
    timers: TimerTable<{ timer::COUNT }>,
    pending: VecDeque<Pending>,
    /// The last input; a longer gap than D is rule 1's.
    seen: Time,
    /// The brain is dead: nothing is said after the third goodbye.
    brain_stale: bool,
    silent: bool,
    sent: u64,
    datagram: Box<[u8; MAX_DATAGRAM]>,
}

impl Node {
    /// A node that begins to listen now, with what an earlier run of it wrote down.
    #[must_use]
    pub fn new(now: Time, params: Params, keys: Keys, memory: Option<Memory>) -> Self {
        let memory = memory.unwrap_or_default();
        let own = Own { node: params.node, boot: params.boot, interval: params.interval };
        let peers = params.peers.iter().map(|address| {
            let kept = memory.links.iter().find(|(of, _)| of == address).map(|(_, kept)| *kept);
            Peer {
                address: *address,
                link: Link::restore(own, &kept.unwrap_or_default()),
                bulletin: BulletinAssembler::new(),
                counts: Counts::default(),
                old_key_at: None,
                own_name_at: None,
                malformed_at: None,
                other_version: None,
                answered_at: None,
            }
        });
        let groups = params.groups.iter().map(|group| {
            let id = group.election.group;
            let kept = memory.groups.iter().find(|(of, _)| *of == id).map(|(_, kept)| kept.clone());
            let addresses: Vec<_> = group.peers.iter().filter_map(|peer| params.peers.get(peer.0).copied()).collect();
            let election = Election::new(now, group.election.clone(), &addresses, group.priority, kept);
            Group { id, peers: group.peers.clone(), election }
        });
        let mut timers = TimerTable::default();
        timers.set(timer::HEARTBEAT, now);
        Self {
            peers: peers.collect(),
            groups: groups.collect(),
            bulletin: BulletinSender::new(),
            timers,
            pending: VecDeque::with_capacity(256),
            seen: now,
            brain_stale: false,
            silent: false,
            sent: 0,
            datagram: Box::new([0; MAX_DATAGRAM]),
            keys,
            params,
        }
    }

    /// The only way in. `now` never goes back.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        let gap = now - self.seen;
        let late = self.next_deadline().map_or(Duration::ZERO, |due| now - due);
        self.seen = self.seen.max(now);
        if gap > self.params.interval * DEAD_INTERVALS {
            // Rule 1: before anything is sent.
            self.timers.set(timer::HEARTBEAT, now);
            self.each_election(now, |_| event::Input::Gap { length: gap });
        } else if late > self.params.interval / 2 {
            self.each_election(now, |_| event::Input::Late);
        }
        match input {
            Input::Datagram { peer, stamp, bytes } => self.receive(now, peer, stamp.min(now), bytes),
            Input::PortUnreachable { peer } => {
                self.tell_groups_of(now, peer, |peer| event::Input::PortUnreachable { peer })
            }
            Input::Candidacy { group, candidacy } => self.election(now, group, event::Input::Candidacy(candidacy)),
            Input::Claim { group, report } => self.election(now, group, event::Input::Claim(report)),
            Input::Probe { group, result } => self.election(now, group, event::Input::Probe(result)),
            Input::Command { group, command } => self.election(now, group, event::Input::Command(command)),
            Input::Reach { reachable } => self.each_election(now, |_| event::Input::Reach { reachable }),
            Input::Bulletin { bytes } => {
                // One that is too long is the maker's bug; the one before it stays.
                let _ = self.bulletin.publish(bytes);
                self.plan_bulletin(now);
            }
            Input::Params { group, params } => self.election(now, group, event::Input::Params(params)),
            Input::Keys(keys) => self.keys = keys,
            Input::Resign => self.each_election(now, |_| event::Input::Command(Command::Resign)),
            Input::BrainStale => {
                self.each_election(now, |_| event::Input::BrainStale);
                self.brain_stale = true;
                self.timers.set(timer::THIRD, now + THIRD);
            }
            Input::Drained => {
                self.each_election(now, |_| event::Input::Drained);
                self.expire(now);
            }
        }
    }

    /// What to do; drain after each input.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        Some(match self.next_ready()? {
            Ready::Datagram { peer, length } => {
                Output::Transmit { peer, datagram: self.datagram.get(..length).unwrap_or_default() }
            }
            Ready::Bulletin { peer } => {
                let bytes = self.peers.get(peer.0).and_then(|peer| peer.bulletin.whole());
                Output::Bulletin { peer, bytes: bytes.unwrap_or_default() }
            }
            Ready::Persist => Output::Persist,
            Ready::Transition(group, transition) => Output::Transition { group, transition },
            Ready::Intent(group, intent) => Output::Intent { group, intent },
            Ready::Probe(group, wanted) => Output::Probe { group, wanted },
            Ready::Answer(group, command, result) => Output::Answer { group, command, result },
        })
    }

    fn next_ready(&mut self) -> Option<Ready> {
        loop {
            return Some(match self.pending.pop_front()? {
                Pending::Heartbeat { peer, ask, first } => {
                    Ready::Datagram { peer, length: self.encode(peer, ask, first) }
                }
                Pending::Part { peer } => match self.encode_part(peer) {
                    Some(length) => Ready::Datagram { peer, length },
                    None => continue,
                },
                Pending::PartSent => {
                    self.bulletin.sent();
                    self.plan_bulletin(self.seen + PART_GAP);
                    continue;
                }
                Pending::PeersBulletin { peer } => Ready::Bulletin { peer },
                Pending::Persist => Ready::Persist,
                Pending::Election { group, output } => match output {
                    event::Output::Transition(transition) => Ready::Transition(group, transition),
                    event::Output::Intent(intent) => Ready::Intent(group, intent),
                    event::Output::Probe { wanted } => Ready::Probe(group, wanted),
                    event::Output::Answer { command, result } => Ready::Answer(group, command, result),
                    event::Output::Persist => Ready::Persist,
                    event::Output::Advertise => {
                        self.advertise();
                        continue;
                    }
                    event::Output::Ask { peer } => {
                        if let Some(peer) = self.index(peer) {
                            self.beat_to(peer, true);
                        }
                        continue;
                    }
                },
            });
        }
    }

    /// When to send [`Input::Drained`] next, at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let elections = self.groups.iter().filter_map(|group| group.election.next_deadline()).min();
        [self.timers.next_deadline(), elections].into_iter().flatten().min()
    }

    /// What must survive a restart.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory {
            groups: self.groups.iter().map(|group| (group.id, group.election.memory())).collect(),
            links: self.peers.iter().map(|peer| (peer.address, peer.link.persist())).collect(),
        }
    }

    /// What `status` shows.
    #[must_use]
    pub fn view(&self, now: Time) -> View {
        let links = self.peers.iter().map(|peer| LinkView {
            address: peer.address,
            node: peer.link.node(),
            heard_at: peer.link.heard_at(),
            echoed: peer.link.echoed(),
            loss: peer.link.loss(),
            rtt: peer.link.round_trip(),
            interval: peer.link.interval(),
            counts: peer.counts,
            wrong_key: peer.link.wrong_key(),
            old_key_at: peer.old_key_at,
            own_name_at: peer.own_name_at,
            malformed_at: peer.malformed_at,
            other_version: peer.other_version,
        });
        View {
            groups: self.groups.iter().map(|group| group.election.view(now)).collect(),
            links: links.collect(),
            sent: self.sent,
        }
    }

    // --- in ---------------------------------------------------------------------------------

    fn receive(&mut self, now: Time, index: PeerIndex, stamp: Time, bytes: &[u8]) {
        let Some(peer) = self.peers.get_mut(index.0) else { return };
        let route = Route { from: peer.address, to: self.params.own };
        let verified = match self.keys.verify(route, bytes) {
            Ok(verified) => verified,
            Err(SealError::WrongKey) => {
                peer.counts.wrong_key += 1;
                peer.link.note_wrong_key(stamp);
                self.tell_groups_of(now, index, |peer| event::Input::WrongKey { peer });
                return;
            }
            Err(SealError::TooShort { .. } | SealError::TooLong { .. }) => {
                peer.counts.malformed += 1;
                peer.malformed_at = Some(now);
                return;
            }
        };
        if verified.signed_with() == SignedWith::Old {
            peer.old_key_at = Some(now);
        }
        let message = match Message::decode(verified) {
            Ok(message) => message,
            Err(error) => {
                match error {
                    DecodeError::UnknownVersion { version } => {
                        peer.counts.other_version += 1;
                        peer.other_version = Some((version, now));
                    }
                    _ => peer.counts.malformed += 1,
                }
                peer.malformed_at = Some(now);
                self.tell_groups_of(now, index, |peer| event::Input::Unreadable { peer });
                return;
            }
        };
        let accepted = match peer.link.receive(now, stamp, &message.header) {
            Ok(accepted) => accepted,
            Err(Dropped::OwnName) => {
                peer.counts.own_name += 1;
                peer.own_name_at = Some(now);
                self.tell_groups_of(now, index, |peer| event::Input::OwnName { peer });
                return;
            }
            Err(Dropped::NewBootWithoutProof { answer }) => {
                peer.counts.replayed += 1;
                if answer {
                    // The peer proves itself with its answer, if it is the peer.
                    self.beat_to(index, true);
                }
                return;
            }
            Err(Dropped::BootLeft | Dropped::Duplicate | Dropped::TooOld) => {
                peer.counts.replayed += 1;
                return;
            }
        };
        peer.counts.accepted += 1;
        let answer = message.header.ask && peer.answered_at.is_none_or(|at| now - at >= self.params.interval / 10);
        // A new run must hear its own echo soon: until then it may cause nothing.
        let answer = answer || accepted.new_boot;
        if answer {
            peer.answered_at = Some(now);
        }
        for record in message.records() {
            match record {
                Record::Group(report) if accepted.newest => {
                    let heard = Heard { peer: peer.address, at: stamp, echoed: accepted.echoed, report };
                    let group = self.groups.iter_mut().find(|g| g.id == report.group && g.peers.contains(&index));
                    if let Some(group) = group {
                        group.election.handle(now, event::Input::Heard(heard));
                    }
                }
                Record::Bulletin(part) if accepted.echoed => {
                    if peer.bulletin.accept(message.header.boot, &part).is_some() {
                        self.pending.push_back(Pending::PeersBulletin { peer: index });
                    }
                }
                Record::Group(_) | Record::Bulletin(_) | Record::Unknown { .. } => {}
            }
        }
        if answer {
            self.beat_to(index, false);
        }
        if accepted.new_boot {
            self.pending.push_back(Pending::Persist);
            self.bulletin.repeat();
            self.plan_bulletin(now);
        }
    }

    fn election(&mut self, now: Time, group: GroupIndex, input: event::Input) {
        let Some(Group { election, .. }) = self.groups.get_mut(group.0) else { return };
        election.handle(now, input);
        while let Some(output) = election.poll_output() {
            self.pending.push_back(Pending::Election { group, output });
        }
    }

    fn each_election(&mut self, now: Time, input: impl Fn(GroupIndex) -> event::Input) {
        for group in (0..self.groups.len()).map(GroupIndex) {
            self.election(now, group, input(group));
        }
    }

    fn tell_groups_of(&mut self, now: Time, peer: PeerIndex, input: impl Fn(Ipv4Addr) -> event::Input) {
        let Some(address) = self.peers.get(peer.0).map(|peer| peer.address) else { return };
        for group in (0..self.groups.len()).map(GroupIndex) {
            if self.groups.get(group.0).is_some_and(|group| group.peers.contains(&peer)) {
                self.election(now, group, input(address));
            }
        }
    }

    fn index(&self, address: Ipv4Addr) -> Option<PeerIndex> {
        self.peers.iter().position(|peer| peer.address == address).map(PeerIndex)
    }

    // --- out --------------------------------------------------------------------------------

    fn expire(&mut self, now: Time) {
        let beat_due = self.timers.get(timer::HEARTBEAT).unwrap_or(now);
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                timer::HEARTBEAT => {
                    // The cadence is kept; what was missed is not made up for.
                    let next = beat_due + self.params.interval;
                    self.timers.set(timer::HEARTBEAT, if next > now { next } else { now + self.params.interval });
                    self.beat();
                }
                timer::SECOND => self.beat(),
                timer::THIRD => {
                    self.beat();
                    self.silent |= self.brain_stale;
                }
                _ => self.send_part(now),
            }
        }
    }

    fn beat(&mut self) {
        for peer in (0..self.peers.len()).map(PeerIndex) {
            self.beat_to(peer, false);
        }
    }

    fn beat_to(&mut self, peer: PeerIndex, ask: bool) {
        if !self.silent {
            self.pending.push_back(Pending::Heartbeat { peer, ask, first: 0 });
        }
    }

    /// Something that peers must know at once. What is about to leave anyway says it already:
    /// several groups that change together make one datagram.
    fn advertise(&mut self) {
        self.timers.set(timer::SECOND, self.seen + SECOND);
        self.timers.set(timer::THIRD, self.seen + THIRD);
        for peer in (0..self.peers.len()).map(PeerIndex) {
            let leaves =
                |waiting: &Pending| matches!(waiting, Pending::Heartbeat { peer: to, first: 0, .. } if *to == peer);
            if !self.pending.iter().any(leaves) {
                self.beat_to(peer, false);
            }
        }
    }

    fn plan_bulletin(&mut self, earliest: Time) {
        if let Some(due) = self.bulletin.next_deadline() {
            self.timers.set(timer::BULLETIN, due.max(earliest));
        }
    }

    fn send_part(&mut self, now: Time) {
        if self.silent {
            return;
        }
        if self.bulletin.part(now).is_none() {
            self.plan_bulletin(now + PART_GAP);
            return;
        }
        for peer in (0..self.peers.len()).map(PeerIndex) {
            self.pending.push_back(Pending::Part { peer });
        }
        self.pending.push_back(Pending::PartSent);
    }

    /// Encodes the reports from `first` on that this peer shares; what does not fit follows in another datagram.
    fn encode(&mut self, index: PeerIndex, ask: bool, first: usize) -> usize {
        let Some(peer) = self.peers.get_mut(index.0) else { return 0 };
        let header = peer.link.next_header(self.seen, ask);
        self.sent = self.sent.saturating_add(1);
        let mut encoder = Encoder::new(&mut self.datagram, &header);
        for (place, group) in self.groups.iter().enumerate().skip(first) {
            if group.peers.contains(&index) && !encoder.group(&group.election.report(self.seen)) {
                self.pending.push_front(Pending::Heartbeat { peer: index, ask: false, first: place });
                break;
            }
        }
        encoder.seal(&self.keys, Route { from: self.params.own, to: peer.address }).len()
    }

    fn encode_part(&mut self, index: PeerIndex) -> Option<usize> {
        let peer = self.peers.get_mut(index.0)?;
        let part = self.bulletin.part(self.seen)?;
        let header = peer.link.next_header(self.seen, false);
        self.sent = self.sent.saturating_add(1);
        let mut encoder = Encoder::new(&mut self.datagram, &header);
        encoder.bulletin(&part);
        Some(encoder.seal(&self.keys, Route { from: self.params.own, to: peer.address }).len())
    }
}

#[cfg(test)]
mod tests;
