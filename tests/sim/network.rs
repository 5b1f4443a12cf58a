//! The model network: the VPC between the hosts, link by link and direction by
//! direction, and the public side, by which a host reaches the provider.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::rc::Rc;

use haagent::proto::time::Duration;

use crate::rng::Rng;

/// How many datagrams an eavesdropper keeps for a replay.
const RECORDED: usize = 4_096;

/// One direction between two hosts.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) cut: bool,
    pub(crate) loss_percent: f64,
    pub(crate) duplicate_percent: f64,
    /// A wide range reorders: each datagram draws its own delay.
    pub(crate) delay: RangeInclusive<Duration>,
}

impl Link {
    /// A VPC on a normal day.
    fn normal() -> Self {
        Self {
            cut: false,
            loss_percent: 0.0,
            duplicate_percent: 0.0,
            delay: Duration::from_micros(150)..=Duration::from_micros(900),
        }
    }
}

/// A datagram as it went over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) bytes: Rc<[u8]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Network {
    hosts: usize,
    links: Vec<Link>,
    /// Hosts that do not reach the provider.
    pub(crate) public_cut: Vec<bool>,
    record: VecDeque<Recorded>,
}

impl Network {
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            hosts,
            links: vec![Link::normal(); hosts * hosts],
            public_cut: vec![false; hosts],
            record: VecDeque::new(),
        }
    }

    pub(crate) fn link(&self, from: usize, to: usize) -> &Link {
        &self.links[from * self.hosts + to]
    }

    pub(crate) fn link_mut(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.hosts + to]
    }

    pub(crate) fn every_link(&mut self) -> impl Iterator<Item = &mut Link> {
        self.links.iter_mut()
    }

    /// All links as on a normal day, the public side too.
    pub(crate) fn heal(&mut self) {
        self.links.fill(Link::normal());
        self.public_cut.fill(false);
    }

    /// Whether datagrams pass in both directions, nearly always.
    pub(crate) fn is_sound(&self, a: usize, b: usize) -> bool {
        [self.link(a, b), self.link(b, a)]
            .iter()
            .all(|link| !link.cut && link.loss_percent < 5.0 && *link.delay.end() < Duration::from_millis(50))
    }

    /// After how long a datagram arrives: never, once or twice.
    pub(crate) fn send(&mut self, rng: &mut Rng, from: usize, to: usize, bytes: &Rc<[u8]>) -> [Option<Duration>; 2] {
        if self.record.len() == RECORDED {
            self.record.pop_front();
        }
        self.record.push_back(Recorded { from, to, bytes: Rc::clone(bytes) });
        let link = self.link(from, to);
        let (duplicate, lost) = (rng.percent(link.duplicate_percent), rng.percent(link.loss_percent));
        let delays = [rng.duration(&link.delay), rng.duration(&link.delay)];
        if link.cut || lost {
            return [None, None];
        }
        [Some(delays[0]), duplicate.then_some(delays[1])]
    }

    /// What an eavesdropper has of the datagrams from one host to another, oldest first.
    pub(crate) fn recorded(&self, from: usize, to: usize) -> impl Iterator<Item = &Recorded> {
        self.record.iter().filter(move |datagram| datagram.from == from && datagram.to == to)
    }
}
