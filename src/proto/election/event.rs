//! What goes into an election and what comes out: inputs, transitions with
//! their reasons and evidence, and the facts that `status` shows.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::proto::claim::event::{Base, ClaimReport, Holder, Intent, Look};
use crate::proto::election::rank::skew;
use crate::proto::heartbeat::{DeposedBy, GroupReport, HandOver, NodeState};
use crate::proto::ids::{DropletId, GroupId, Priority, Rank, Term};
use crate::proto::time::{Duration, Time};

/// Missed heartbeats that make a node dead: `D = 3 x I`, as VRRP's
/// Active_Down_Interval without its skew (RFC 9568, section 6.1).
pub const DEAD_INTERVALS: u32 = 3;

/// `D` of an interval.
#[must_use]
pub fn dead_interval(interval: Duration) -> Duration {
    interval.saturating_mul(DEAD_INTERVALS)
}

/// What an election is told once. All durations are positive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// The group on the wire.
    pub group: GroupId,
    /// Hash of the group's shared settings.
    pub settings: u32,
    /// This node's private address; breaks ties (the higher wins, RFC 9568 section 6.4.3).
    pub own: Ipv4Addr,
    /// `I`.
    pub interval: Duration,
    /// Rule 11: whether a better candidate asks for the mastership.
    pub preempt: bool,
    /// Rule 11: for how long it must be better before it asks.
    pub preempt_delay: Duration,
    /// Rule 14: how long a claim may fail before the mastership is offered.
    pub claim_timeout: Duration,
    /// A readiness proof older than three of these is none.
    pub readiness_interval: Duration,
    /// When this host came up (rule 7, `boot_grace`): the origin of `CLOCK_BOOTTIME`.
    pub host_up: Time,
    /// Rule 9: the time limit of one probe, where a probe is configured.
    pub probe: Option<Duration>,
}

impl Params {
    /// `D`.
    #[must_use]
    pub fn dead_interval(&self) -> Duration {
        dead_interval(self.interval)
    }

    /// What a candidate of this rank waits longer than the best.
    #[must_use]
    pub fn skew(&self, rank: Rank) -> Duration {
        skew(self.interval, rank)
    }
}

/// Whether this node may be master, by its own checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidacy {
    /// No check without a weight fails.
    pub healthy: bool,
    /// The priority after weights.
    pub priority: Priority,
    /// The first check that makes it unhealthy, for people.
    pub because: Option<Arc<str>>,
    /// When that check began to fail: the first of the bad results in a row.
    pub since: Option<Time>,
}

/// An operator's or the system's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Be no candidate until `Resume`.
    Drain,
    /// Be a candidate again; also ends the protection of a mastership by `Failover` (rule 11).
    Resume,
    /// As master: hand over, to the named node or to the best.
    Failover { to: Option<Ipv4Addr> },
    /// As master: this foreign droplet may be robbed (rule 12).
    Take { droplet: DropletId },
    /// Stop: name a successor (rule 5) and go.
    Resign,
}

/// Why a command is refused; the state is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Only the master hands over.
    #[error("this node is not master")]
    NotMaster,
    /// The named node is not heard as a candidate.
    #[error("{0} is not heard as a candidate")]
    NoCandidate(Ipv4Addr),
    /// The named node is a candidate, but a claim would not work there.
    #[error("{0} is not ready: a claim would not work there")]
    NotReady(Ipv4Addr),
    /// Nobody could take over.
    #[error("no ready candidate is heard")]
    Nobody,
    /// Too many commands came before the rules were evaluated once.
    #[error("too many commands at once")]
    Busy,
    /// The look does not say that this droplet holds the address.
    #[error("droplet {0} does not hold the address")]
    NotTheHolder(DropletId),
}

/// Why a node changed its state. One variant for each way that the rules have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Reason {
    /// Listening is over; a master is heard or nobody is (table, `Init`).
    Listened { master: Option<Ipv4Addr> },
    /// Listening is over and the address is here (table, `Init`).
    Resume,
    /// Rule 6: no master is heard, and the address is here.
    Holder,
    /// Rule 7: the master fell silent.
    Silent { master: Ipv4Addr },
    /// Rule 7: there is no master, and the address is at nobody or at a member that cannot hold on to it.
    Masterless { holder: Holder },
    /// Rule 8: deposed, but the chance has come.
    Chance { by: DeposedBy },
    /// Rule 5: the master offered.
    Offered { by: Ipv4Addr, cause: HandOver },
    /// Rule 5: the master stops and named this node.
    Resigned { by: Ipv4Addr },
    /// An operator's `failover --take`: a foreign droplet may be robbed (rule 12).
    Taken { droplet: DropletId },
    /// Rule 5: the offer was taken.
    HandedOver { to: Ipv4Addr, cause: HandOver },
    /// Rule 10: two masters heard each other, the other won.
    DuelLost { to: Ipv4Addr },
    /// Rules 12, 13: the address is at a heard master.
    Superseded { by: Ipv4Addr },
    /// Rules 12, 13: the address is at a member that is not heard.
    Deposed { by: DeposedBy },
    /// Rules 12, 13: the address is at a live droplet that is no member.
    Foreign { droplet: DropletId },
    /// A check failed.
    CheckFailed { check: Option<String> },
    /// An operator drained the node.
    Drained,
    /// Checks pass again, or the drain ended.
    Recovered,
    /// Rule 1: nothing ran here for longer than D.
    Gap { millis: u64 },
    /// The agent stops.
    Stopping { successor: Option<Ipv4Addr> },
    /// The rest of the agent gives no sign of life; the heart goes silent.
    BrainStale,
}

