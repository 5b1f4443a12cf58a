//! The facts of a snapshot: what the agent knows of its groups, claims, checks and
//! peers, and the words and numbers they are written in. Nothing here is worked out.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::proto::claim::event::ClaimState;
pub use crate::proto::heartbeat::NodeState as State;
use crate::proto::ids::{DropletId, GroupName, NodeName, Priority, Term};

/// A point in calendar time, to the millisecond; as text RFC 3339 in UTC.
///
/// It cannot leave the years 1970 to 9999, so that it can always be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stamp(u64);

impl Stamp {
    /// The last millisecond of the year 9999.
    const LAST: u64 = 253_402_300_799_999;

    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(if millis < Self::LAST { millis } else { Self::LAST })
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future (clocks are stepped).
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This point as "2026-07-14 10:21:07", in UTC, for people.
    #[must_use]
    pub fn for_people(self) -> String {
        self.to_string().chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_millis(millis(since))
    }
}

/// Whole milliseconds, for a key that ends in `_ms`. Saturates.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.0)).fmt(f)
    }
}

impl FromStr for Stamp {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_rfc3339(text).map(Self::from)
    }
}

impl TryFrom<String> for Stamp {
    type Error = humantime::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> Self {
        stamp.to_string()
    }
}

/// How bad it is, by the monitoring-plugin convention.
///
/// The order is that of urgency: "not known" outranks a warning, because it may hide an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Served, and a failover would work.
    Ok,
    /// Served, and a failover would not work, or less well than it should.
    Warning,
    /// It cannot be said whether the address serves.
    Unknown,
    /// Not served, two holders, or a foreign holder.
    Critical,
}

impl Severity {
    /// The exit code of `haagent status`.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

/// Whether a node reaches the provider's API host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// A TCP connection opened lately.
    Reachable,
    /// Three in a row did not.
    Unreachable,
}

/// What one node knows of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupFacts {
    /// The group's name.
    pub name: GroupName,
    /// This node's state in it.
    pub state: State,
    /// Why it is in this state: a word of [`words::reason`](super::words::reason).
    pub reason: String,
    /// The same as a sentence, with what it rests on.
    pub evidence: Option<String>,
    /// The term that this node goes by.
    pub term: Term,
    /// This node's priority as configured.
    pub priority: Priority,
    /// The same after the weights of failing checks.
    pub effective_priority: Priority,
    /// The place among the candidates, 0 is best; none if this node is no candidate.
    pub rank: Option<u8>,
    /// Since when it is in this state.
    pub since: Stamp,
    /// The master that this node follows or is.
    pub master: Option<NodeName>,
    /// Since when that node is master.
    pub master_since: Option<Stamp>,
    /// Why that node became master.
    pub master_reason: Option<String>,
    /// This node votes and never claims.
    pub witness: bool,
    /// A member that is not heard has the address: this node takes over only on news of it.
    pub deposed: bool,
    /// This node may become master: healthy, not drained, not stopping, not starting.
    pub candidate: bool,
    /// Every check that decides passes here.
    pub healthy: Option<bool>,
    /// This node proved lately that it could claim (token, API, Docker, hooks).
    pub ready: Option<bool>,
    /// What stands against that, with its mend.
    pub detail: Option<String>,
    /// Whether this node reaches the API.
    pub reach: Option<Reach>,
    /// What keeps this node from taking over; none if it is master.
    pub waiting: Option<Waiting>,
    /// What follows the master.
    pub claims: Vec<Claim>,
    /// This node's checks.
    pub checks: Vec<Check>,
    /// This node's hooks that are configured.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// The probe of the service; none if none is configured.
    pub probe: Option<Probe>,
    /// The other members.
    pub peers: Vec<Peer>,
    /// What people asked for and is still in force, anywhere in the group.
    pub acts: Vec<Act>,
    /// The last time that the address changed its node.
    pub last_move: Option<Move>,
}

/// What keeps a node that is not master from taking over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What: a word of [`words::hindrance`](super::words::hindrance).
    pub kind: String,
    /// The same as a sentence.
    pub what: String,
    /// When that ends by itself, if it does.
    pub until: Option<Stamp>,
}

/// What kind of thing is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimKind {
    /// A DigitalOcean reserved IP.
    DigitalOcean,
}

/// Whose word says who holds a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The provider's API.
    Api,
    /// This droplet's metadata service.
    Metadata,
    /// The holder itself, by its heartbeat.
    Peer,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "the API",
            Self::Metadata => "the metadata service",
            Self::Peer => "its heartbeat",
        })
    }
}

/// Who holds a claim. As text: a node's name (its address, while its name is
/// not known), `droplet:4711`, or `nobody`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClaimHolder {
    /// A member of the group.
    Node(NodeName),
    /// A live droplet that is no member.
    Droplet(DropletId),
    /// Nobody, or a droplet that is off or gone.
    Nobody,
}

