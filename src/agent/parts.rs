//! From a configuration to parts that run: who this node is, the heart, and for each
//! group its health, its checks, its claim.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use super::acts::Acts;
use super::brain::{Brain, Event};
use super::desk::{ASKS, Desk};
use super::knowledge::{CheckPart, ClaimWays, Dropped, GroupPart, Identity, Knowledge, PeerPart};
use super::news::News;
use super::probing::PreparedProbe;
use super::reload::Configuration;
use super::store::{Known, Store, StoreError};
use crate::checks::{self, CheckKind, CheckSettings, docker};
use crate::claims::{self, digitalocean as driver};
use crate::cloud::digitalocean::client::{self, Client, SettingsError};
use crate::cloud::discover::Directory;
use crate::cloud::metadata;
use crate::cloud::reach;
use crate::config::secret::Secrets;
use crate::config::types::{self, Discovered, Preempt};
use crate::config::{Config, NodeConfig, NodeFacts, NodeGroup, Problems};
use crate::control::server::{BindError, Server};
use crate::heart::{self, Plan, StartError};
use crate::hooks;
use crate::net::dns::Resolver;
use crate::probe;
use crate::proto::claim::event::{ClaimReport, Intent};
use crate::proto::claim::{self, Reconciler};
use crate::proto::election::event as election;
use crate::proto::health::{CheckIndex, Health, Pace};
use crate::proto::heartbeat::mac::{Key, Keys};
use crate::proto::node::{self, GroupIndex, GroupParams, PeerIndex};
use crate::proto::reach::Reach;
use crate::proto::time::Time;
use crate::sys::log::Log;
use crate::sys::notify::{self, Notifier, NotifyError};
use crate::sys::{clock, rng};
use crate::view::history::History;

/// Events on their way to the brain. Full: who sends waits, and has nothing urgent besides.
const EVENTS: usize = 256;

/// The metadata service is asked again after this when the node's own address is not known.
const AGAIN: Duration = Duration::from_secs(2);

