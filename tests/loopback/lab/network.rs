//! The private network between the nodes, where a test wants to break it.

use std::path::Path;

use serde_json::{Value, json};

use super::http;
use super::node::Node;
use super::process::{Process, program};

#[derive(Debug)]
pub struct Network {
    _process: Process,
    control: String,
    nodes: Value,
}

impl Network {
    pub fn start(nodes: &[Node], log: &Path) -> Self {
        let mut command = program(env!("CARGO_BIN_EXE_haagent-lab"));
        command.arg("network");
        for Node { name, address, .. } in nodes {
            command.args(["--node", &format!("{name}={address}")]);
        }
        let (_process, ready) = Process::lab(command, "the network", log);
        Self { _process, control: ready["control"].as_str().unwrap().to_owned(), nodes: ready["nodes"].clone() }
    }

    /// The `heartbeat.port` of a node: each has its own.
    pub fn port(&self, node: &str) -> u16 {
        let address = self.nodes[node].as_str().unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Nothing gets through between any two nodes.
    pub fn cut(&self) {
        http::tcp(&self.control, "POST", "/faults", &json!({"cut": true})).unwrap();
    }

    /// All is well again.
    pub fn heal(&self) {
        http::tcp(&self.control, "DELETE", "/faults", &Value::Null).unwrap();
    }
}