/// What the reason rests on, as it was when the decision was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The last datagram of the master that is followed (or was).
    pub last_heard: Option<Time>,
    /// When the silence was noticed: the first missed heartbeat.
    pub missed: Option<Time>,
    /// The master's host answered "port unreachable" in this silence: the host is up, the agent is not.
    pub port_unreachable: bool,
    /// The newest look at the cloud.
    pub look: Option<Look>,
    /// This node's rank among the candidates heard.
    pub rank: Option<Rank>,
    /// What the probes of this silence said; `None` where none was begun.
    pub probe: Option<ProbeEvidence>,
    /// The mastership is offered to this node: since when there is the cause, by the master's word.
    pub offered_for: Option<Time>,
}

/// What asking the service through the claimed address has shown within one silence (rule 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ProbeEvidence {
    /// When it answered last.
    pub answered: Option<Time>,
    /// When the first probe that failed was begun; none has answered since.
    pub failing_since: Option<Time>,
}

/// What became of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The service answered.
    Answered,
    /// It refused, broke off, said that it cannot serve, or was silent for the time limit.
    Failed,
    /// Nothing was asked: the name has no address, or this host lacks a descriptor. Says nothing.
    CouldNotAsk,
}

/// One probe that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// When it was begun.
    pub begun: Time,
    /// When it ended.
    pub ended: Time,
    /// How.
    pub outcome: ProbeOutcome,
}

/// What keeps a node that is not master from taking over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it waits for.
    pub hindrance: Hindrance,
    /// When that ends by itself, if it does.
    pub until: Option<Time>,
}

/// Why the rules say "not now": one variant for each way that they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// It has just started, or stood still, and listens for D (rule 1).
    Listening,
    /// It stops, or its heart fell silent.
    Leaving,
    /// A master is heard.
    MasterHeard {
        /// That one.
        master: Ipv4Addr,
    },
    /// It woke late, and first reads what was sent to it meanwhile (rule 1).
    Late,
    /// It is no candidate: a check fails, or it is drained. With a time: it has the address, and takes over
    /// then if no candidate is heard (rule 6).
    NotCandidate,
    /// It is no candidate, holds the address, and leaves it to a candidate that is heard (rule 6).
    CandidateHeard,
    /// The silence has not lasted for long enough, the turn of better candidates included (rules 6, 7).
    Silence {
        /// Who is silent; `None`: no master was followed.
        master: Option<Ipv4Addr>,
    },
    /// The master that stopped named a successor, which is heard and goes first (rule 5).
    Successor {
        /// The one that stopped.
        master: Ipv4Addr,
    },
    /// The address is at a member that is heard, a candidate, and goes first (rule 7).
    HolderFirst {
        /// That one.
        holder: Ipv4Addr,
    },
    /// This host has just booted, and the member that has the address may be booting too (rule 7).
    HolderBoots {
        /// That one.
        holder: Ipv4Addr,
    },
    /// The host that has the address sends what cannot be read (wrong key, or this node's name): it is not silent.
    HolderBabbles {
        /// That one.
        holder: Ipv4Addr,
    },
    /// The service answers through the address, though its master is silent (rule 9).
    ProbeAnswers {
        /// When it last did.
        answered: Option<Time>,
    },
    /// The probes have not failed for long enough, or none has ended lately (rule 9).
    ProbeIncomplete {
        /// Since when they fail.
        failing_since: Option<Time>,
    },
    /// The probes fail, but the API does not answer this node either: it may be its own uplink (rule 9).
    ProbeWithoutUplink {
        /// Since when they fail.
        failing_since: Option<Time>,
    },
    /// Somebody whom this node does not hear took the address; it waits for its chance (rule 8).
    Deposed {
        /// That one.
        by: DeposedBy,
        /// It was not this node: a peer says that it was deposed.
        by_word: bool,
    },
    /// The host that took the address sends what cannot be read: it is not silent (rule 8).
    DeposerBabbles {
        /// That one.
        by: DeposedBy,
    },
    /// Nobody was followed, and the provider has not yet said in this silence who has the address.
    NoTruth,
    /// The provider's answer does not say who has the address, or not for certain.
    TruthUnsure,
    /// A live droplet that is no member has the address: it is left alone.
    Foreign {
        /// That one.
        droplet: DropletId,
    },
}