/// Reading a few small files takes no longer, or their disk hangs.
const OPENING: Duration = Duration::from_secs(5);

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum AssembleError {
    #[error("the configuration does not fit this host:\n{0}")]
    Misfit(Problems),
    #[error(transparent)]
    Cloud(#[from] SettingsError),
    #[error(transparent)]
    Probe(#[from] probe::ProbeError),
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the state directory {} does not answer within {OPENING:?}: its disk hangs; mend the disk, or set node.state_dir", .0.display())]
    DiskHangs(PathBuf),
    #[error(transparent)]
    Heart(#[from] StartError),
    #[error(transparent)]
    Control(#[from] BindError),
    #[error(transparent)]
    Random(#[from] rng::RandomError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error("cannot start a thread or listen for signals")]
    System(#[from] std::io::Error),
}

impl AssembleError {
    /// Whether a restart would fail in the same way until somebody changes the configuration.
    pub(super) fn is_config(&self) -> bool {
        match self {
            Self::Misfit(_) | Self::Cloud(_) | Self::Probe(_) | Self::Metadata(_) => true,
            Self::Store(_)
            | Self::DiskHangs(_)
            | Self::Heart(_)
            | Self::Control(_)
            | Self::Random(_)
            | Self::Notify(_)
            | Self::System(_) => false,
        }
    }
}

/// All parts, joined.
pub(super) struct Assembled {
    brain: Brain,
    server: Server,
    desk: Arc<Desk>,
}

impl Assembled {
    /// Runs until the process is told to stop; its exit code.
    ///
    /// `hang_up` has heard SIGHUP since before the parts were made: the file may be another one since.
    pub(super) async fn run(self, hang_up: Signal) -> u8 {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(self.server.serve(self.desk, async {
            let _ = stopped.await;
        }));
        let code = self.brain.run(hang_up).await;
        let _ = stop.send(());
        let _ = tokio::time::timeout(Duration::from_secs(1), server).await;
        code
    }
}

/// Makes all parts of this node and starts them.
pub(super) async fn assemble(
    config: Config,
    secrets: Secrets,
    file: &Path,
    log: Log,
) -> Result<Assembled, AssembleError> {
    let resolver = Resolver::default();
    let metadata = metadata::Client::new(config.digitalocean.metadata_url.as_str(), resolver.clone())?;
    let node = for_this_host(&config, &metadata).await?;
    let State { store, mut known, acts, history } = open_state(&config.node.state_dir).await?;
    let cloud = client_settings(&config, &secrets, &resolver);
    let api_url = client::base_url(&cloud.api_url)?;

    let peers: Vec<Ipv4Addr> = node
        .groups
        .iter()
        .flat_map(|group| group.others.iter().copied())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    for group in &node.groups {
        // The acts' own file is the word on drains: it has the author.
        let id = group.group.name.id();
        let drained = acts.drained(&group.group.name);
        match known.memory.groups.iter_mut().find(|(of, _)| *of == id) {
            Some((_, memory)) => memory.drained = drained,
            None => known.memory.groups.push((id, election::Memory { drained, ..election::Memory::default() })),
        }
    }
    let notifier = Arc::new(Notifier::from_env()?);
    let server = Server::bind(&config.control.socket)?;
    let (heart, news) = heart::start(plan(&node, &secrets, &peers, &known, &notifier)?)?;
    let scheduling = match heart.scheduling {
        Some(scheduling) => scheduling.to_string(),
        None => "realtime is not asked for (node.realtime = false)".to_owned(),
    };
    tracing::info!(
        "{} starts: heartbeats from {} ({}) every {:?} to {}; {}",
        node.name,
        node.address,
        heart.interface,
        config.heartbeat.interval,
        peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        scheduling,
    );

    let (events, incoming) = mpsc::channel(EVENTS);
    // One client for all groups: the host's authorities are read once, and a warm connection serves any.
    let (api, newest_api) = watch::channel(Client::new(cloud)?);
    let mut groups = Vec::with_capacity(node.groups.len());
    for (index, group) in node.groups.iter().enumerate() {
        let (api, metadata) = (newest_api.clone(), metadata.clone());
        let mut part = start_group(GroupIndex(index), group, &node, &known, api, metadata, &events)?;
        part.change_probe(PreparedProbe::of(group, config.digitalocean.ca_file.as_deref(), &resolver)?);
        groups.push(part);
    }
    start_reach(&api_url, resolver.clone(), &events);
    if node.droplet_id.is_none() {
        tokio::spawn(find_droplet(metadata, events.clone()));
    }
    let (asks, asked) = mpsc::channel(ASKS);
    let identity = Identity {
        name: node.name.clone(),
        address: node.address,
        interval: config.heartbeat.interval,
        on_stop: config.node.on_stop,
        started: super::stamp(),
        began: clock::now(),
    };
    let know = Knowledge {
        configuration: Configuration::new(file, config, secrets, resolver, api, identity.started),
        identity,
        droplet: node.droplet_id,
        scheduling,
        groups,
        peers: peers.into_iter().map(PeerPart::new).collect(),
        known,
        acts,
        store,
        history: Arc::clone(&history),
        log,
        reach: Reach::Unknown,
        trouble: Vec::new(),
        dropped: Dropped::default(),
    };
    let brain = Brain::new(know, heart, News::new(news)?, notifier, incoming, asked);
    let desk = Arc::new(Desk { asks, snapshots: brain.snapshots(), history });
    Ok(Assembled { brain, server, desk })
}

/// What earlier runs left in the state directory.
struct State {
    store: Store,
    known: Known,
    acts: Acts,
    history: Arc<History>,
}

/// Reads the state directory, in a thread that may hang with its disk: an agent that hangs before
/// it beats helps nobody, and one that begins without its memory forgets a drain.
async fn open_state(directory: &Path) -> Result<State, AssembleError> {
    let path = directory.to_owned();
    let opening = tokio::task::spawn_blocking(move || {
        let store = Store::open(&path)?;
        let (known, trouble) = store.known();
        let (acts, acts_trouble) = store.acts::<Acts>();
        for line in [trouble, acts_trouble].into_iter().flatten() {
            tracing::warn!("{line}");
        }
        let history = Arc::new(History::open(&path)?);
        Ok(State { store, known, acts, history })
    });
    match tokio::time::timeout(OPENING, opening).await {
        Ok(opened) => opened.map_err(std::io::Error::other)?,
        Err(_) => Err(AssembleError::DiskHangs(directory.to_owned())),
    }
}

/// Fills in what differs between hosts. A metadata service that does not answer is waited
/// for where it is needed: it may come up after this agent does.
async fn for_this_host(config: &Config, metadata: &metadata::Client) -> Result<NodeConfig, AssembleError> {
    let host_name = nix::unistd::gethostname().map_err(std::io::Error::from)?.to_string_lossy().into_owned();
    let mut facts = NodeFacts { host_name, private_address: None, droplet_id: None };
    if config.node.address == Discovered::Auto {
        facts.private_address = Some(wait_for("this host's private address", || metadata.private_address()).await);
        facts.droplet_id = metadata.id().await.ok();
    }
    config.for_node(&facts).map_err(AssembleError::Misfit)
}

/// Asks until there is an answer.
async fn wait_for<T, F: Future<Output = Result<T, metadata::Error>>>(what: &str, ask: impl Fn() -> F) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::warn!("{what} is not known yet: {}; asking again", super::explained(&error));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// This droplet's number goes into the bulletin: peers then know who holds the address.
async fn find_droplet(metadata: metadata::Client, events: mpsc::Sender<Event>) {
    loop {
        match metadata.id().await {
            Ok(droplet) => {
                let _ = events.send(Event::Droplet(droplet)).await;
                return;
            }
            Err(_) if events.is_closed() => return,
            // The driver asks too, and says what is wrong.
            Err(_) => tokio::time::sleep(AGAIN * 5).await,
        }
    }
}

fn plan(
    node: &NodeConfig,
    secrets: &Secrets,
    peers: &[Ipv4Addr],
    known: &Known,
    notifier: &Arc<Notifier>,
) -> Result<Plan, AssembleError> {
    let groups = node.groups.iter().map(|group| group_params(node, group, peers)).collect();
    Ok(Plan {
        node: node::Params {
            node: node.name.id(),
            boot: rng::boot_id()?,
            own: node.address,
            interval: node.config.heartbeat.interval,
            peers: peers.to_vec(),
            groups,
        },
        keys: keys(secrets),
        memory: Some(known.memory.clone()),
        port: node.config.heartbeat.port.get(),
        realtime: node.config.node.realtime,
        watchdog: notify::watchdog_interval().map(|interval| (Arc::clone(notifier), interval / 2)),
    })
}

/// How the API is asked.
pub(super) fn client_settings(config: &Config, secrets: &Secrets, resolver: &Resolver) -> client::Settings {
    client::Settings {
        api_url: config.digitalocean.api_url.as_str().to_owned(),
        token: secrets.token.clone(),
        token_source: config.digitalocean.token.to_string(),
        ca_file: config.digitalocean.ca_file.clone(),
        timeout: config.digitalocean.timeout,
        resolver: resolver.clone(),
    }
}

/// What the heart signs with.
pub(super) fn keys(secrets: &Secrets) -> Keys {
    match &secrets.keys {
        None => Keys::keyless(),
        Some(keys) => {
            Keys::new(Key::new(keys.key.expose()), keys.old_key.as_ref().map(|old_key| Key::new(old_key.expose())))
        }
    }
}

pub(super) fn group_params(node: &NodeConfig, group: &NodeGroup, peers: &[Ipv4Addr]) -> GroupParams {
    let settings = &group.group;
    let place = |address: &Ipv4Addr| peers.iter().position(|peer| peer == address).map(PeerIndex);
    let (preempt, preempt_delay) = match settings.preempt {
        Preempt::Sticky => (false, Preempt::DELAY),
        Preempt::After(delay) => (true, delay),
    };
    GroupParams {
        election: election::Params {
            group: settings.name.id(),
            settings: settings.settings_hash(),
            own: node.address,
            interval: node.config.heartbeat.interval,
            preempt,
            preempt_delay,
            claim_timeout: settings.times.claim_timeout(),
            readiness_interval: settings.times.readiness_interval(),
            // CLOCK_BOOTTIME counts from there.
            host_up: Time::ORIGIN,
            probe: settings.probe.as_ref().map(|probe| probe.timeout),
        },
        peers: group.others.iter().filter_map(place).collect(),
        priority: group.priority,
    }
}

fn start_group(
    index: GroupIndex,
    group: &NodeGroup,
    node: &NodeConfig,
    known: &Known,
    api: watch::Receiver<Client>,
    metadata: metadata::Client,
    events: &mpsc::Sender<Event>,
) -> Result<GroupPart, AssembleError> {
    let settings = &group.group;
    let (looks, mut seen) = mpsc::channel(checks::REPORT_QUEUE);
    let checks = settings.checks.iter().map(|check| check_settings(check, node));
    let checks: Vec<CheckPart> =
        (0..).map(CheckIndex).zip(checks).map(|(index, check)| CheckPart::start(index, check, &looks)).collect();
    let paces = checks.iter().map(|check| (Arc::clone(&check.settings.name), check.settings.pace));
    let health = Health::new(clock::now(), group.priority, paces);
    forward(events, async move || seen.recv().await, move |report| Event::Check(index, report));

    let directory = Directory {
        members: settings.peers.clone(),
        droplets: known.members.iter().filter_map(|(address, member)| Some((member.droplet?, *address))).collect(),
    };
    let (directory, directory_seen) = watch::channel(directory);
    let names =
        hooks::Names { node: node.name.clone(), group: settings.name.clone(), address: settings.claim.address() };
    let hooks::Started { hooks, promotion } = hooks::start(names, settings.hooks.clone());
    let mut changes = hooks.changes();
    forward(events, async move || changes.changed().await.ok(), move |()| Event::Hooks);
    let driver = driver::DigitalOcean::new(driver::Settings {
        api,
        metadata,
        address: settings.claim.address(),
        droplet: node.droplet_id,
        directory: directory_seen,
        promotion,
    });
    let params = claim_params(node, group, rng::seed()?);
    let reconciler = Reconciler::new(params.clone());
    let (tunings, tuned) = watch::channel(claims::Tuning { params, token: 0 });
    let (intents, intended) = watch::channel(Intent::Yield);
    let (reported, mut reports) = watch::channel(ClaimReport::default());
    let (happened, mut happenings) = mpsc::channel(claims::EVENTS);
    let channels = claims::Channels { tunings: tuned, intents: intended, reports: reported, events: happened };
    tokio::spawn(claims::run(reconciler, driver, channels));
    let newest = async move || {
        reports.changed().await.ok()?;
        Some(reports.borrow_and_update().clone())
    };
    forward(events, newest, move |report| Event::Claim(index, Box::new(report)));
    forward(events, async move || happenings.recv().await, move |event| Event::Happened(index, event));
    let (probe_reports, mut probed) = mpsc::channel(probe::REPORTS);
    forward(events, async move || probed.recv().await, move |report| Event::Probe(index, report));
    Ok(GroupPart::new(group, health, checks, looks, probe_reports, ClaimWays { intents, directory, tunings }, hooks))
}

/// How a group's claim is kept. The seed is the reconciler's own from its start on.
pub(super) fn claim_params(node: &NodeConfig, group: &NodeGroup, seed: u64) -> claim::Params {
    let times = &group.group.times;
    claim::Params {
        heartbeat_interval: node.config.heartbeat.interval,
        verify_interval: times.verify_interval(),
        readiness_interval: times.readiness_interval(),
        claim_timeout: times.claim_timeout(),
        calls_per_minute: node.config.digitalocean.calls_per_minute.get(),
        gated: group.group.hooks.promote.is_some(),
        seed,
    }
}

/// Passes on what a part says, until one side is gone.
fn forward<T: Send + 'static>(
    events: &mpsc::Sender<Event>,
    mut next: impl AsyncFnMut() -> Option<T> + 'static,
    wrap: impl Fn(T) -> Event + 'static,
) {
    let events = events.clone();
    tokio::task::spawn_local(async move {
        while let Some(said) = next().await {
            if events.send(wrap(said)).await.is_err() {
                return;
            }
        }
    });
}

pub(super) fn check_settings(check: &types::Check, node: &NodeConfig) -> CheckSettings {
    let types::CheckKind::Docker(docker) = &check.kind;
    CheckSettings {
        name: Arc::from(check.name.as_str()),
        pace: Pace {
            interval: check.interval,
            timeout: check.timeout,
            rise: check.rise.into(),
            fall: check.fall.into(),
            start_period: check.start_period,
            weight: check.weight.map(|weight| i32::from(weight.get())),
        },
        kind: CheckKind::Docker(docker::DockerSettings {
            socket: node.config.docker.socket.clone(),
            running: docker.count,
            name: docker.name.clone(),
            label: docker.label.clone(),
            healthy: docker.healthy,
        }),
    }
}

fn start_reach(api_url: &Url, resolver: Resolver, events: &mpsc::Sender<Event>) {
    let Some(target) = reach::Target::of(api_url) else { return };
    let (reached, mut seen) = watch::channel(Reach::Unknown);
    tokio::spawn(reach::run(target, resolver, reached));
    let newest = async move || {
        seen.changed().await.ok()?;
        Some(*seen.borrow_and_update())
    };
    forward(events, newest, Event::Reach);
}
