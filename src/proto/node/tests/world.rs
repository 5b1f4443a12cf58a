//! Nodes, a network with a fixed latency, and a cloud that obeys at once.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::proto::claim::event::{ClaimState, Holder, Look, Source};
use crate::proto::heartbeat::mac::Key;
use crate::proto::heartbeat::{GroupReport, Header};

pub(super) const INTERVAL: Duration = Duration::from_millis(500);
pub(super) const LATENCY: Duration = Duration::from_millis(1);

/// How often a node is told what the cloud says.
const LOOK: Duration = Duration::from_millis(500);

/// Outputs of one turn; a node that puts out more has lost its measure.
const MANY: usize = 200;

pub(super) fn address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(index + 1).unwrap())
}

/// A datagram that a node sent, as it was read from the wire.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at: Time,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) header: Header,
    pub(super) reports: Vec<GroupReport>,
    pub(super) bytes: Vec<u8>,
}

/// How the nodes of a world are made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) groups: u64,
    /// Each node's key and name.
    pub(super) nodes: Vec<(u8, u64)>,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: Time,
    /// `None`: its host is down, or its process.
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) sent: Vec<Sent>,
    /// Ways on which everything is lost.
    pub(super) cuts: BTreeSet<(usize, usize)>,
    /// Nodes whose datagrams are those of a release that nobody else knows.
    pub(super) other_release: BTreeSet<usize>,
    /// The node that has the address by the cloud's word.
    pub(super) holder: usize,
    /// By receiver, sender and text.
    pub(super) bulletins: Vec<(usize, usize, Vec<u8>)>,
    pub(super) transitions: Vec<(usize, Transition)>,
    pub(super) persisted: usize,
    intents: BTreeMap<(usize, usize), Intent>,
    look_at: Time,
    under_way: BTreeMap<(Time, u64), (usize, usize, Vec<u8>)>,
    count: u64,
}

impl World {
    pub(super) fn new(nodes: u64) -> Self {
        Self::of(Plan { groups: 1, nodes: (1..=nodes).map(|name| (7, name)).collect() })
    }

    pub(super) fn of(plan: Plan) -> Self {
        let now = Time::from_millis(3_600_000);
        let mut world = Self {
            now,
            nodes: Vec::new(),
            sent: Vec::new(),
            cuts: BTreeSet::new(),
            other_release: BTreeSet::new(),
            holder: 0,
            bulletins: Vec::new(),
            transitions: Vec::new(),
            persisted: 0,
            intents: BTreeMap::new(),
            look_at: now,
            under_way: BTreeMap::new(),
            count: 0,
            plan,
        };
        for index in 0..world.plan.nodes.len() {
            world.nodes.push(None);
            world.start(index, None);
        }
        world
    }

    /// Two nodes, of which the first is master.
    pub(super) fn pair() -> Self {
        let mut world = Self::new(2);
        // Between two heartbeats, with nothing under way.
        world.run(INTERVAL * 10 + INTERVAL / 5);
        assert_eq!(world.states(), [NodeState::Master, NodeState::Backup]);
        world.sent.clear();
        world.transitions.clear();
        world
    }

    fn keys(&self, index: usize) -> Keys {
        Keys::new(Key::new(&[self.plan.nodes[index].0; Key::LENGTH]), None)
    }

    /// Starts a node, or a new run of it.
    pub(super) fn start(&mut self, index: usize, memory: Option<Memory>) {
        self.count += 1;
        let all = self.plan.nodes.len();
        let group = |number| GroupParams {
            election: event::Params {
                group: GroupId(number),
                settings: 0,
                own: address(index),
                interval: INTERVAL,
                preempt: false,
                preempt_delay: Duration::from_secs(60),
                claim_timeout: Duration::from_secs(60),
                readiness_interval: Duration::from_secs(300),
                host_up: Time::ORIGIN,
                probe: None,
            },
            peers: (0..all - 1).map(PeerIndex).collect(),
            priority: Priority::DEFAULT,
        };
        let params = Params {
            node: NodeId(self.plan.nodes[index].1),
            boot: BootId(1_000 + self.count),
            own: address(index),
            interval: INTERVAL,
            peers: (0..all).filter(|peer| *peer != index).map(address).collect(),
            groups: (1..=self.plan.groups).map(group).collect(),
        };
        let groups = params.groups.len();
        self.nodes[index] = Some(Node::new(self.now, params, self.keys(index), memory));
        for group in 0..groups {
            self.intents.insert((index, group), Intent::Watch);
            self.candidacy(index, group, true, Priority::DEFAULT);
            self.tell(index, group);
        }
        self.input(index, Input::Drained);
    }

    /// A reload of the key files.
    pub(super) fn change_keys(&mut self, index: usize, current: u8, old: Option<u8>) {
        self.plan.nodes[index].0 = current;
        let key = |byte| Key::new(&[byte; Key::LENGTH]);
        self.input(index, Input::Keys(Keys::new(key(current), old.map(key))));
    }

    pub(super) fn candidacy(&mut self, index: usize, group: usize, healthy: bool, priority: Priority) {
        let candidacy = Candidacy { healthy, priority, because: None, since: None };
        self.input(index, Input::Candidacy { group: GroupIndex(group), candidacy });
    }

    /// Ends a process without a word; what it would have written down, by way of its file.
    pub(super) fn kill(&mut self, index: usize) -> Memory {
        let memory = self.nodes[index].take().unwrap().memory();
        serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap()
    }

