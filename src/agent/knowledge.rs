//! What this agent knows, in one place: who it is, its groups and peers, what people
//! asked for. The brain keeps it up to date, the snapshot is made of it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::acts::Acts;
use super::bulletin::Bulletin;
use super::probing::ProbePart;
use super::reload::Configuration;
use super::store::{Known, Store};
use super::timeline::Timeline;
use crate::checks::{self, CheckSettings, Running};
use crate::claims::Tuning;
use crate::cloud::discover::Directory;
use crate::config::NodeGroup;
use crate::config::types::OnStop;
use crate::hooks::Hooks;
use crate::probe;
use crate::proto::claim::event::{ClaimReport, Intent};
use crate::proto::health::{CheckIndex, Health};
use crate::proto::ids::{DropletId, GroupName, NodeName, Priority};
use crate::proto::reach::Reach;
use crate::proto::time::Time;
use crate::sys::log::Log;
use crate::view::history::History;
use crate::view::status::Stamp;

/// Who this node is.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) name: NodeName,
    pub(super) address: Ipv4Addr,
    pub(super) interval: Duration,
    pub(super) on_stop: OnStop,
    pub(super) started: Stamp,
    pub(super) began: Time,
}

/// One group's parts and what is known of it.
#[derive(Debug)]
pub(super) struct GroupPart {
    pub(super) name: GroupName,
    pub(super) address: Ipv4Addr,
    pub(super) settings: u32,
    pub(super) priority: Priority,
    pub(super) health: Health,
    pub(super) checks: Vec<CheckPart>,
    pub(super) claim: ClaimReport,
    pub(super) timeline: Option<Timeline>,
    pub(super) intents: watch::Sender<Intent>,
    pub(super) directory: watch::Sender<Directory>,
    pub(super) probe: Option<ProbePart>,
    pub(super) tunings: watch::Sender<Tuning>,
    pub(super) hooks: Hooks,
    /// The numbers that checks of this group have had.
    pub(super) indexes: usize,
    /// Where its checks report.
    pub(super) reports: mpsc::Sender<checks::Report>,
    /// Where its probe reports.
    pub(super) probe_reports: mpsc::Sender<probe::Report>,
}

/// One check that runs.
#[derive(Debug)]
pub(super) struct CheckPart {
    pub(super) index: CheckIndex,
    pub(super) settings: CheckSettings,
    _running: Running,
}

impl CheckPart {
    /// Starts it.
    pub(super) fn start(index: CheckIndex, settings: CheckSettings, reports: &mpsc::Sender<checks::Report>) -> Self {
        let _running = checks::start(index, &settings, reports.clone());
        Self { index, settings, _running }
    }
}

/// A group's ways to its claim.
#[derive(Debug)]
pub(super) struct ClaimWays {
    pub(super) intents: watch::Sender<Intent>,
    pub(super) directory: watch::Sender<Directory>,
    pub(super) tunings: watch::Sender<Tuning>,
}

impl GroupPart {
    pub(super) fn new(
        group: &NodeGroup,
        health: Health,
        checks: Vec<CheckPart>,
        reports: mpsc::Sender<checks::Report>,
        probe_reports: mpsc::Sender<probe::Report>,
        ways: ClaimWays,
        hooks: Hooks,
    ) -> Self {
        let ClaimWays { intents, directory, tunings } = ways;
        Self {
            name: group.group.name.clone(),
            address: group.group.claim.address(),
            settings: group.group.settings_hash(),
            priority: group.priority,
            indexes: checks.len(),
            health,
            checks,
            claim: ClaimReport::default(),
            timeline: None,
            intents,
            directory,
            probe: None,
            tunings,
            hooks,
            reports,
            probe_reports,
        }
    }
}

/// One peer and its newest bulletin.
#[derive(Debug)]
pub(super) struct PeerPart {
    pub(super) address: Ipv4Addr,
    pub(super) bulletin: Option<Bulletin>,
    /// What is wrong with its heartbeats; said once until it is right again.
    pub(super) complaint: Option<String>,
    /// It has other settings for a group; said once until they are the same.
    pub(super) settings_differ: bool,
    /// It fell silent, when it was heard last; said once until it is heard again.
    pub(super) silent_since: Option<Time>,
}

impl PeerPart {
    pub(super) fn new(address: Ipv4Addr) -> Self {
        Self { address, bulletin: None, complaint: None, settings_differ: false, silent_since: None }
    }
}

/// All of it.
#[derive(Debug)]
pub(super) struct Knowledge {
    pub(super) identity: Identity,
    pub(super) configuration: Configuration,
    pub(super) droplet: Option<DropletId>,
    /// How the heart is scheduled, in one line.
    pub(super) scheduling: String,
    /// In the order of the heart's groups.
    pub(super) groups: Vec<GroupPart>,
    /// In the order of the heart's peers.
    pub(super) peers: Vec<PeerPart>,
    pub(super) known: Known,
    pub(super) acts: Acts,
    pub(super) store: Store,
    pub(super) history: Arc<History>,
    pub(super) log: Log,
    pub(super) reach: Reach,
    /// What ails the disk, in words.
    pub(super) trouble: Vec<String>,
    pub(super) dropped: Dropped,
}

/// News of the heart that found its queue full.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) count: u64,
    /// When the last of them was missed.
    pub(super) at: Option<Time>,
}

impl Dropped {
    pub(super) fn words(&self) -> String {
        format!("{} news of the heart were dropped: this process is too slow", self.count)
    }
}

impl Knowledge {
    /// What a node is called: its name once it said so, else its address.
    pub(super) fn name_of(&self, address: Ipv4Addr) -> NodeName {
        if address == self.identity.address {
            return self.identity.name.clone();
        }
        let known = self.known.members.get(&address).and_then(|member| member.name.clone());
        // An address is a name: digits and dots.
        known.or_else(|| NodeName::new(&address.to_string()).ok()).unwrap_or_else(|| self.identity.name.clone())
    }
}
