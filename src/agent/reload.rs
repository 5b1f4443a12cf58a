//! The configuration in force, and how another one takes its place: all of it, or nothing.
//!
//! Everything that can fail comes first: the file is read, resolved and held against this host,
//! the secrets are read, the API's client is made. That reads disks, so it is a thread's work
//! ([`Reading`]), and a disk that hangs costs the reload and nothing else. Then the brain
//! swaps what changed, in one turn, with nothing to wait for and nothing that fails ([`Prepared`]).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::watch;

use super::knowledge::{CheckPart, GroupPart, Identity};
use super::parts;
use super::probing::PreparedProbe;
use crate::claims::Tuning;
use crate::cloud::digitalocean::client::{Client, SettingsError};
use crate::cloud::metadata;
use crate::config::diff::{Change, Plan, PlanError};
use crate::config::secret::{HeartbeatKeys, Secrets};
use crate::config::{self, Config, NodeConfig, NodeFacts, NodeGroup, Problems};
use crate::control::wire::{Refusal, Response};
use crate::heart;
use crate::hooks;
use crate::net::dns::Resolver;
use crate::probe::ProbeError;
use crate::proto::health::{self, CheckIndex, From, Next};
use crate::proto::node::GroupIndex;
use crate::proto::time::Time;
use crate::sys::clock;
use crate::view::status::{ConfigState, Stamp};

/// Reading some small files takes no longer, or their disk hangs.
pub(super) const READING: Duration = Duration::from_secs(5);

/// The configuration in force, with what a reload needs of it.
#[derive(Debug)]
pub(super) struct Configuration {
    file: PathBuf,
    running: Config,
    secrets: Secrets,
    resolver: Resolver,
    /// Where the drivers get their client from.
    api: watch::Sender<Client>,
    /// Goes up with each other token.
    token: u64,
    read: Stamp,
    /// What of the file that was read waits for a restart.
    waiting: Vec<Change>,
    refused: Option<(Stamp, String)>,
}

impl Configuration {
    /// What the agent started with.
    pub(super) fn new(
        file: &Path,
        running: Config,
        secrets: Secrets,
        resolver: Resolver,
        api: watch::Sender<Client>,
        read: Stamp,
    ) -> Self {
        let (file, waiting) = (file.to_owned(), Vec::new());
        Self { file, running, secrets, resolver, api, token: 0, read, waiting, refused: None }
    }

    /// What status shows of it.
    pub(super) fn state(&self, groups: &[GroupPart]) -> ConfigState {
        let hash = groups.iter().fold(0, |sum: u32, part| sum.rotate_left(1) ^ part.settings);
        ConfigState {
            file: self.file.display().to_string(),
            hash: format!("{hash:08x}"),
            loaded: self.read,
            error: self.refused.as_ref().map(|(_, why)| why.clone()),
            refused_since: self.refused.as_ref().map(|(since, _)| *since),
            restart_needed: self.waiting.iter().map(Change::waiting).collect(),
        }
    }

    /// Keeps in mind that what lies there cannot be used.
    pub(super) fn refuse(&mut self, refused: &Refused, now: Stamp) {
        let since = self.refused.as_ref().map_or(now, |(since, _)| *since);
        self.refused = Some((since, refused.to_status()));
    }

    /// Begins to read what the file says now.
    pub(super) fn begin(&self, identity: &Identity) -> io::Result<Reading> {
        let basis = Basis {
            file: self.file.clone(),
            running: self.running.clone(),
            secrets: self.secrets.clone(),
            resolver: self.resolver.clone(),
            // A node keeps its name and address until it is restarted.
            facts: NodeFacts {
                host_name: identity.name.to_string(),
                private_address: Some(identity.address),
                droplet_id: None,
            },
        };
        let (done, outcome) = oneshot::channel();
        std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // Nobody may wait any more.
            let _ = done.send(prepare(basis).map(Box::new));
        })?;
        Ok(Reading { outcome, until: clock::now() + READING })
    }

    /// Puts it in force, but for what the heart must be told: that is returned. `groups` are the brain's.
    pub(super) fn swap(&mut self, prepared: Prepared, groups: &mut [GroupPart], now: Stamp) -> heart::Reload {
        let Prepared { plan, node, secrets, client, other_keys, mut probes, .. } = prepared;
        if self.secrets.token.expose() != secrets.token.expose() {
            self.token += 1;
        }
        if let Some(client) = client {
            self.api.send_replace(client);
        }
        let peers: Vec<_> = node.groups.iter().flat_map(|group| group.others.iter().copied()).collect();
        let mut told = Vec::with_capacity(groups.len());
        for (index, part) in (0..).map(GroupIndex).zip(groups) {
            if let Some((place, group)) =
                node.groups.iter().enumerate().find(|(_, group)| group.group.name == part.name)
            {
                part.take_over(group, &node, self.token);
                part.change_probe(probes.get_mut(place).and_then(Option::take));
                told.push((index, parts::group_params(&node, group, &peers).election));
            }
        }
        let keys = other_keys.then(|| parts::keys(&secrets));
        (self.running, self.secrets, self.waiting) = (plan.next, secrets, plan.waiting);
        (self.read, self.refused) = (now, None);
        heart::Reload { groups: told, keys }
    }
}

