//! The heartbeat: what a datagram says (here), how it is written ([`codec`]), how
//! it is guarded ([`mac`]), and what travels beside it ([`bulletin`]).
//!
//! One datagram goes to each peer in each heartbeat interval, from backups too. It
//! carries a [`Header`], one [`GroupReport`] per group, and possibly one part of
//! the sender's bulletin. All ages are relative to the moment of sending, so that
//! no two clocks need to agree.

pub mod bulletin;
pub mod codec;
pub mod mac;

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::proto::claim::event::{Base, ClaimState};
use crate::proto::ids::{BootId, GroupId, NodeId, Priority, Seq, Term};
use crate::proto::time::Duration;

/// The longest datagram in bytes, tag included: it passes every VPC and tunnel unfragmented.
pub const MAX_DATAGRAM: usize = 1200;

/// What every datagram says of its sender, whatever groups it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's name.
    pub sender: NodeId,
    /// The sender's present run.
    pub boot: BootId,
    /// Counts the datagrams of this run towards this receiver, from 1.
    pub seq: Seq,
    /// The sender's heartbeat interval, in whole milliseconds.
    #[doc(alias = "Advertisement_Interval")]
    pub interval: Duration,
    /// Answer at once: the sender misses the receiver's heartbeat (rule 4).
    pub ask: bool,
    /// The last datagram that the sender got from the receiver; `None` until there was one.
    pub echo: Option<Echo>,
}

/// The last datagram that the sender got from the receiver: gives liveness in both
/// directions, round-trip time, and replay protection without clocks. It may be of a
/// run that the sender does not accept yet (see [`crate::proto::link`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The receiver's run, as the sender knows it.
    pub boot: BootId,
    /// The receiver's sequence number.
    pub seq: Seq,
    /// How long ago it arrived at the sender (microseconds on the wire).
    pub held: Duration,
}

/// What a node is in a group (`docs/design.md`, "Words").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Listens only: just started, or woke from a gap.
    #[doc(alias = "Initialize")]
    Init,
    /// Follows a master, or waits to become one.
    Backup,
    /// Elected. Whether the cloud agrees is the claim's state.
    #[doc(alias = "Active")]
    Master,
    /// A backup that is no candidate.
    Fault,
}

/// Why a master hands over while it lives (rule 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandOver {
    /// A check failed here.
    Fault,
    /// An operator drained this node.
    Drain,
    /// A better candidate asked (rule 11).
    Preempt,
    /// An operator named the other node, or asked for the best one.
    Failover,
    /// The claim fails here (rule 14).
    ClaimFailing,
    /// The address is at the other node already (rules 12 and 13).
    FollowTruth,
    /// This node does not reach the API, the other does.
    Isolated,
}

/// A master's offer to one named candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The private address of the named node.
    pub to: Ipv4Addr,
    /// Why.
    pub cause: HandOver,
    /// How long ago the cause began: the first bad result of the check, the first failed assign
    /// (milliseconds on the wire). For people: a timeline begins there.
    pub began_ago: Duration,
}

/// Whom a backup follows, and how long ago it heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follows {
    /// The master's private address.
    pub master: Ipv4Addr,
    /// The age of the master's last datagram (milliseconds on the wire).
    pub heard_ago: Duration,
}

/// Whether a claim would work here, and since when that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Nothing known stands against a claim from here.
    pub ready: bool,
    /// The age of the proof: an API read that showed the right to see droplets.
    pub proof_age: Option<Duration>,
}

/// Who deposed the sender, first-hand (rule 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeposedBy {
    /// A member that holds the address and is not heard.
    Member(Ipv4Addr),
    /// The address is lost and nobody could say to whom (rule 13's last line).
    Unknown,
}

/// The sender is about to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Who shall take over at once; the others wait D more while they hear it.
    pub successor: Option<Ipv4Addr>,
}

/// What the sender says of itself in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// The group.
    pub group: GroupId,
    /// A hash of the group's shared settings; a difference is a warning.
    pub settings: u32,
    /// What it is.
    pub state: NodeState,
    /// Not faulted, not drained, not stopping, not `Init`.
    pub candidate: bool,
    /// Its effective priority.
    pub priority: Priority,
    /// The highest term it has seen; its own while it is master.
    pub term: Term,
    /// How far its claim is.
    pub claim: ClaimState,
    /// Time since it became master.
    pub takeover_ago: Option<Duration>,
    /// Age of the look that last verified its claim.
    pub verified_ago: Option<Duration>,
    /// An assign of its own is under way (see [`crate::proto::claim::event::ClaimReport::sent`]).
    pub sent: bool,
    /// Whom its claim may replace.
    pub base: Base,
    /// Whether a claim would work there.
    pub readiness: Readiness,
    /// It reaches the API's host.
    pub reach: bool,
    /// Its master.
    pub follows: Option<Follows>,
    /// As master: who shall take over.
    pub offer: Option<Offer>,
    /// As backup: it asks for the mastership (rule 11).
    pub wants: bool,
    /// Who deposed it, first-hand.
    pub deposed_by: Option<DeposedBy>,
    /// It is about to stop.
    pub leaving: Option<Leaving>,
}
