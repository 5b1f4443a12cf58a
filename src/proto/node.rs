//! The node: all elections and links of one host as one core. The heart and the
//! simulator drive it in the same way.
//!
//! One input at a time. Datagrams and news only record what happened; the rules
//! are evaluated once, by [`Input::Drained`], when every queued datagram was read
//! (rule 1): so that the node's own lateness is never a peer's death.

use std::net::Ipv4Addr;

use crate::proto::claim::event::{ClaimReport, Intent};
use crate::proto::election::event::{self, Candidacy, Command, Refusal, Transition};
use crate::proto::ids::{BootId, NodeId, Priority};
use crate::proto::time::Duration;

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
    Datagram { peer: PeerIndex, stamp: crate::proto::time::Time, bytes: &'a [u8] },
    /// The peer's host answered "port unreachable".
    PortUnreachable { peer: PeerIndex },
    /// This node's own health in a group.
    Candidacy { group: GroupIndex, candidacy: Candidacy },
    /// The newest word of a group's reconciler.
    Claim { group: GroupIndex, report: ClaimReport },
    /// Whether the API's host is reached from here.
    Reach { reachable: bool },
    /// An operator's word; answered by [`Output::Answer`].
    Command { group: GroupIndex, command: Command },
    /// This node's newest bulletin, passed on as it is.
    Bulletin { bytes: &'a [u8] },
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
