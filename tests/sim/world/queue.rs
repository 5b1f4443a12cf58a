//! What is yet to happen: one queue of events, in the order of their time and, at the
//! same time, in the order in which they were posted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use haagent::proto::claim::event::{Action, ClaimReport, CloudActionId, Intent, Outcome, Ticket};
use haagent::proto::election::event::{Candidacy, Command, Params, ProbeResult};
use haagent::proto::time::Time;

use crate::faults::{Fault, Host as HostIndex};

#[derive(Clone, Debug)]
pub(super) enum Event {
    Arrive { from: HostIndex, to: HostIndex, bytes: Rc<[u8]> },
    Unreachable { from: HostIndex, to: HostIndex },
    Heart { host: HostIndex, run: u32 },
    Brain { host: HostIndex, run: u32 },
    ToHeart { host: HostIndex, run: u32, word: Word },
    ToBrain { host: HostIndex, run: u32, intent: Intent },
    Reload { host: HostIndex, run: u32 },
    Reach { host: HostIndex, run: u32 },
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

/// A word to the heart.
#[derive(Clone, Debug)]
pub(super) enum Word {
    Candidacy(Candidacy),
    Claim(ClaimReport),
    Reach(bool),
    Params(Box<Params>),
    Probe(ProbeResult),
    Command(Command),
}

#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Queued>,
    posted: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Time, event: Event) {
        self.posted += 1;
        self.heap.push(Queued { at, number: self.posted, event });
    }

    pub(super) fn pop(&mut self) -> Option<(Time, Event)> {
        self.heap.pop().map(|queued| (queued.at, queued.event))
    }

    /// When the next event is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|queued| queued.at)
    }
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
