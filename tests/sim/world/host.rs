//! A droplet and the run of an agent on it: the real cores, and what stands between
//! them and the world (a socket, two channels, calls under way).

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;

use haagent::proto::claim::Reconciler;
use haagent::proto::claim::event::{Action, ClaimReport, Intent, Ticket};
use haagent::proto::election::event::Candidacy;
use haagent::proto::heartbeat::NodeState;
use haagent::proto::ids::DropletId;
use haagent::proto::node::{self, Node, PeerIndex};
use haagent::proto::time::Time;

use super::queue::{Event, Word};
use crate::agent;
use crate::faults::File;

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
    pub(super) disk: Option<node::Memory>,
    pub(super) runs: u32,
    pub(super) pauses: u32,
    pub(super) deferred: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    pub(crate) until: Time,
    pub(super) frozen: bool,
    pub(super) number: u32,
}

impl Host {
    /// The host's own clock: it counts from its boot.
    pub(crate) fn local(&self, now: Time) -> Time {
        Time::ORIGIN + now.since(self.booted.unwrap_or(now))
    }

    pub(super) fn candidacy(&self) -> Candidacy {
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
    pub(super) file: File,
    pub(super) inbox: VecDeque<(Time, PeerIndex, Rc<[u8]>)>,
    pub(super) words: VecDeque<Word>,
    pub(super) unreachable: Vec<PeerIndex>,
    pub(super) heart_at: Option<Time>,
    pub(super) brain_at: Option<Time>,
    pub(super) heart_channel: Time,
    pub(super) brain_channel: Time,
    pub(super) calls: BTreeMap<Ticket, Action>,
    /// Probes are begun again and again, and the how manieth time that is.
    pub(super) probing: Option<u32>,
    pub(super) spells: u32,
}

/// What the world knows of a promotion gate: by its own count, not the reconciler's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gate {
    /// The mastership that the brain knows of, by its beginning.
    pub(super) hold: Option<Time>,
    /// The mastership that the promotion under way was asked for in.
    pub(super) promoting: Option<Time>,
    /// The newest mastership that a promotion has succeeded for.
    pub(super) promoted: Option<Time>,
}

impl Gate {
    /// A mastership that has once had no gate is past it.
    pub(super) fn pass_ungated(&mut self, file: File) {
        if !file.gate {
            self.promoted = self.hold;
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.hold.is_some() && self.promoted == self.hold
    }
}