impl GroupPart {
    /// Other settings for all that the group runs. A check that stays as it is goes on as it is.
    fn take_over(&mut self, group: &NodeGroup, node: &NodeConfig, token: u64) {
        self.settings = group.group.settings_hash();
        self.priority = group.priority;
        let mut before = std::mem::take(&mut self.checks);
        let mut next = Vec::with_capacity(group.group.checks.len());
        for settings in group.group.checks.iter().map(|check| parts::check_settings(check, node)) {
            let place = before.iter().position(|check| check.settings.name == settings.name);
            let (check, from) = match place.map(|place| before.swap_remove(place)) {
                Some(same) if same.settings == settings => (same, From::Same),
                earlier => {
                    let from = earlier.map_or(From::New, |earlier| From::Changed(earlier.index));
                    (CheckPart::start(self.next_index(), settings, &self.reports), from)
                }
            };
            let (name, pace) = (check.settings.name.clone(), check.settings.pace);
            next.push(Next { index: check.index, name, pace, from });
            self.checks.push(check);
        }
        self.health.handle(clock::now(), health::Input::Params { base: self.priority, checks: next });
        let seed = self.tunings.borrow().params.seed;
        self.tunings.send_replace(Tuning { params: parts::claim_params(node, group, seed), token });
        self.hooks.replace(group.group.hooks.clone());
    }

    /// A number that no check of this group ever had.
    fn next_index(&mut self) -> CheckIndex {
        let index = CheckIndex(self.indexes);
        self.indexes += 1;
        index
    }
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    outcome: oneshot::Receiver<Result<Box<Prepared>, Refused>>,
    until: Time,
}

impl Reading {
    /// What became of it, at the latest when its time is over. Cancel safe.
    pub(super) async fn ended(&mut self) -> Result<Box<Prepared>, Refused> {
        match tokio::time::timeout(self.until - clock::now(), &mut self.outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Refused::Gone),
            Err(_) => Err(Refused::Hangs),
        }
    }

    /// Whether its thread still hangs. What it may still come to is nobody's.
    pub(super) fn hangs(&mut self) -> bool {
        matches!(self.outcome.try_recv(), Err(TryRecvError::Empty))
    }
}

/// What the reading thread needs to know.
struct Basis {
    file: PathBuf,
    running: Config,
    secrets: Secrets,
    resolver: Resolver,
    facts: NodeFacts,
}

/// All that takes the place of what is in force.
#[derive(Debug)]
pub(super) struct Prepared {
    plan: Plan,
    node: NodeConfig,
    secrets: Secrets,
    /// Another one, where the API is to be asked with another token or another patience.
    client: Option<Client>,
    other_keys: bool,
    /// In the order of the node's groups.
    probes: Vec<Option<PreparedProbe>>,
    warnings: Problems,
    /// What is in force from now on, secrets included.
    applied: Vec<Change>,
}

impl Prepared {
    /// What the operator is told.
    pub(super) fn told(&self) -> Told {
        Told {
            applied: self.applied.iter().map(Change::to_string).collect(),
            restart_needed: self.plan.waiting.iter().map(Change::waiting).collect(),
            warnings: lines(&self.warnings),
        }
    }

    pub(super) fn on_stop(&self) -> config::types::OnStop {
        self.plan.next.node.on_stop
    }
}

/// What a reload did, in words.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) applied: Vec<String>,
    pub(super) restart_needed: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Told {
    /// Whether the file differs in anything from what is in force, or was.
    pub(super) fn changed(&self) -> bool {
        !self.applied.is_empty() || !self.restart_needed.is_empty()
    }

    /// One line for the journal and the history.
    pub(super) fn summary(&self) -> String {
        let parts = [("applied", &self.applied), ("restart needed", &self.restart_needed)];
        let said = parts.into_iter().filter(|(_, list)| !list.is_empty());
        let said: Vec<String> = said.map(|(what, list)| format!("{what}: {}", list.join("; "))).collect();
        if said.is_empty() { "nothing changed".to_owned() } else { said.join("; ") }
    }
}

/// Why all stays as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The agent would not start with it either.
    #[error("{0}")]
    File(Problems),
    #[error(transparent)]
    Cloud(#[from] SettingsError),
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// It would start with it, and cannot take it over while it runs.
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("the files were not read within {READING:?}: their disk hangs")]
    Hangs,
    #[error("the files of the reload before this one are still being read: their disk hangs")]
    StillHangs,
    #[error("another reload is under way")]
    Busy,
    #[error("no thread could be started to read the files")]
    Thread(#[from] io::Error),
    #[error("the thread that read the files is gone; report this as a bug")]
    Gone,
}

impl Refused {
    /// Whether it says something about the file, and not only about this attempt.
    pub(super) fn is_about_the_file(&self) -> bool {
        match self {
            Self::File(_) | Self::Cloud(_) | Self::Metadata(_) | Self::Probe(_) | Self::Plan(_) | Self::Hangs => true,
            Self::StillHangs | Self::Busy | Self::Thread(_) | Self::Gone => false,
        }
    }