impl fmt::Display for ClaimHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "{name}"),
            Self::Droplet(id) => write!(f, "droplet:{id}"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// The text names no holder.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no holder: a node's name, \"droplet:\" and a number, or \"nobody\"")]
pub struct ClaimHolderError(String);

impl TryFrom<String> for ClaimHolder {
    type Error = ClaimHolderError;

    fn try_from(text: String) -> Result<Self, ClaimHolderError> {
        if text == "nobody" {
            return Ok(Self::Nobody);
        }
        let holder = match text.strip_prefix("droplet:") {
            Some(id) => id.parse().ok().map(|id| Self::Droplet(DropletId(id))),
            None => NodeName::new(&text).ok().map(Self::Node),
        };
        holder.ok_or(ClaimHolderError(text))
    }
}

impl From<ClaimHolder> for String {
    fn from(holder: ClaimHolder) -> Self {
        holder.to_string()
    }
}

/// One claim of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What it is.
    pub kind: ClaimKind,
    /// The address that is claimed; not known while it is being discovered.
    pub address: Option<String>,
    /// How far this node's claim is.
    pub state: ClaimState,
    /// Who holds it.
    pub holder: Option<ClaimHolder>,
    /// By whose word.
    pub word: Option<Word>,
    /// How old that word is: since the look that said so was begun.
    pub verified_ms_ago: Option<u64>,
    /// What stands against the claim, with its mend.
    pub detail: Option<String>,
}

/// How the newest look of a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// It passed.
    Ok,
    /// It looked, and what it saw is wrong.
    Failed,
    /// No answer within `timeout`.
    TimedOut,
    /// It could not look: no such socket, no permission, no such program.
    CouldNotRun,
    /// It has not looked yet.
    Unknown,
}

impl fmt::Display for CheckVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::CouldNotRun => "could not be run",
            Self::Unknown => "has not looked yet",
        })
    }
}

/// One check of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name; the kind, if it was given none.
    pub name: String,
    /// Its kind, the key of the configuration.
    pub kind: String,
    /// After `rise` and `fall`: whether the check counts as passing.
    pub ok: Option<bool>,
    /// How the newest look ended; it may differ from `ok` for a few looks.
    pub verdict: CheckVerdict,
    /// Since when `ok` is what it is.
    pub since: Option<Stamp>,
    /// What the newest look said.
    pub detail: Option<String>,
    /// What a failure adds to the priority; without a weight, a failure makes the node no candidate.
    pub weight: Option<i32>,
}

/// How far a hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookState {
    /// It has not run yet.
    Idle,
    /// It runs.
    Running,
    /// It ended with 0.
    Ok,
    /// It ended otherwise, or could not be started.
    Failed,
    /// It did not end in time, and was killed.
    Timeout,
    /// It is not run: others could replace it, or it is not there.
    Refused,
}

impl fmt::Display for HookState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "has not run yet",
            Self::Running => "runs",
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Timeout => "did not end in time, and was killed",
            Self::Refused => "is not run",
        })
    }
}

/// One hook of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The key of the configuration.
    pub name: String,
    /// How far it is.
    pub state: HookState,
    /// Since when.
    pub since: Option<Stamp>,
    /// How long the newest run took.
    pub duration_ms: Option<u64>,
    /// The code with which it ended by itself.
    pub exit_code: Option<i32>,
    /// How often it was run for the newest state that it was run for.
    pub attempts: u32,
    /// The last line that it printed, or why it was not run.
    pub detail: Option<String>,
}

/// The service, asked through the address that is claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked: a URL, or `tcp` and a host and port.
    pub target: String,
    /// Whether the newest probe was answered; none if none has ended, or nothing could be asked.
    pub answered: Option<bool>,
    /// Since when `answered` is what it is.
    pub since: Option<Stamp>,
    /// What the newest probe found.
    pub detail: Option<String>,
    /// It asks again and again now, because no master is heard.
    pub probing: bool,
    /// No master is heard, and this node does not take over because the service answers.
    pub defers: bool,
}

/// Whether a peer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// A datagram came within the dead interval.
    Heard,
    /// It was heard once, and fell silent: a fault.
    Silent,
    /// It said goodbye.
    Left,
    /// It was never heard by this process.
    Never,
}

/// Datagrams of a peer that were refused, by cause, since the start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rejected {
    /// The MAC fits none of the keys.
    pub wrong_key: u64,
    /// A number or a boot id that was used before.
    pub replayed: u64,
    /// No heartbeat, or a truncated one.
    pub malformed: u64,
    /// A major version of the protocol that this agent does not speak.
    pub other_version: u64,
    /// It carries this node's own name: two nodes have one name.
    pub own_name: u64,
}

