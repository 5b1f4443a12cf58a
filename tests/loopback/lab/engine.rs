//! The fake Docker engine of one node.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::http;
use super::process::{Process, program};

#[derive(Debug)]
pub struct Engine {
    pub process: Process,
    pub socket: PathBuf,
}

impl Engine {
    /// Ten containers, `web-1` to `web-10`, with the label `app=web`.
    pub fn start(folder: &Path, what: &str) -> Self {
        let socket = folder.join("docker.sock");
        let mut command = program(env!("CARGO_BIN_EXE_haagent-lab"));
        command.args(["docker", "--containers", "10", "--label", "app=web", "--socket"]).arg(&socket);
        let (process, _) = Process::lab(command, what, &folder.join("docker.log"));
        Self { process, socket }
    }

    /// `die`, `start`, `recreate?down_ms=800` ...; see `haagent-lab docker`.
    pub fn act(&self, container: &str, act: &str) {
        http::unix(&self.socket, "POST", &format!("/_lab/containers/{container}/{act}"), &Value::Null).unwrap();
    }

    /// The number of a container that runs.
    pub fn running(&self, container: &str) -> Option<String> {
        let state = http::unix(&self.socket, "GET", "/_lab/state", &Value::Null).unwrap();
        let all = state["containers"].as_array().unwrap();
        let found = all.iter().find(|one| one["name"] == container && one["status"] == "running")?;
        found["id"].as_str().map(str::to_owned)
    }

    /// How many calls came.
    pub fn calls(&self) -> u64 {
        let page = http::unix(&self.socket, "GET", "/_lab/requests?limit=10000", &Value::Null).unwrap();
        page["next"].as_u64().unwrap()
    }

    /// How all endpoints answer: `huge`, `endless`, `garbage`, `ok` ...
    pub fn answers(&self, mode: &str) {
        http::unix(&self.socket, "POST", "/_lab/faults", &json!({"all": mode})).unwrap();
    }
}