/// One change of a node's state in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When it was decided.
    pub at: Time,
    /// The state before.
    pub from: NodeState,
    /// The state after.
    pub to: NodeState,
    /// The highest term seen, this mastership's included.
    pub term: Term,
    /// Why.
    pub reason: Reason,
    /// Upon what evidence.
    pub evidence: Evidence,
}

/// The only way in, besides what peers say (which the node hands over with its link's judgement).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A peer's report, already verified, decoded and judged by the link.
    Heard(Heard),
    /// A peer's host answered "port unreachable".
    PortUnreachable { peer: Ipv4Addr },
    /// Datagrams with a wrong key arrived from this peer's host: it is not silent, and says nothing.
    WrongKey { peer: Ipv4Addr },
    /// Datagrams with this node's own name arrive from this peer's host: two nodes have one name. It is not silent either.
    OwnName { peer: Ipv4Addr },
    /// Datagrams that a key of ours made, and that this release cannot read, arrive from this peer's host:
    /// another release of the agent lives there. It is not silent either.
    Unreadable { peer: Ipv4Addr },
    /// This node's own health.
    Candidacy(Candidacy),
    /// The reconciler's newest word.
    Claim(ClaimReport),
    /// Whether this node reaches the API's host.
    Reach { reachable: bool },
    /// A probe has ended (rule 9).
    Probe(ProbeResult),
    /// An operator's word. Answered by [`Output::Answer`].
    Command(Command),
    /// Other settings of a running election. Its group, address, interval and the time at which the
    /// host came up stay as they are.
    Params(Params),
    /// A deadline of this node was missed by more than I/2 (and less than D): what it did not hear
    /// meanwhile is no silence yet (rule 1).
    Late,
    /// Nothing ran here since this long ago, longer than D (rule 1).
    Gap { length: Duration },
    /// The rest of the agent gives no sign of life.
    BrainStale,
    /// Every queued datagram was read: evaluate the rules.
    Drained,
}

/// A peer's report with what the link knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The peer's private address.
    pub peer: Ipv4Addr,
    /// When the datagram arrived, by the kernel's stamp.
    pub at: Time,
    /// The datagram carries this node's present boot id (rule 2).
    pub echoed: bool,
    /// What it says.
    pub report: GroupReport,
}

/// All that an election can do to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The state changed.
    Transition(Transition),
    /// What is wanted of the claims.
    Intent(Intent),
    /// Something in the own report changed that peers must know at once: thrice, 0/10/30 ms apart.
    Advertise,
    /// Ask this peer now (rule 4).
    Ask { peer: Ipv4Addr },
    /// Begin to probe again and again, or end it (rule 9). Said once for each change; at first nothing is probed.
    Probe { wanted: bool },
    /// [`Memory`] changed and must survive a restart.
    Persist,
    /// What became of the command.
    Answer { command: Command, result: Result<(), Refusal> },
}

/// What survives a gap and a restart (rule 1).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The highest term seen.
    pub term: Term,
    /// Who deposed this node, first-hand, and how many chances it has used.
    pub deposed: Option<(DeposedBy, u32)>,
    /// The holders that a claim may replace.
    pub base: Base,
    /// This node held the address, or sent an assign, and nobody else was seen to hold it since.
    pub had_held_or_sent: bool,
    /// An operator drained the node.
    pub drained: bool,
    /// The mastership is by an operator's `failover` (rule 11): a restart is no fault.
    #[serde(default)]
    pub protected: bool,
}

/// What `status` shows of an election; times are the core's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub state: NodeState,
    /// Why it is what it is.
    pub reason: Option<Reason>,
    pub evidence: Evidence,
    pub since: Time,
    pub term: Term,
    pub priority: Priority,
    pub candidate: bool,
    pub drained: bool,
    pub rank: Option<Rank>,
    /// The master: this node, or the one it follows while heard.
    pub master: Option<Ipv4Addr>,
    /// What keeps it from taking over; `None`: it is master, or takes over at the next evaluation.
    pub waiting: Option<Waiting>,
    /// What the probes of the present silence have said.
    pub probe: Option<ProbeEvidence>,
    pub intent: Intent,
    pub claim: ClaimReport,
    pub ready: bool,
    pub deposed: Option<DeposedBy>,
    /// As master: the offer that is open.
    pub offer: Option<(Ipv4Addr, HandOver)>,
    pub peers: Vec<PeerView>,
}

/// What `status` shows of a peer in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerView {
    pub address: Ipv4Addr,
    pub heard_at: Option<Time>,
    pub heard: bool,
    pub echoed: bool,
    pub wrong_key_at: Option<Time>,
    pub report: Option<GroupReport>,
}
