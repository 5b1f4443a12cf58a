//! The floor: bare programs under the same faults, beside a fake cloud and a fake engine of their own
//! that are the same programs as haagent's.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::fault::{Fault, PATIENCE, asked_at};
use super::{BenchError, bare};
use crate::client::{self, CallError};
use crate::clock::Clock;
use crate::stage::StageError;
use crate::stage::files::Folder;
use crate::stage::process::Process;

/// What the check's second look comes after, by default (`interval`).
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the bare programs talk to. It ends with this.
#[derive(Debug)]
pub(crate) struct Floor {
    lab: PathBuf,
    api: String,
    control: SocketAddr,
    engine: String,
    _cloud: Process,
    _engine: Process,
    folder: Folder,
}

impl Floor {
    /// Starts it.
    pub(crate) async fn set() -> Result<Self, BenchError> {
        let lab = std::env::current_exe().map_err(|source| BenchError::Proc { path: "haagent-lab".into(), source })?;
        let folder = Folder::new("haagent-lab-floor")?;
        let any = "127.0.0.1:0";
        let arguments = ["cloud", "--api", any, "--control", any];
        let log = folder.0.join("log");
        let (cloud, ready) =
            Process::server("the cloud of the floor", &lab, &arguments, &log).await.map_err(StageError::from)?;
        let odd = || StageError::Odd(ready.to_string());
        let address = |key: &str| Some(ready[key].as_str()?.strip_prefix("http://")?.to_owned());
        let api = address("api").ok_or_else(odd)?;
        let control = address("control").and_then(|control| control.parse().ok()).ok_or_else(odd)?;
        let engine_socket = folder.0.join("docker.sock").display().to_string();
        let arguments = ["docker", "--socket", &engine_socket, "--name", "app"];
        let (engine, _) =
            Process::server("the engine of the floor", &lab, &arguments, &log).await.map_err(StageError::from)?;
        Ok(Self { lab, api, control, engine: engine_socket, _cloud: cloud, _engine: engine, folder })
    }

    /// How long a bare program takes from this fault until its request to assign has arrived. None
    /// where nothing but time can tell that the fault has come.
    pub(crate) async fn of(&self, fault: Fault) -> Result<Option<Duration>, BenchError> {
        let again;
        let arguments = match fault {
            Fault::Silence | Fault::Kill => return Ok(None),
            Fault::Stop => vec![bare::STOP, &self.api],
            Fault::Container { fall } => {
                again = (LOOK_AGAIN * u32::from(fall.saturating_sub(1))).as_millis().to_string();
                vec![bare::CONTAINER, &self.engine, &self.api, &again]
            }
        };
        let (_watcher, ready) = Process::server("the bare watcher", &self.lab, &arguments, &self.folder.0.join("log"))
            .await
            .map_err(StageError::from)?;
        let (_, mut next) = self.requests(0, Duration::ZERO).await?;
        let clock = Clock::start();
        match fault {
            Fault::Silence | Fault::Kill => {}
            Fault::Stop => self.stop(&ready)?,
            Fault::Container { .. } => self.act("die?code=137").await?,
        }
        let asked = loop {
            let left = PATIENCE.saturating_sub(clock.now());
            if left.is_zero() {
                return Err(BenchError::NoRequest { fault });
            }
            let (events, after) = self.requests(next, left).await?;
            if let Some(at) = asked_at(&events) {
                break at;
            }
            next = after;
        };
        if let Fault::Container { .. } = fault {
            self.act("start").await?;
        }
        Ok(Some(asked.saturating_sub(clock.unix_at_start())))
    }

    fn stop(&self, ready: &Value) -> Result<(), BenchError> {
        let child = ready["child"].as_i64().and_then(|child| i32::try_from(child).ok());
        let child = child.ok_or_else(|| StageError::Odd(ready.to_string()))?;
        kill(Pid::from_raw(child), Signal::SIGTERM).map_err(BenchError::Signal)
    }

    async fn act(&self, act: &str) -> Result<(), BenchError> {
        let path = format!("/_lab/containers/app-3/{act}");
        let answered = client::over_unix(self.engine.as_ref(), "POST", &path, "").await;
        answered.map(drop).map_err(|source| call("the engine of the floor", source))
    }

    async fn requests(&self, after: u64, wait: Duration) -> Result<(Vec<Value>, u64), BenchError> {
        let path = format!("/events?after={after}&event=request&limit=10000&wait_ms={}", wait.as_millis());
        let failed = |source| call("the cloud of the floor", source);
        let answer = client::over_tcp(self.control, "GET", &path, "").await.map_err(failed)?;
        let page = client::json(&answer).map_err(failed)?;
        match (page["events"].as_array(), page["next"].as_u64()) {
            (Some(events), Some(next)) => Ok((events.clone(), next)),
            _ => Err(StageError::Odd(page.to_string()).into()),
        }
    }
}

fn call(whom: &str, source: CallError) -> BenchError {
    StageError::Call { whom: whom.to_owned(), source }.into()
}

/// Two bare programs that send each other a datagram each interval.
#[derive(Debug)]
pub(crate) struct Hearts {
    first: Process,
    _second: Process,
}

impl Hearts {
    /// Starts both.
    pub(crate) async fn beat(interval: Duration) -> Result<Self, BenchError> {
        let lab = std::env::current_exe().map_err(|source| BenchError::Proc { path: "haagent-lab".into(), source })?;
        let free = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(StageError::Listen)?;
            let address = socket.local_addr().map_err(StageError::Listen)?;
            Ok::<_, StageError>((socket, address.to_string()))
        };
        let ((kept, one), (other_kept, other)) = (free()?, free()?);
        drop((kept, other_kept));
        let interval = interval.as_millis().to_string();
        let log = PathBuf::from("/dev/null");
        let start = async |listen: &str, peer: &str| {
            let arguments = [bare::HEARTBEAT, listen, peer, &interval];
            Process::server("the bare heart", &lab, &arguments, &log).await.map_err(StageError::from)
        };
        Ok(Self { first: start(&one, &other).await?.0, _second: start(&other, &one).await?.0 })
    }

    /// The process number of one of them.
    pub(crate) fn id(&self) -> Result<u32, BenchError> {
        Ok(self.first.id().map_err(StageError::from)?)
    }
}
