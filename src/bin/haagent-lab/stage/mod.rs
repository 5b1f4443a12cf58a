//! A stage for the demo and the figures: a fake cloud, and two hosts with an engine, a small web
//! app and an agent each. Agents, engines and the cloud are processes of the built programs, on
//! loopback addresses; all of them end with the stage.

pub(crate) mod process;

use std::fs::{self, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::process::Process;
pub(crate) use self::process::ProcessError;
use crate::client::{self, CallError};
use crate::http::{self, Asked, Bound, Handler, Reply};

/// The address that is moved. A documentation address (RFC 5737): nobody has it.
pub(crate) const RESERVED_IP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
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
}

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
    #[error("the fake cloud said something else than expected: {0}")]
    Odd(String),
    #[error("`{command}` failed: {text}")]
    Command { command: String, text: String },
    #[error("{what}: not within {} s; at last: {last}", PATIENCE.as_secs())]
    Late { what: String, last: String },
}

/// A host of the stage.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) droplet: u64,
    address: Ipv4Addr,
    folder: PathBuf,
    engine: Process,
    agent: Option<Process>,
    app: App,
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    // Dropped in this order: the agents go before what they talk to.
    pub(crate) hosts: Vec<Host>,
    cloud: SocketAddr,
    /// Where clients reach the reserved IP.
    pub(crate) front: SocketAddr,
    haagent: PathBuf,
    _cloud: Process,
    _apps: JoinSet<()>,
    _folder: Folder,
}

/// One event of the fake cloud's log.
type CloudEvent = Value;

impl Stage {
    /// Starts everything. The first host holds the address.
    pub(crate) async fn set(scene: Scene) -> Result<Self, StageError> {
        let (haagent, lab) = (agent_program()?, lab_program()?);
        let folder = Folder::new()?;
        let addresses = [Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2)];
        let port = free_port(&addresses).map_err(StageError::Listen)?;

        let mut apps = JoinSet::new();
        let mut hosts = Vec::new();
        let mut droplets = Vec::new();
        for ((droplet, number), address) in (FIRST_DROPLET..).zip(1..).zip(addresses) {
            let name = format!("web-{number}");
            let home = folder.0.join(&name);
            make_folder(&home)?;
            let app = App { name: name.clone(), works: Arc::new(AtomicBool::new(true)) };
            let service = Bound::new(SocketAddr::from((address, 0))).map_err(StageError::Listen)?;
            droplets.push(json!({
                "id": droplet, "name": name, "private": address, "service": service.address(),
                "metadata": SocketAddr::from((address, 0)),
            }));
            apps.spawn(app.clone().serve(service));
            let socket = home.join("docker.sock").display().to_string();
            let containers = CONTAINERS.to_string();
            let mut arguments = vec!["docker", "--socket", &socket, "--label", "app=web"];
            arguments.extend(["--containers", &containers, "--name", CONTAINER_NAME]);
            let of = format!("the engine of {name}");
            let (engine, _) = Process::server(&of, &lab, &arguments, &home.join("engine.log")).await?;
            hosts.push(Host { name, droplet, address, folder: home, engine, agent: None, app });
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
        let control = text(&ready["control"]).and_then(|url| url.trim_start_matches("http://").parse().ok());
        let front = text(&ready["reserved_ips"][RESERVED_IP.to_string()]).and_then(|address| address.parse().ok());
        let (Some(control), Some(front)) = (control, front) else { return Err(StageError::Odd(ready.to_string())) };

        let key = folder.0.join("heartbeat.key");
        succeeded(&haagent, &["keygen", &key.display().to_string()]).await?;
        for host in &hosts {
            write(&host.file("do-token"), &format!("{}\n", host.token()))?;
            let configuration = host.configuration(scene, &addresses, port, &ready, &folder.0)?;
            write(&host.file("haagent.toml"), &configuration)?;
            make_folder(&host.file("state"))?;
        }
        let mut stage = Self { hosts, cloud: control, front, haagent, _cloud: cloud, _apps: apps, _folder: folder };
        for at in 0..stage.hosts.len() {
            stage.start_agent(at)?;
        }
        Ok(stage)
    }