    /// The place of `other` among the peers of `node`.
    fn peer(node: usize, other: usize) -> PeerIndex {
        PeerIndex(if other < node { other } else { other - 1 })
    }

    fn host(node: usize, peer: PeerIndex) -> usize {
        if peer.0 < node { peer.0 } else { peer.0 + 1 }
    }

    pub(super) fn states(&self) -> Vec<NodeState> {
        self.nodes.iter().flatten().map(|node| node.view(self.now).groups[0].state).collect()
    }

    pub(super) fn link(&self, node: usize, other: usize) -> LinkView {
        self.nodes[node].as_ref().unwrap().view(self.now).links[Self::peer(node, other).0]
    }

    /// When datagrams of `from` left, one for each receiver that got one.
    pub(super) fn departures(&self, from: usize, to: usize) -> Vec<Time> {
        self.sent.iter().filter(|sent| (sent.from, sent.to) == (from, to)).map(|sent| sent.at).collect()
    }

    /// An input and all that follows from it.
    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        let drained = matches!(input, Input::Drained);
        let Some(mut node) = self.nodes[index].take() else { return };
        node.handle(self.now, input);
        let mut outputs = 0;
        let mut intents = Vec::new();
        while let Some(output) = node.poll_output() {
            outputs += 1;
            assert!(outputs < MANY, "{output:?}");
            match output {
                Output::Transmit { peer, datagram } => self.transmit(index, Self::host(index, peer), datagram),
                Output::Bulletin { peer, bytes } => {
                    self.bulletins.push((index, Self::host(index, peer), bytes.to_vec()));
                }
                Output::Transition { transition, .. } => self.transitions.push((index, transition)),
                Output::Intent { group, intent } => intents.push((group.0, intent)),
                Output::Probe { .. } => {}
                Output::Persist => self.persisted += 1,
                Output::Answer { .. } => {}
            }
        }
        if drained {
            let due = node.next_deadline().unwrap();
            assert!(due > self.now, "a busy loop: due at {due:?}, now {:?}", self.now);
        }
        self.nodes[index] = Some(node);
        for (group, intent) in intents {
            self.intents.insert((index, group), intent);
            self.tell(index, group);
        }
    }

    fn transmit(&mut self, from: usize, to: usize, datagram: &[u8]) {
        let route = Route { from: address(from), to: address(to) };
        let keys = self.keys(from);
        let message = Message::decode(keys.verify(route, datagram).unwrap()).unwrap();
        let reports = message.records().filter_map(|record| match record {
            Record::Group(report) => Some(report),
            Record::Bulletin(_) | Record::Unknown { .. } => None,
        });
        let (at, header, reports) = (self.now, message.header, reports.collect());
        let mut bytes = datagram.to_vec();
        if self.other_release.contains(&from) {
            // The version, behind the four bytes of the magic.
            bytes[4] += 1;
            let body = bytes.len() - keys.tag(route, b"").len();
            let tag = keys.tag(route, &bytes[..body]);
            bytes[body..].copy_from_slice(&tag);
        }
        if !self.cuts.contains(&(from, to)) {
            self.count += 1;
            self.under_way.insert((at + LATENCY, self.count), (from, to, bytes.clone()));
        }
        self.sent.push(Sent { at, from, to, header, reports, bytes });
    }

    /// What the cloud says, and does: a hold moves the address at once.
    fn tell(&mut self, index: usize, group: usize) {
        let now = self.now;
        let held = matches!(self.intents.get(&(index, group)), Some(Intent::Hold(_)));
        if held {
            self.holder = index;
        }
        let holder = if self.holder == index { Holder::Mine } else { Holder::Member(address(self.holder)) };
        let report = ClaimReport {
            state: if held { ClaimState::Held } else { ClaimState::Idle },
            look: Some(Look { source: Source::Api, begun: now, ended: now, holder, settled: true }),
            verified: held.then_some(now),
            proof: Some(now),
            ..ClaimReport::default()
        };
        self.input(index, Input::Claim { group: GroupIndex(group), report });
    }

    /// Time passes: everything arrives and every deadline is kept.
    pub(super) fn run(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            let deadlines = self.nodes.iter().flatten().filter_map(Node::next_deadline);
            let arrival = self.under_way.keys().next().map(|(at, _)| *at);
            let next = deadlines.chain(arrival).chain([self.look_at]).min().unwrap();
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            let now = self.now;
            let due = |node: &Option<Node>| node.as_ref().and_then(Node::next_deadline).is_some_and(|due| due <= now);
            let mut woken: BTreeSet<usize> = (0..).zip(&self.nodes).filter(|(_, n)| due(n)).map(|(i, _)| i).collect();
            while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= now) {
                let (from, to, bytes) = entry.remove();
                self.deliver(from, to, &bytes);
                woken.insert(to);
            }
            if self.look_at <= now {
                self.look_at = now + LOOK;
                for (index, group) in self.intents.keys().copied().collect::<Vec<_>>() {
                    self.tell(index, group);
                    woken.insert(index);
                }
            }
            for index in woken {
                self.input(index, Input::Drained);
            }
        }
    }

    /// A datagram arrives now, from the network or from whoever recorded it.
    pub(super) fn deliver(&mut self, from: usize, to: usize, bytes: &[u8]) {
        self.input(to, Input::Datagram { peer: Self::peer(to, from), stamp: self.now, bytes });
    }
}
