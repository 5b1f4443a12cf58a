//! A stage for the demo and the figures: a fake cloud, a private network, and two hosts with an
//! engine, a small web app and an agent each. All but the apps are processes of the built programs,
//! on loopback addresses; all of them end with the stage.
//!
//! * [`host`]: a host, and the ways to hurt it. [`app`]: its service. [`files`]: the folder.
//! * [`process`]: programs that cannot outlive the stage.

mod app;
pub(crate) mod files;
mod host;
pub(crate) mod process;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::app::App;
use self::files::Folder;
pub(crate) use self::host::Host;
use self::process::Process;
pub(crate) use self::process::ProcessError;
use crate::client::{self, CallError};
use crate::http::{self, Bound};

/// The address that is moved. A documentation address (RFC 5737): nobody has it.
pub(crate) const RESERVED_IP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The hosts.
pub(crate) const NAMES: [&str; 2] = ["web-1", "web-2"];
/// The containers of each host, and what their names begin with.
pub(crate) const CONTAINERS: u32 = 10;
const CONTAINER_NAME: &str = "app";
const FIRST_DROPLET: u64 = 400_000_001;
/// How long the stage may take to be as it should.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The lines of a log that are shown when something failed.
const LAST_LINES: usize = 12;

/// What is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// `heartbeat.interval`
    pub(crate) interval: Duration,
    /// The check's `fall`.
    pub(crate) fall: u8,
    /// How long the cloud takes for an assign.
    pub(crate) assign: Duration,
    /// The agents ask the service through the reserved IP before they take over (`probe`).
    pub(crate) probe: bool,
    /// What each agent may ask of the API (`calls_per_minute`).
    pub(crate) calls_per_minute: u8,
}

/// `calls_per_minute` where nobody writes it.
pub(crate) const DEFAULT_CALLS_PER_MINUTE: u8 = 60;

/// What did not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    #[error("cannot {what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("there is no {}: build it first with `cargo build --bins`", .0.display())]
    NoProgram(PathBuf),
    #[error("cannot listen on a loopback address")]
    Listen(#[source] io::Error),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("cannot ask {whom}")]
    Call { whom: String, source: CallError },
    #[error("the answer is not what was expected: {0}")]
    Odd(String),
    #[error("`{command}` failed: {text}")]
    Command { command: String, text: String },
    #[error("{what}: not within {} s; at last: {last}", PATIENCE.as_secs())]
    Late { what: String, last: String },
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    // Dropped in this order: the agents go before what they talk to.
    pub(crate) hosts: Vec<Host>,
    cloud: SocketAddr,
    /// Where clients reach the reserved IP.
    pub(crate) front: SocketAddr,
    /// Where the private network between the agents is steered.
    network: SocketAddr,
    haagent: PathBuf,
    _network: Process,
    _cloud: Process,
    _apps: JoinSet<()>,
    folder: Folder,
}

/// One event of the fake cloud's log.
pub(crate) type CloudEvent = Value;

impl Stage {
    /// Starts everything. The first host holds the address.
    pub(crate) async fn set(scene: Scene) -> Result<Self, StageError> {
        let (haagent, lab) = (agent_program()?, lab_program()?);
        let folder = Folder::new("haagent-lab")?;
        let addresses = [Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2)];
        let nodes = [format!("{}={}", NAMES[0], addresses[0]), format!("{}={}", NAMES[1], addresses[1])];
        let arguments = ["network", "--node", &nodes[0], "--node", &nodes[1]];
        let log = folder.0.join("network.log");
        let (network, wires) = Process::server("the private network", &lab, &arguments, &log).await?;

        let mut apps = JoinSet::new();
        let mut hosts = Vec::new();
        let mut droplets = Vec::new();
        for ((droplet, name), address) in (FIRST_DROPLET..).zip(NAMES).zip(addresses) {
            let name = name.to_owned();
            let port = wires["nodes"][&name].as_str().and_then(|node| node.parse::<SocketAddr>().ok());
            let port = port.ok_or_else(|| StageError::Odd(wires.to_string()))?.port();
            let home = folder.0.join(&name);
            files::make_folder(&home)?;
            let service = Bound::new(SocketAddr::from((address, 0))).map_err(StageError::Listen)?;
            droplets.push(json!({
                "id": droplet, "name": name, "private": address, "service": service.address(),
                "metadata": SocketAddr::from((address, 0)),
            }));
            let (door, opens) = watch::channel(true);
            let page = App { host: name.clone(), engine: home.join("docker.sock") };
            apps.spawn(http::serve_tcp(service, opens, page));
            let programs = [haagent.clone(), lab.clone()];
            let mut host =
                Host { name, droplet, address, port, folder: home, programs, agent: None, engine: None, app: door };
            host.start_engine().await?;
            hosts.push(host);
        }

