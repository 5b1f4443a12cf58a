//! The fake provider: its truth, its event log, its faults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde_json::{Value, json};

use super::http;
use super::process::{Process, program};

/// The address that everything here is about (TEST-NET-3: it is nobody's).
pub const RESERVED_IP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

#[derive(Debug)]
pub struct Cloud {
    process: Process,
    pub api: String,
    /// Where clients reach [`RESERVED_IP`].
    pub reserved_ip: SocketAddr,
    control: String,
    metadata: Value,
}

/// What happened to the reserved IP since some point of the event log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Writing calls of agents, whatever came of them.
    pub writes: usize,
    /// Assigns of agents that were accepted.
    pub assigns: usize,
    /// Changes of the holder, by whomever.
    pub moves: usize,
}

impl Cloud {
    pub fn start(world: &Value, log: &Path) -> Self {
        let mut command = program(env!("CARGO_BIN_EXE_haagent-lab"));
        command.args(["cloud", "--world-json", &world.to_string()]);
        let (process, ready) = Process::lab(command, "the cloud", log);
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        let reserved_ip = ready["reserved_ips"][RESERVED_IP.to_string()].as_str().unwrap().parse().unwrap();
        Self { api: text("api"), control: text("control"), metadata: ready["metadata"].clone(), reserved_ip, process }
    }

    /// The line that makes agents of a lab with a network probe the service.
    pub fn probe(&self) -> String {
        format!("probe.http = \"http://localhost:{}/health\"", self.reserved_ip.port())
    }

    /// Where a droplet's metadata service listens.
    pub fn metadata(&self, droplet: u64) -> String {
        self.metadata[droplet.to_string()].as_str().unwrap().to_owned()
    }

    fn get(&self, path: &str) -> Value {
        http::tcp(&self.control, "GET", path, &Value::Null).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        http::tcp(&self.control, "POST", path, body).unwrap()
    }

    /// The droplet that holds the reserved IP, in truth.
    pub fn holder(&self) -> Option<u64> {
        self.get("/state")["reserved_ips"][0]["holder"].as_u64()
    }

    /// The number of the newest event.
    pub fn newest(&self) -> u64 {
        self.get("/state")["newest_event"].as_u64().unwrap()
    }

    /// Everything after that event.
    pub fn events(&self, after: u64) -> Vec<Value> {
        let page = self.get(&format!("/events?after={after}&limit=10000"));
        page["events"].as_array().unwrap().clone()
    }

    /// What happened after that event.
    pub fn deeds(&self, after: u64) -> Deeds {
        let mut deeds = Deeds::default();
        for event in self.events(after) {
            match event["event"].as_str() {
                Some("request") if event["face"] == "api" && event["method"] != "GET" => deeds.writes += 1,
                Some("accepted") if event["type"] == "assign_ip" && event["by"] != "hand" => deeds.assigns += 1,
                Some("moved") => deeds.moves += 1,
                _ => {}
            }
        }
        deeds
    }

    /// The first write or move after that event, if there is one within the time.
    pub fn stir(&self, after: u64, within: std::time::Duration) -> Option<Value> {
        let wait = within.as_millis();
        let page = self.get(&format!("/events?after={after}&event=accepted,moved&wait_ms={wait}"));
        page["events"].as_array().unwrap().first().cloned()
    }

    /// As if somebody did it in the control panel. Returns when it is done.
    pub fn move_by_hand(&self, to: Option<u64>) {
        self.post("/move", &json!({"ip": RESERVED_IP, "droplet": to, "takes_ms": 0}));
        super::wait::until(super::wait::DEADLINE, || {
            let holder = self.holder();
            if holder == to { Ok(()) } else { Err(format!("{holder:?} holds the address")) }
        })
        .unwrap();
    }

    /// Puts a fault in force; see `haagent-lab cloud`. Its number.
    pub fn fault(&self, order: &Value) -> u64 {
        self.post("/faults", order)["id"].as_u64().unwrap()
    }

    /// How many calls a fault has met; `None` when it has gone.
    pub fn hits(&self, fault: u64) -> Option<u64> {
        let faults = self.get("/faults");
        faults["faults"].as_array().unwrap().iter().find(|one| one["id"] == fault)?["hits"].as_u64()
    }

    pub fn clear_faults(&self) {
        http::tcp(&self.control, "DELETE", "/faults", &Value::Null).unwrap();
    }

    /// For people, when a test fails: what was done, and the reads folded to a count.
    pub fn story(&self) -> String {
        let page = http::tcp(&self.control, "GET", "/events?limit=10000", &Value::Null);
        let Ok(page) = page else { return format!("  (the cloud does not answer)\n{}", self.process.tail()) };
        let (mut story, mut reads) = (String::new(), 0);
        for event in page["events"].as_array().into_iter().flatten() {
            let plain_read = event["method"] == "GET" && event["status"] == 200 || event["face"] == "metadata";
            if plain_read {
                reads += 1;
                continue;
            }
            let mut shown = event.clone();
            if let Some(shown) = shown.as_object_mut() {
                shown.retain(|key, _| !["unix_ms", "unix_us", "received_ms", "source"].contains(&key.as_str()));
            }
            story.push_str(&format!("  {shown}\n"));
        }
        story + &format!("  and {reads} reads\n")
    }
}