    /// Every line that there is to say.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::File(problems) => lines(problems),
            other => vec![super::explained(other)],
        }
    }

    /// For status: the first problem, what follows from it, and where the others are.
    fn to_status(&self) -> String {
        let first = match self {
            Self::File(problems) => problems.first_error().unwrap_or_default(),
            other => super::explained(other),
        };
        match self {
            Self::File(_) | Self::Cloud(_) | Self::Metadata(_) | Self::Probe(_) => format!(
                "the configuration on disk is refused and the one before goes on; a restart would end with exit \
                 code 78: {first}; haagent config check shows all of it, then haagent reload"
            ),
            Self::Plan(_) => format!(
                "the configuration on disk is refused and the one before goes on: {first}; haagent restart, then systemctl restart haagent"
            ),
            Self::Hangs | Self::StillHangs | Self::Busy | Self::Thread(_) | Self::Gone => {
                format!("the configuration was not read and the one before goes on: {first}; then haagent reload")
            }
        }
    }

    /// The answer to whoever asked.
    pub(super) fn answer(&self) -> Response {
        let mend = match self {
            Self::File(_) => return Response::FileRefused { problems: self.lines() },
            Self::Cloud(_) | Self::Metadata(_) => "correct [digitalocean] in the configuration",
            Self::Probe(_) => "correct `probe`, or digitalocean.ca_file, in the configuration",
            Self::Plan(_) => "haagent restart, then systemctl restart haagent: nothing moves",
            Self::Hangs | Self::StillHangs => "look after the disk, then haagent reload",
            Self::Busy => "haagent reload again, in some seconds",
            Self::Thread(_) | Self::Gone => "haagent reload again; journalctl -u haagent says more",
        };
        Response::Refused(Refusal {
            what: "reload; the old configuration goes on".to_owned(),
            why: super::explained(self),
            mend: mend.to_owned(),
        })
    }
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.to_string().lines().map(str::to_owned).collect()
}

/// Everything that may fail or wait, in a thread of its own.
fn prepare(basis: Basis) -> Result<Prepared, Refused> {
    let Basis { file, running, secrets: before, resolver, facts } = basis;
    let loaded = config::load(&file).map_err(Refused::File)?;
    let mut secrets = loaded.read_secrets(&file.display().to_string()).map_err(Refused::File)?;
    hooks::refuse(&file.display().to_string(), &loaded).map_err(Refused::File)?;
    let wanted = &loaded.config;
    // A restart must work with it too, under the name that the host has then.
    let host_name = nix::unistd::gethostname().map_err(io::Error::from)?.to_string_lossy().into_owned();
    wanted.for_node(&NodeFacts { host_name, ..facts.clone() }).map_err(Refused::File)?;
    let settings = parts::client_settings(wanted, &secrets, &resolver);
    if wanted.digitalocean.metadata_url != running.digitalocean.metadata_url {
        metadata::Client::new(wanted.digitalocean.metadata_url.as_str(), resolver.clone())?;
    }
    let plan = Plan::new(&running, wanted)?;
    let other_token = secrets.token.expose() != before.token.expose();
    let next = &plan.next.digitalocean;
    let other_client = other_token || next != &running.digitalocean;
    if &wanted.digitalocean != next {
        Client::new(settings)?;
    }
    let client =
        if other_client { Some(Client::new(parts::client_settings(&plan.next, &secrets, &resolver))?) } else { None };
    if before.keys.is_some() != secrets.keys.is_some() {
        // With or without keys: all nodes change that together, by a restart.
        secrets.keys.clone_from(&before.keys);
    }
    let mut applied = plan.applied.clone();
    let mut told = |setting: &str, other: bool| {
        if other && !plan.applied.iter().any(|change| change.setting.starts_with(setting)) {
            applied.push(Change::secret(setting));
        }
    };
    let (old, new) = (before.keys.as_ref(), secrets.keys.as_ref());
    let key = |keys: Option<&HeartbeatKeys>| keys.map(|keys| keys.key.clone());
    let old_key = |keys: Option<&HeartbeatKeys>| keys.and_then(|keys| keys.old_key.clone());
    let other_keys = [(key(old) != key(new), "heartbeat.key"), (old_key(old) != old_key(new), "heartbeat.old_key")];
    other_keys.iter().for_each(|(other, setting)| told(setting, *other));
    told("digitalocean.token", other_token);
    let node = plan.next.for_node(&facts).map_err(Refused::File)?;
    let other_keys = other_keys.iter().any(|(other, _)| *other);
    let ca_file = plan.next.digitalocean.ca_file.as_deref();
    let probes =
        node.groups.iter().map(|group| PreparedProbe::of(group, ca_file, &resolver)).collect::<Result<_, _>>()?;
    Ok(Prepared { node, secrets, client, other_keys, probes, warnings: loaded.warnings, applied, plan })
}

#[cfg(test)]
mod tests;
