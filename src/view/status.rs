//! [`Status`]: the one snapshot of an agent. People, programs and the client on
//! the other side of the control socket all see this and nothing else.
//!
//! It is plain data, written by the agent: the [`facts`](super::facts), and what follows
//! from them (does the address serve, would a failover work), worked out once, in
//! [`judge`], when a [`Group`] is made.
//!
//! As JSON it is an interface, described in `docs/status.md`: keys are only ever
//! added, enums are lower case and closed, what is not known is `null`, ages and
//! durations are whole numbers whose key ends in `_ms` or `_us`.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

pub use super::facts::*;
use super::judge::{self, Verdict};
use crate::proto::ids::{GroupName, NodeName};

/// All that one agent knows, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When this was written. Ages on the screen are counted from here.
    pub at: Stamp,
    /// This node.
    pub node: NodeName,
    /// The node's name on the wire: 16 hex digits.
    pub node_id: String,
    /// This node's private address.
    pub address: Ipv4Addr,
    /// Its heartbeat interval.
    pub interval_ms: u64,
    /// The agent's version.
    pub version: String,
    /// When the process started.
    pub started: Stamp,
    /// How long it runs.
    pub uptime_ms: u64,
    /// How the heart is scheduled, in one line ("SCHED_RR 10, memory locked", or why not).
    pub scheduling: String,
    /// The configuration in force.
    pub config: ConfigState,
    /// Log lines that were dropped because the journal did not take them.
    pub log_lines_dropped: u64,
    /// What concerns the whole agent, in words, each with its mend.
    pub warnings: Vec<String>,
    /// The groups, in the order of their names.
    pub groups: Vec<Group>,
}

impl Status {
    /// The most urgent of all; `Unknown` without a group. `haagent status` exits with its code.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let agent =
            if self.warnings.is_empty() && self.config.error.is_none() { Severity::Ok } else { Severity::Warning };
        let groups = self.groups.iter().map(|group| group.verdict.severity).max().unwrap_or(Severity::Unknown);
        agent.max(groups)
    }

    /// The same, with no other group than `name`. Nothing if there is no such group.
    #[must_use]
    pub fn only(mut self, name: &GroupName) -> Option<Self> {
        self.groups.retain(|group| group.facts.name == *name);
        (!self.groups.is_empty()).then_some(self)
    }
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigState {
    /// The file.
    pub file: String,
    /// A hash of the groups' settings; peers compare it.
    pub hash: String,
    /// When it was read.
    pub loaded: Stamp,
    /// Why the newest file was refused, if it was; the one before is still in force.
    pub error: Option<String>,
    /// Since when no file was taken.
    #[serde(default)]
    pub refused_since: Option<Stamp>,
    /// What of the file that is in force waits for a restart of the agent: `heartbeat.port (17112 -> 17113)`.
    #[serde(default)]
    pub restart_needed: Vec<String>,
}

/// One group: the facts, and what follows from them. Both are one object in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What is known.
    #[serde(flatten)]
    pub facts: GroupFacts,
    /// What follows from it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Group {
    /// The facts as `this` node knows them, judged.
    #[must_use]
    pub fn new(this: &NodeName, facts: GroupFacts) -> Self {
        let verdict = judge::judge(this, &facts);
        Self { facts, verdict }
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
