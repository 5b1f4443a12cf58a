//! A group: its members, how it takes over, its times, and what it claims.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Check, Hooks, Probe, RuleError};
use crate::proto::ids::{GroupName, NodeName, Priority};

/// `[group.NAME]`: nodes that compete for one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The NAME of the table.
    pub name: GroupName,
    /// `peers`: all members, this node among them or not; ascending, no two alike, 1 to [`MOST_MEMBERS`].
    pub peers: Vec<Ipv4Addr>,
    /// `priority` of whom `priorities` does not name.
    pub priority: Priority,
    /// `priorities` by node.
    pub priorities: BTreeMap<NodeName, Priority>,
    /// `probe`
    pub probe: Option<Probe>,
    /// `majority`
    pub majority: Majority,
    /// `preempt` and `preempt_delay`
    pub preempt: Preempt,
    /// `claim_timeout`, `verify_interval`, `readiness_interval`
    pub times: GroupTimes,
    /// `[[group.NAME.check]]` in the order of the file; no two of one name, at most [`MOST_CHECKS`].
    pub checks: Vec<Check>,
    /// `[[group.NAME.claim]]`
    pub claim: Claim,
    /// `[group.NAME.hooks]`
    pub hooks: Hooks,
}

/// `majority`: whether more than half must be heard before a node takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Majority {
    /// From three voters on.
    #[default]
    Auto,
    /// Never: silence is enough.
    Off,
}

/// `preempt`: whether a node of higher priority takes over from a working master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "Preempt_Mode")]
pub enum Preempt {
    /// No (the default).
    Sticky,
    /// Once it has been the best for this long.
    After(Duration),
}

impl Preempt {
    /// `preempt_delay` if nothing is said.
    pub const DELAY: Duration = Duration::from_secs(60);
}

/// The times of a group's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupTimes {
    claim_timeout: Duration,
    verify_interval: Duration,
    readiness_interval: Duration,
}

impl GroupTimes {
    /// `claim_timeout` if nothing is said.
    pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(60);
    /// `verify_interval` if nothing is said.
    pub const VERIFY_INTERVAL: Duration = Duration::from_secs(1);
    /// `readiness_interval` if nothing is said.
    pub const READINESS_INTERVAL: Duration = Duration::from_secs(300);

    /// Times that go together.
    ///
    /// # Errors
    /// A claim would end before one API call, or one look, can.
    pub fn new(
        claim_timeout: Duration,
        verify_interval: Duration,
        readiness_interval: Duration,
        api_timeout: Duration,
    ) -> Result<Self, RuleError> {
        if claim_timeout <= api_timeout {
            return Err(RuleError::ClaimShorterThanCall { claim_timeout, api_timeout });
        }
        if verify_interval >= claim_timeout {
            return Err(RuleError::VerifySlowerThanClaim { verify_interval, claim_timeout });
        }
        Ok(Self { claim_timeout, verify_interval, readiness_interval })
    }

    /// How long a master may fail to claim before it offers to another.
    #[must_use]
    pub const fn claim_timeout(&self) -> Duration {
        self.claim_timeout
    }

    /// How often a holder asks its own metadata service whether it still holds.
    #[must_use]
    pub const fn verify_interval(&self) -> Duration {
        self.verify_interval
    }

    /// How often each node proves that it could claim: one API read.
    #[must_use]
    pub const fn readiness_interval(&self) -> Duration {
        self.readiness_interval
    }
}

/// What follows the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `digitalocean.reserved_ip`
    ReservedIpv4(Ipv4Addr),
}

impl Claim {
    /// The reserved IPv4.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        match self {
            Self::ReservedIpv4(address) => *address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_do_not_go_together_are_told_with_both_numbers() {
        let s = Duration::from_secs;
        let text = |claim, verify| GroupTimes::new(s(claim), s(verify), s(300), s(5)).unwrap_err().to_string();
        assert_eq!(
            text(5, 1),
            "`claim_timeout` (5s) must be longer than `timeout` in [digitalocean] (5s): one slow answer would end a claim"
        );
        assert_eq!(text(10, 10), "`verify_interval` (10s) must be shorter than `claim_timeout` (10s)");
        assert!(GroupTimes::new(s(60), s(1), s(300), s(5)).is_ok());
    }
}