    pub(crate) fn start_agent(&mut self, at: usize) -> Result<(), StageError> {
        let host = &mut self.hosts[at];
        let configuration = host.file("haagent.toml").display().to_string();
        let name = format!("the agent of {}", host.name);
        let arguments = ["run", "--config", &configuration];
        host.agent = Some(Process::start(&name, &self.haagent, &arguments, &host.file("agent.log"))?);
        Ok(())
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

    async fn until(
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

    /// The group as this host's agent sees it; null while it cannot be asked.
    async fn group(&self, at: usize) -> Result<Value, StageError> {
        let text = self.haagent(at, &["status", "--json"]).await?;
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(status["groups"][0].clone())
    }

    async fn ask_cloud(&self, method: &str, path: &str) -> Result<Value, StageError> {
        let failed = |source| StageError::Call { whom: "the fake cloud".to_owned(), source };
        let answer = client::over_tcp(self.cloud, method, path, "").await.map_err(failed)?;
        client::json(&answer).map_err(failed)
    }

    /// The droplet that holds the address, in truth.
    pub(crate) async fn holder(&self) -> Result<Option<u64>, StageError> {
        let state = self.ask_cloud("GET", "/state").await?;
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
        let page = self.ask_cloud("GET", &path).await?;
        match (page["events"].as_array(), page["next"].as_u64()) {
            (Some(events), Some(next)) => Ok((events.clone(), next)),
            _ => Err(StageError::Odd(page.to_string())),
        }
    }

    /// The last lines of what the agents said.
    pub(crate) fn last_words(&self) -> String {
        let mut words = String::new();
        for host in &self.hosts {
            let log = fs::read_to_string(host.file("agent.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            words.push_str(&format!("the agent of {} said at last:\n", host.name));
            for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
                words.push_str(&format!("  {line}\n"));
            }
        }
        words
    }
}

/// Who answers behind the reserved IP.
pub(crate) async fn ask_front(front: SocketAddr) -> Result<String, CallError> {
    let answer = client::over_tcp(front, "GET", "/", "").await?;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

impl Host {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// One for each host: the cloud's log then says who called.
    fn token(&self) -> String {
        format!("dop_v1_lab_{}", self.name)
    }

    /// The agent's process number.
    pub(crate) fn agent_id(&self) -> Result<u32, StageError> {
        Ok(self.agent()?.id()?)
    }

    fn agent(&self) -> Result<&Process, ProcessError> {
        self.agent.as_ref().ok_or_else(|| ProcessError::Gone { name: format!("the agent of {}", self.name) })
    }

    pub(crate) fn signal_agent(&self, signal: Signal) -> Result<(), StageError> {
        Ok(self.agent()?.signal(signal)?)
    }

    /// Waits for the agent's end; it may then be started again.
    pub(crate) async fn agent_ended(&mut self) -> Result<(), StageError> {
        if let Some(mut agent) = self.agent.take() {
            agent.ended().await?;
        }
        Ok(())
    }

    /// Stops the agent and the engine where they are: the host is silent.
    pub(crate) fn freeze(&self) -> Result<(), StageError> {
        self.signal_agent(Signal::SIGSTOP)?;
        Ok(self.engine.signal(Signal::SIGSTOP)?)
    }

    pub(crate) fn thaw(&self) -> Result<(), StageError> {
        self.engine.signal(Signal::SIGCONT)?;
        self.signal_agent(Signal::SIGCONT)
    }

    /// One container of this host dies, and with it the app.
    pub(crate) async fn container_dies(&self, container: &str) -> Result<(), StageError> {
        self.app.works.store(false, Ordering::Relaxed);
        self.act(container, "die?code=137").await
    }

    pub(crate) async fn container_starts(&self, container: &str) -> Result<(), StageError> {
        self.app.works.store(true, Ordering::Relaxed);
        self.act(container, "start").await
    }

    async fn act(&self, container: &str, act: &str) -> Result<(), StageError> {
        let path = format!("/_lab/containers/{container}/{act}");
        let answered = client::over_unix(&self.file("docker.sock"), "POST", &path, "").await;
        answered.map(drop).map_err(|source| StageError::Call { whom: format!("the engine of {}", self.name), source })
    }

    fn configuration(
        &self,
        scene: Scene,
        peers: &[Ipv4Addr],
        port: u16,
        cloud: &Value,
        folder: &Path,
    ) -> Result<String, StageError> {
        let odd = || StageError::Odd(cloud.to_string());
        let api = text(&cloud["api"]).ok_or_else(odd)?;
        let metadata = text(&cloud["metadata"][self.droplet.to_string()]).ok_or_else(odd)?;
        let peers = peers.iter().map(|peer| format!("\"{peer}\"")).collect::<Vec<_>>().join(", ");
        let at = |path: PathBuf| path.display().to_string();
        Ok(format!(
            r#"[node]
name = "{}"
address = "{}"
state_dir = "{}"

[heartbeat]
key.file = "{}"
port = {port}
interval = "{}ms"

[control]
socket = "{}"

[digitalocean]
token.file = "{}"
api_url = "{api}"
metadata_url = "{metadata}"

[docker]
socket = "{}"

[group.web]
peers = [{peers}]

[[group.web.check]]
docker.running = {CONTAINERS}
docker.label = "app=web"
fall = {}

[[group.web.claim]]
digitalocean.reserved_ip = "{RESERVED_IP}"
"#,
            self.name,
            self.address,
            at(self.file("state")),
            at(folder.join("heartbeat.key")),
            scene.interval.as_millis(),
            at(self.file("haagent.sock")),
            at(self.file("do-token")),
            at(self.file("docker.sock")),
            scene.fall,
        ))
    }
}

/// The service of one host: it says whose it is.
#[derive(Clone, Debug)]
struct App {
    name: String,
    works: Arc<AtomicBool>,
}

impl App {
    async fn serve(self, bound: Bound) {
        let (always_open, door) = watch::channel(true);
        http::serve_tcp(bound, door, self).await;
        drop(always_open);
    }
}

impl Handler for App {
    async fn handle(&self, _asked: Asked) -> Reply {
        Reply::Answer(if self.works.load(Ordering::Relaxed) {
            http::answer(StatusCode::OK, "text/plain", format!("{}\n", self.name))
        } else {
            http::answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{} is broken\n", self.name))
        })
    }
}

/// The folder of a stage; removed when this is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, StageError> {
        let path = std::env::temp_dir().join(format!("haagent-lab-{}", std::process::id()));
        make_folder(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn lab_program() -> Result<PathBuf, StageError> {
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

fn make_folder(path: &Path) -> Result<(), StageError> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .map_err(|source| StageError::File { what: "make the folder", path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> Result<(), StageError> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o600)))
        .map_err(|source| StageError::File { what: "write", path: path.to_owned(), source })
}

/// A UDP port that is free on all of the addresses.
fn free_port(addresses: &[Ipv4Addr]) -> io::Result<u16> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..20 {
        let first = UdpSocket::bind((addresses[0], 0))?;
        let port = first.local_addr()?.port();
        result =
            addresses[1..].iter().try_for_each(|address| UdpSocket::bind((*address, port)).map(drop)).map(|()| port);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}
