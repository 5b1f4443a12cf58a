//! A host of the stage: an engine, a web app and an agent, and the ways to hurt them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::sync::watch;

use super::process::{Process, ProcessError};
use super::{CONTAINER_NAME, CONTAINERS, RESERVED_IP, Scene, StageError, files};
use crate::client;

/// A host of the stage.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) droplet: u64,
    pub(super) address: Ipv4Addr,
    /// Where its agent listens for heartbeats.
    pub(super) port: u16,
    pub(super) folder: PathBuf,
    /// `haagent`, and this program.
    pub(super) programs: [PathBuf; 2],
    // Dropped in this order: the agent goes before what it talks to.
    pub(super) agent: Option<Process>,
    pub(super) engine: Option<Process>,
    /// Whether the web app listens.
    pub(super) app: watch::Sender<bool>,
}

impl Host {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// One for each host: the cloud's log then says who called.
    pub(super) fn token(&self) -> String {
        format!("dop_v1_lab_{}", self.name)
    }

    pub(super) async fn start_engine(&mut self) -> Result<(), StageError> {
        let socket = self.file("docker.sock").display().to_string();
        let containers = CONTAINERS.to_string();
        let mut arguments = vec!["docker", "--socket", &socket, "--label", "app=web"];
        arguments.extend(["--containers", &containers, "--name", CONTAINER_NAME]);
        let [_, lab] = &self.programs;
        let name = format!("the engine of {}", self.name);
        let (engine, _) = Process::server(&name, lab, &arguments, &self.file("engine.log")).await?;
        self.engine = Some(engine);
        Ok(())
    }

    pub(crate) fn start_agent(&mut self) -> Result<(), StageError> {
        let configuration = self.file("haagent.toml").display().to_string();
        let name = format!("the agent of {}", self.name);
        let [haagent, _] = &self.programs;
        let arguments = ["run", "--config", &configuration];
        self.agent = Some(Process::start(&name, haagent, &arguments, &self.file("agent.log"))?);
        Ok(())
    }

    /// The agent's process number.
    pub(crate) fn agent_id(&self) -> Result<u32, StageError> {
        Ok(self.agent()?.id()?)
    }

    fn agent(&self) -> Result<&Process, ProcessError> {
        self.agent.as_ref().ok_or_else(|| ProcessError::Gone { name: format!("the agent of {}", self.name) })
    }

    fn engine(&self) -> Result<&Process, ProcessError> {
        self.engine.as_ref().ok_or_else(|| ProcessError::Gone { name: format!("the engine of {}", self.name) })
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
        Ok(self.engine()?.signal(Signal::SIGSTOP)?)
    }

    pub(crate) fn thaw(&self) -> Result<(), StageError> {
        self.engine()?.signal(Signal::SIGCONT)?;
        self.signal_agent(Signal::SIGCONT)
    }

    /// The host dies: `kill -9` for the agent and the engine, and connections to the web app are
    /// refused from now on.
    pub(crate) async fn dies(&mut self) -> Result<(), StageError> {
        self.signal_agent(Signal::SIGKILL)?;
        self.engine()?.signal(Signal::SIGKILL)?;
        self.app.send_replace(false);
        self.agent_ended().await?;
        if let Some(mut engine) = self.engine.take() {
            engine.ended().await?;
        }
        Ok(())
    }

    /// The host is up again, with all that it runs.
    pub(crate) async fn comes_back(&mut self) -> Result<(), StageError> {
        self.start_engine().await?;
        self.app.send_replace(true);
        self.start_agent()
    }

    /// One container of this host dies, and with it the app.
    pub(crate) async fn container_dies(&self, container: &str) -> Result<(), StageError> {
        self.act(container, "die?code=137").await
    }

    pub(crate) async fn container_starts(&self, container: &str) -> Result<(), StageError> {
        self.act(container, "start").await
    }

    async fn act(&self, container: &str, act: &str) -> Result<(), StageError> {
        let path = format!("/_lab/containers/{container}/{act}");
        let answered = client::over_unix(&self.file("docker.sock"), "POST", &path, "").await;
        answered.map(drop).map_err(|source| StageError::Call { whom: format!("the engine of {}", self.name), source })
    }

    /// Writes what the agent needs to start. `front` is where clients reach the reserved IP.
    pub(super) fn configure(
        &self,
        scene: Scene,
        peers: &[Ipv4Addr],
        cloud: &Value,
        front: SocketAddr,
        key: &Path,
    ) -> Result<(), StageError> {
        files::write(&self.file("do-token"), &format!("{}\n", self.token()))?;
        files::write(&self.file("haagent.toml"), &self.configuration(scene, peers, cloud, front, key)?)?;
        files::make_folder(&self.file("state"))
    }

    fn configuration(
        &self,
        scene: Scene,
        peers: &[Ipv4Addr],
        cloud: &Value,
        front: SocketAddr,
        key: &Path,
    ) -> Result<String, StageError> {
        let odd = || StageError::Odd(cloud.to_string());
        let api = cloud["api"].as_str().ok_or_else(odd)?;
        let metadata = cloud["metadata"][self.droplet.to_string()].as_str().ok_or_else(odd)?;
        let peers = peers.iter().map(|peer| format!("\"{peer}\"")).collect::<Vec<_>>().join(", ");
        let probe =
            if scene.probe { format!("probe.http = \"http://localhost:{}/\"\n", front.port()) } else { String::new() };
        Ok(format!(
            r#"[node]
name = "{}"
address = "{}"
state_dir = "{}"

[heartbeat]
key.file = "{}"
port = {}
interval = "{}ms"

[control]
socket = "{}"

[digitalocean]
token.file = "{}"
api_url = "{api}"
metadata_url = "{metadata}"
calls_per_minute = {}

[docker]
socket = "{}"

[group.web]
peers = [{peers}]
{probe}
[[group.web.check]]
docker.running = {CONTAINERS}
docker.label = "app=web"
fall = {}

[[group.web.claim]]
digitalocean.reserved_ip = "{RESERVED_IP}"
"#,
            self.name,
            self.address,
            self.file("state").display(),
            key.display(),
            self.port,
            scene.interval.as_millis(),
            self.file("haagent.sock").display(),
            self.file("do-token").display(),
            scene.calls_per_minute,
            self.file("docker.sock").display(),
            scene.fall,
        ))
    }

    /// The last lines of what the agent said, at most `lines`.
    pub(super) fn last_words(&self, lines: usize) -> String {
        let log = fs::read_to_string(self.file("agent.log")).unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        let mut words = format!("the agent of {} said at last:\n", self.name);
        for line in &all[all.len().saturating_sub(lines)..] {
            words.push_str(&format!("  {line}\n"));
        }
        words
    }
}