/// Another member of the group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name, once it said so.
    pub node: Option<NodeName>,
    /// Its private address.
    pub address: Ipv4Addr,
    /// Whether it is there.
    pub presence: Presence,
    /// The state that it says it is in.
    pub state: Option<State>,
    /// Its effective priority.
    pub priority: Option<Priority>,
    /// Its term.
    pub term: Option<Term>,
    /// How far its claim is.
    pub claim: Option<ClaimState>,
    /// It votes and never claims.
    pub witness: bool,
    /// It may become master.
    pub candidate: Option<bool>,
    /// Every check that decides passes there.
    pub healthy: Option<bool>,
    /// The age of its newest datagram.
    pub heard_ms_ago: Option<u64>,
    /// It hears this node too.
    pub hears_us: Option<bool>,
    /// The part of its datagrams that was lost lately, 0.0 to 1.0.
    pub loss: Option<f64>,
    /// Of how many of its newest datagrams that is a part.
    #[serde(default)]
    pub loss_of: Option<u32>,
    /// The round trip, lately.
    pub rtt_us: Option<u64>,
    /// It proved lately that it could claim.
    pub ready: Option<bool>,
    /// What stands against that, in its own words.
    pub detail: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its group settings are the same as ours.
    pub config_ok: Option<bool>,
    /// Whether it reaches the API.
    pub reach: Option<Reach>,
    /// Datagrams arrive from it now whose MAC fits none of our keys.
    pub key_differs: bool,
    /// The version of the heartbeat protocol of what arrives from it now and this agent cannot speak.
    #[serde(default)]
    pub other_protocol: Option<u8>,
    /// Datagrams arrive from it now that carry this node's own name.
    pub same_name: bool,
    /// Its datagrams that were refused.
    pub rejected: Rejected,
}

/// What somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActKind {
    /// The node takes no part until it is resumed.
    Drain,
    /// The node was told to hand over to another one, or to take the address from a foreign droplet.
    Failover,
    /// The next stop is a restart: nothing is handed over.
    Restart,
    /// The configuration was read again. Never in force: it is done when it is told.
    Reload,
}

/// A human act in force. Every node shows it, so that nobody forgets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// What was asked for.
    pub kind: ActKind,
    /// The node that it concerns; none means the whole group.
    pub node: Option<NodeName>,
    /// Who asked.
    pub by: String,
    /// Why, in that person's words.
    pub reason: Option<String>,
    /// When it ends by itself; none means never.
    pub until: Option<Stamp>,
    /// When it was asked for.
    pub since: Stamp,
}

/// Whether a move was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MoveKind {
    /// Handed over to a healthy successor.
    Switchover,
    /// Taken over from a node that could not hand over.
    Failover,
}

impl fmt::Display for MoveKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Switchover => "switchover",
            Self::Failover => "failover",
        })
    }
}

/// One change of the node that holds the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Whether it was planned.
    pub kind: MoveKind,
    /// From where, if anybody had it.
    pub from: Option<NodeName>,
    /// To where.
    pub to: Option<NodeName>,
    /// Why: a word of [`words::reason`](super::words::reason), or [`words::REPAIRED`](super::words::REPAIRED).
    pub reason: String,
    /// The same as a sentence, with what it rests on.
    pub evidence: Option<String>,
    /// The term that it began.
    pub term: Term,
    /// Who asked for it, if somebody did.
    pub by: Option<String>,
    /// When it was decided.
    pub at: Stamp,
    /// How far it came, and when.
    pub phases_ms: Phases,
}

/// The steps of a move, in milliseconds since its first step; a step that was
/// not reached, or that this move does not have, is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// The last heartbeat of the old master; the first step of a failover.
    pub last_heartbeat: Option<u64>,
    /// The fault was noticed; the first step of a switchover.
    pub detected: Option<u64>,
    /// The new master took over.
    pub decided: Option<u64>,
    /// The promotion gate opened.
    pub promoted: Option<u64>,
    /// The request to assign left.
    pub assign_sent: Option<u64>,
    /// The provider said that its action completed.
    pub action_completed: Option<u64>,
    /// A look verified the claim.
    pub verified: Option<u64>,
}

impl Phases {
    /// The steps that were reached, in their order, with the names that people read.
    pub fn reached(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("last heartbeat", self.last_heartbeat),
            ("detected", self.detected),
            ("decided", self.decided),
            ("promoted", self.promoted),
            ("assign sent", self.assign_sent),
            ("action completed", self.action_completed),
            ("verified", self.verified),
        ]
        .into_iter()
        .filter_map(|(name, at)| at.map(|at| (name, at)))
    }

    /// From the first step to the verified claim; unknown while it is not verified.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        let first = self.reached().map(|(_, at)| at).min()?;
        self.verified.map(|verified| verified.saturating_sub(first))
    }
}
