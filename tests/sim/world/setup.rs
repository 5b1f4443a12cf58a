//! What one run is made of: how many hosts, which waits, which provider. It does not
//! change while the run lasts.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use haagent::proto::ids::DropletId;
use haagent::proto::time::Duration;

use crate::cloud::Profile;
use crate::faults::{File, Host as HostIndex, Target};
use crate::planted::Bug;

/// What does not change during a run.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) hosts: usize,
    pub(crate) interval: Duration,
    pub(crate) preempt: bool,
    pub(crate) preempt_delay: Duration,
    pub(crate) claim_timeout: Duration,
    pub(crate) verify_interval: Duration,
    pub(crate) readiness_interval: Duration,
    pub(crate) priorities: Vec<u8>,
    pub(crate) profile: Profile,
    /// How long a word takes from one part of an agent to another.
    pub(crate) channel: RangeInclusive<Duration>,
    /// Who has the IP when the world begins.
    pub(crate) holder: Target,
    /// How long the hosts have been up when the world begins.
    pub(crate) uptime: Duration,
    /// How long a promotion takes, where there is a gate.
    pub(crate) promote: Option<RangeInclusive<Duration>>,
    /// The time limit of a probe, where one is configured.
    pub(crate) probe: Option<Duration>,
    pub(crate) bug: Option<Bug>,
}

impl Setup {
    /// Equal hosts at the defaults of the configuration; waits that do not concern a
    /// promise are shortened.
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            hosts,
            interval: Duration::from_millis(500),
            preempt: false,
            preempt_delay: Duration::from_secs(10),
            claim_timeout: Duration::from_secs(20),
            verify_interval: Duration::from_secs(1),
            readiness_interval: Duration::from_secs(300),
            priorities: vec![100; hosts],
            profile: Profile::fast(),
            channel: Duration::ZERO..=Duration::from_millis(5),
            holder: Target::Member(0),
            uptime: Duration::from_secs(5_000),
            promote: None,
            probe: None,
            bug: None,
        }
    }

    /// What the file of `host` says when the world begins.
    pub(crate) fn file(&self, host: HostIndex) -> File {
        File {
            preempt: self.preempt,
            claim_timeout: self.claim_timeout,
            priority: self.priorities[host],
            probe: self.probe.is_some(),
            gate: self.promote.is_some(),
        }
    }

    /// The time limit of a probe, also of one that a reload brings.
    pub(crate) fn probe_limit(&self) -> Duration {
        self.probe.unwrap_or(Duration::from_millis(500))
    }

    /// `D`.
    pub(crate) fn dead_interval(&self) -> Duration {
        self.interval * 3
    }
}

pub(crate) fn address(host: HostIndex) -> Ipv4Addr {
    Ipv4Addr::new(10, 114, 0, 4 + u8::try_from(host).unwrap_or(u8::MAX))
}

pub(crate) fn droplet(host: HostIndex) -> DropletId {
    DropletId(4_711 + host as u64)
}
