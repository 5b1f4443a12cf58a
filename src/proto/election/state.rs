//! The states, each owning what exists only in it.

use std::net::Ipv4Addr;

use super::evidence::Deposition;
use super::probe::Probing;
use crate::proto::claim::event::Holder;
use crate::proto::heartbeat::{HandOver, Leaving, NodeState};
use crate::proto::ids::Term;
use crate::proto::time::Time;

/// What the node is in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Listens only, for D.
    Init(Init),
    /// A candidate that follows a master or waits to become one.
    Backup(Listening),
    /// The same hearing, no candidate.
    Fault(Listening),
    /// Elected.
    Master(Mastership),
    /// About to stop, or silent for good reason: says so, decides nothing.
    Left(Left),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Init {
    pub(super) began: Time,
}

/// What a node keeps while it is not master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listening {
    /// When it became `Backup` (or `Fault`, from anything but `Backup`).
    pub(super) began: Time,
    /// No silence before this is evidence: the probe was taken away then.
    pub(super) counts_from: Time,
    /// The one master that it follows (rule 3), until that one says that it is none.
    pub(super) follows: Option<Following>,
    /// Rule 11: since when it is the better one.
    pub(super) better_since: Option<Time>,
    /// The next question to the silent master (rule 4).
    pub(super) ask_at: Option<Time>,
    /// A heard peer's word that somebody unheard deposed it, and since when it says so (rule 8).
    pub(super) word: Option<Deposition>,
    /// What the truth has said within this silence, and when it said so first (end of rule 7).
    pub(super) told: Option<(Holder, Time)>,
    /// Rule 9: what the probes of this silence have said, while they are wanted.
    pub(super) probing: Option<Probing>,
}

impl Listening {
    pub(super) fn new(began: Time, follows: Option<Following>) -> Self {
        Self {
            began,
            counts_from: began,
            follows,
            better_since: None,
            ask_at: None,
            word: None,
            told: None,
            probing: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Following {
    pub(super) master: Ipv4Addr,
    pub(super) term: Term,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mastership {
    pub(super) term: Term,
    /// The takeover.
    pub(super) began: Time,
    /// The claim was `Held` at least once, and since when it is now.
    pub(super) held_since: Option<Time>,
    /// Since when the claim is lost and nobody says to whom (rule 13).
    pub(super) lost_since: Option<Time>,
    /// The offer that is open (rule 5).
    pub(super) offer: Option<OpenOffer>,
    /// An operator wants this node to hand over, to the named one or to the best.
    pub(super) ordered: Option<Option<Ipv4Addr>>,
    /// Since when the API has answered somebody else and this node does not reach it.
    pub(super) outreached_since: Option<Time>,
    /// The loss that was judged last: the base is issued once for each (rule 13).
    pub(super) judged: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenOffer {
    pub(super) to: Ipv4Addr,
    pub(super) cause: HandOver,
    /// Since when there is the cause.
    pub(super) since: Time,
    /// The term that the named one raises.
    pub(super) term: Term,
    pub(super) lapses: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) leaving: Leaving,
}

/// Why an offer is due, and to whom it may go (rule 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) cause: HandOver,
    /// Since when there is the cause; `None`: it has just come.
    pub(super) since: Option<Time>,
    /// Only this one; `None`: the best.
    pub(super) to: Option<Ipv4Addr>,
    /// Only one whose proof is younger than this (rule 14).
    pub(super) proof_after: Option<Time>,
    /// Only one that has reached the API for a while.
    pub(super) reach: bool,
    /// Only one for which nothing stands against a claim.
    pub(super) ready: bool,
}

impl State {
    pub(super) fn kind(&self) -> NodeState {
        match self {
            Self::Init(_) => NodeState::Init,
            Self::Backup(_) | Self::Left(_) => NodeState::Backup,
            Self::Fault(_) => NodeState::Fault,
            Self::Master(_) => NodeState::Master,
        }
    }
}