        let world = json!({
            "settings": {"action_ms": u64::try_from(scene.assign.as_millis()).unwrap_or(u64::MAX)},
            "token": hosts.iter().map(|host| json!({"token": host.token(), "droplet": host.droplet})).collect::<Vec<_>>(),
            "droplet": droplets,
            "reserved_ip": [{
                "ip": RESERVED_IP, "holder": FIRST_DROPLET, "dataplane": SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            }],
        })
        .to_string();
        let any = "127.0.0.1:0";
        let arguments = ["cloud", "--world-json", &world, "--api", any, "--control", any];
        let (cloud, ready) = Process::server("the fake cloud", &lab, &arguments, &folder.0.join("cloud.log")).await?;
        let front = address_of(&ready["reserved_ips"][RESERVED_IP.to_string()])?;

        let key = folder.0.join("heartbeat.key");
        succeeded(&haagent, &["keygen", &key.display().to_string()]).await?;
        for host in &mut hosts {
            host.configure(scene, &addresses, &ready, front, &key)?;
            host.start_agent()?;
        }
        Ok(Self {
            hosts,
            cloud: address_of(&ready["control"])?,
            front,
            network: address_of(&wires["control"])?,
            haagent,
            _network: network,
            _cloud: cloud,
            _apps: apps,
            folder,
        })
    }

    /// Waits until this host is master and holder, both agents say that all is well, the cloud agrees,
    /// and a client reaches it.
    pub(crate) async fn settled(&mut self, at: usize) -> Result<(), StageError> {
        let name = self.hosts[at].name.clone();
        self.until(&format!("all is well and {name} holds {RESERVED_IP}"), async |stage| {
            for asked in 0..stage.hosts.len() {
                let group = stage.group(asked).await?;
                let master = group["master"] == name.as_str() && group["claims"][0]["holder"] == name.as_str();
                if !master || group["severity"] != "ok" || group["failover_ready"] != true {
                    let why = &group["concerns"];
                    return Ok(Err(format!("{} says {} {why}", stage.hosts[asked].name, group["severity"])));
                }
            }
            stage.serves(at).await
        })
        .await
    }

    /// Waits until this host is master and has verified that it holds the address, the cloud agrees,
    /// and a client reaches it.
    pub(crate) async fn held(&mut self, at: usize) -> Result<(), StageError> {
        let what = format!("{} holds {RESERVED_IP}, verified", self.hosts[at].name);
        self.until(&what, async |stage| {
            let group = stage.group(at).await?;
            let claim = &group["claims"][0];
            if group["state"] != "master" || claim["state"] != "held" || group["served"] != true {
                return Ok(Err(format!("state {}, claim {}", group["state"], claim["state"])));
            }
            stage.serves(at).await
        })
        .await
    }

    /// Who answers a client of the reserved IP: a host's name.
    pub(crate) async fn client_hears(&self) -> Result<String, CallError> {
        ask_front(self.front).await
    }

    /// Whether the cloud and a client say so too.
    async fn serves(&self, at: usize) -> Result<Result<(), String>, StageError> {
        if self.holder().await? != Some(self.hosts[at].droplet) {
            return Ok(Err("the cloud does not agree".to_owned()));
        }
        let name = &self.hosts[at].name;
        Ok(match self.client_hears().await {
            Ok(heard) if heard == *name => Ok(()),
            Ok(heard) => Err(format!("a client reaches {heard}")),
            Err(error) => Err(format!("a client reaches nobody: {error}")),
        })
    }

    /// Looks until it is so (the inner `Ok`), or says why it still is not.
    ///
    /// # Errors
    /// An agent that should run has ended, or it takes longer than a minute.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        look: impl AsyncFn(&Self) -> Result<Result<(), String>, StageError>,
    ) -> Result<(), StageError> {
        let mut last = "not looked at yet".to_owned();
        let waiting = async {
            loop {
                match look(self).await? {
                    Ok(()) => return Ok(()),
                    Err(why) => last = why,
                }
                for host in &mut self.hosts {
                    if host.agent.as_mut().is_some_and(Process::has_ended) {
                        return Err(ProcessError::Gone { name: format!("the agent of {}", host.name) }.into());
                    }
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| Err(StageError::Late { what: what.to_owned(), last }))
    }

    /// What `haagent COMMAND` prints, asked of this host's agent.
    pub(crate) async fn haagent(&self, at: usize, command: &[&str]) -> Result<String, StageError> {
        let socket = self.hosts[at].file("haagent.sock").display().to_string();
        let mut arguments = command.to_vec();
        arguments.extend(["--socket", &socket]);
        let output = Process::run(&self.haagent, &arguments).await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `haagent history --json` of this host's agent, oldest first.
    pub(crate) async fn history(&self, at: usize) -> Result<Vec<Value>, StageError> {
        let text = self.haagent(at, &["history", "--json"]).await?;
        serde_json::from_str(&text).map_err(|_| StageError::Odd(text))
    }

    /// The group as this host's agent sees it; null while it cannot be asked.
    pub(crate) async fn group(&self, at: usize) -> Result<Value, StageError> {
        let text = self.haagent(at, &["status", "--json"]).await?;
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(status["groups"][0].clone())
    }

    /// The number of the newest entry of the cloud's log.
    pub(crate) async fn cloud_newest(&self) -> Result<u64, StageError> {
        self.cloud_events(0, "none", Duration::ZERO).await.map(|(_, next)| next)
    }

    /// Where the fake cloud is steered.
    pub(crate) fn cloud_url(&self) -> String {
        format!("http://{}", self.cloud)
    }

    /// Where the private network is steered.
    pub(crate) fn network_url(&self) -> String {
        format!("http://{}", self.network)
    }

    /// Where clients reach the reserved IP.
    pub(crate) fn front_url(&self) -> String {
        format!("http://{}/", self.front)
    }

    /// Where all files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Orders a fault of the fake cloud.
    pub(crate) async fn break_cloud(&self, fault: &Value) -> Result<(), StageError> {
        self.ask_cloud("POST", "/faults", &fault.to_string()).await.map(drop)
    }

    async fn ask_cloud(&self, method: &str, path: &str, body: &str) -> Result<Value, StageError> {
        ask("the fake cloud", self.cloud, method, path, body).await
    }

    /// Cuts the private network between the agents, both ways.
    pub(crate) async fn cut_link(&self) -> Result<(), StageError> {
        ask("the private network", self.network, "POST", "/faults", r#"{"cut":true}"#).await.map(drop)
    }

    /// All is well again on the private network.
    pub(crate) async fn heal_link(&self) -> Result<(), StageError> {
        ask("the private network", self.network, "DELETE", "/faults", "").await.map(drop)
    }

    /// The droplet that holds the address, in truth.
    pub(crate) async fn holder(&self) -> Result<Option<u64>, StageError> {
        let state = self.ask_cloud("GET", "/state", "").await?;
        let addresses = state["reserved_ips"].as_array();
        let address = addresses.and_then(|all| all.iter().find(|one| one["ip"] == RESERVED_IP.to_string()));
        Ok(address.ok_or_else(|| StageError::Odd(state.to_string()))?["holder"].as_u64())
    }

    /// The cloud's events of these names (all if empty) after a number, as soon as there is one; and
    /// the number to ask for next.
    pub(crate) async fn cloud_events(
        &self,
        after: u64,
        names: &str,
        wait: Duration,
    ) -> Result<(Vec<CloudEvent>, u64), StageError> {
        let path = format!("/events?after={after}&event={names}&limit=10000&wait_ms={}", wait.as_millis());
        let page = self.ask_cloud("GET", &path, "").await?;
        match (page["events"].as_array(), page["next"].as_u64()) {
            (Some(events), Some(next)) => Ok((events.clone(), next)),
            _ => Err(StageError::Odd(page.to_string())),
        }
    }

    /// The last lines of what the agents said.
    pub(crate) fn last_words(&self) -> String {
        self.hosts.iter().map(|host| host.last_words(LAST_LINES)).collect()
    }
}

/// Who answers behind the reserved IP.
pub(crate) async fn ask_front(front: SocketAddr) -> Result<String, CallError> {
    let answer = client::over_tcp(front, "GET", "/", "").await?;
    Ok(app::host_of(&String::from_utf8_lossy(&answer)).to_owned())
}

async fn ask(whom: &str, server: SocketAddr, method: &str, path: &str, body: &str) -> Result<Value, StageError> {
    let failed = |source| StageError::Call { whom: whom.to_owned(), source };
    let answer = client::over_tcp(server, method, path, body).await.map_err(failed)?;
    client::json(&answer).map_err(failed)
}

/// An address of a ready line.
fn address_of(value: &Value) -> Result<SocketAddr, StageError> {
    let address = value.as_str().and_then(|url| url.trim_start_matches("http://").parse().ok());
    address.ok_or_else(|| StageError::Odd(value.to_string()))
}

/// This program.
pub(crate) fn lab_program() -> Result<PathBuf, StageError> {
    let failed = |source| StageError::File { what: "find", path: PathBuf::from("haagent-lab"), source };
    std::env::current_exe().map_err(failed)
}

/// The agent that was built beside this program.
pub(crate) fn agent_program() -> Result<PathBuf, StageError> {
    let haagent = lab_program()?.with_file_name("haagent");
    if haagent.is_file() { Ok(haagent) } else { Err(StageError::NoProgram(haagent)) }
}

async fn succeeded(program: &Path, arguments: &[&str]) -> Result<(), StageError> {
    let output = Process::run(program, arguments).await?;
    if output.status.success() {
        return Ok(());
    }
    let command = format!("{} {}", program.display(), arguments.join(" "));
    Err(StageError::Command { command, text: String::from_utf8_lossy(&output.stderr).into_owned() })
}
