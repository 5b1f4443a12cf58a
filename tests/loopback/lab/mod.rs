//! A whole world on loopback addresses: a cloud, and nodes with an agent, an engine and a
//! service each. When a test fails, the lab tells what every part of it has to say.

pub mod cloud;
pub mod dataplane;
mod engine;
pub mod hooks;
pub mod http;
pub mod network;
pub mod node;
pub mod process;
pub mod wait;

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use self::cloud::{Cloud, RESERVED_IP};
use self::dataplane::{Client, Service};
use self::hooks::Hooks;
use self::network::Network;
use self::node::Node;
use self::wait::{DEADLINE, until};

/// A droplet that is alive and no member.
pub const STRANGER: u64 = 400_000_099;

/// The heartbeat key of all nodes.
pub const KEY: &str = "6b65796b65796b65796b65796b65796b65796b65796b65796b65796b65796b65";
/// A key that is another one.
pub const OTHER_KEY: &str = "0ddba11ca5e0ddba11ca5e0ddba11ca5e0ddba11ca5e0ddba11ca5e0ddba11ca";

/// How a lab is made.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The nodes, named a, b, c; the last has the highest address and so the best rank.
    pub nodes: &'static [&'static str],
    /// Who holds the address when the agents start.
    pub holder: &'static str,
    /// `I`.
    pub interval: Duration,
    /// More lines for the Docker check.
    pub check: &'static str,
    /// More lines for the group.
    pub group: &'static str,
    /// Hooks of all nodes: `promote`, `on_master` ... and what their scripts do; `$F` is a folder of the node's own.
    pub hooks: &'static [(&'static str, &'static str)],
    /// More lines for the hooks.
    pub hooks_settings: &'static str,
    /// The agents run `conf/haagent.toml`, with what only this lab can know filled in.
    pub example: bool,
    /// Heartbeats go through a network that can be cut.
    pub network: bool,
    /// The agents probe the service through the reserved IP; in a lab with a network.
    pub probe: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            nodes: &["a", "b"],
            holder: "a",
            interval: Duration::from_millis(200),
            check: "",
            group: "",
            hooks: &[],
            hooks_settings: "",
            example: false,
            network: false,
            probe: false,
        }
    }
}

#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: the agents go before what they talk to.
    nodes: Vec<Node>,
    pub client: Client,
    pub cloud: Cloud,
    network: Option<Network>,
    _stranger: Service,
    setup: Setup,
    pub port: u16,
    pub hooks: Hooks,
    _folder: TempDir,
}

impl Lab {
    /// Everything runs, the holder is master, and a failover would work.
    pub fn settled(setup: Setup) -> Self {
        let holder = setup.holder;
        let lab = Self::cold(setup);
        for node in &lab.nodes {
            node.start();
        }
        lab.settle(holder);
        lab
    }

    /// Everything runs but the agents.
    fn cold(setup: Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("haagent-loopback-").tempdir().unwrap();
        let addresses = addresses(setup.nodes.len() + 1);
        let port = free_port(&addresses);
        let (stranger_address, member_addresses) = addresses.split_last().unwrap();
        let stranger = Service::start("stranger", *stranger_address);
        let nodes: Vec<Node> = (400_000_001..)
            .zip(setup.nodes.iter().zip(member_addresses))
            .map(|(droplet, (name, address))| Node::new(name, *address, droplet, folder.path().join(name)))
            .collect();
        let world = world(&setup, &nodes, *stranger_address, &stranger);
        let cloud = Cloud::start(&world, &folder.path().join("cloud.log"));
        let client = Client::start(cloud.reserved_ip);
        let network = setup.network.then(|| Network::start(&nodes, &folder.path().join("network.log")));
        let hooks = Hooks::new(setup.hooks, setup.nodes);
        for node in &nodes {
            let port = network.as_ref().map_or(port, |network| network.port(&node.name));
            let mut configuration = configuration(&setup, node, member_addresses, port, &cloud);
            configuration.push_str(&hooks.configuration(setup.hooks_settings));
            node.configure(&configuration, KEY);
        }
        Self { hooks, nodes, client, cloud, network, _stranger: stranger, setup, port, _folder: folder }
    }

    /// The network, of a lab that was made with one.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("a lab with a network")
    }

    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}"))
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn interval(&self) -> Duration {
        self.setup.interval
    }

    /// `D`.
    pub fn dead_interval(&self) -> Duration {
        self.setup.interval * 3
    }

    /// Who holds the address, in truth: a node's name, "stranger" or "nobody".
    pub fn holder(&self) -> String {
        let Some(droplet) = self.cloud.holder() else { return "nobody".to_owned() };
        let member = self.nodes.iter().find(|node| node.droplet == droplet);
        member.map_or_else(|| "stranger".to_owned(), |node| node.name.clone())
    }

    /// A droplet by the name that [`Lab::holder`] gives it.
    pub fn droplet(&self, name: &str) -> Option<u64> {
        match name {
            "nobody" => None,
            "stranger" => Some(STRANGER),
            node => Some(self.node(node).droplet),
        }
    }

    /// Waits until every live node says that all is well and that this one is master and holder.
    pub fn settle(&self, holder: &str) {
        let settled = until(DEADLINE, || {
            for node in self.nodes.iter().filter(|node| node.is_live()) {
                let group = node.group()?;
                if group["severity"] != "ok" || group["master"] != *holder || group["claims"][0]["holder"] != *holder {
                    return Err(format!("{}: {group}", node.name));
                }
            }
            let heard = self.client.heard();
            if heard.last().is_some_and(|last| last == holder) { Ok(()) } else { Err(format!("client: {heard:?}")) }
        });
        settled.unwrap_or_else(|why| panic!("{holder} should be master, and all be well: {why}"));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let nodes: String = self.nodes.iter().map(Node::story).collect();
            eprintln!("{nodes}== the cloud\n{}", self.cloud.story());
            eprintln!("== the client heard {:?}", self.client.heard());
        }
    }
}

/// Loopback addresses that no other test has: by process id and a counter.
pub fn addresses(count: usize) -> Vec<Ipv4Addr> {
    const LABS: u32 = 64;
    const EACH: u32 = 8;
    const PROCESSES: u32 = (1 << 24) / (LABS * EACH) - 2;
    static LAB: AtomicU32 = AtomicU32::new(0);
    let lab = LAB.fetch_add(1, Ordering::Relaxed) % LABS;
    // From 127.0.2.0 on: what is before it belongs to others.
    let first = (std::process::id() % PROCESSES + 1) * LABS * EACH + lab * EACH;
    (1..).take(count).map(|host: u32| Ipv4Addr::from_bits((127 << 24) + first + host)).collect()
}

/// A UDP port that is free on all of them.
fn free_port(addresses: &[Ipv4Addr]) -> u16 {
    let free = until(DEADLINE, || {
        let port = UdpSocket::bind((addresses[0], 0)).and_then(|socket| socket.local_addr()).unwrap().port();
        let taken = addresses.iter().find_map(|address| UdpSocket::bind((*address, port)).err());
        taken.map_or(Ok(port), |error| Err(error.to_string()))
    });
    free.unwrap()
}

fn world(setup: &Setup, nodes: &[Node], stranger_address: Ipv4Addr, stranger: &Service) -> Value {
    let any_port = |address: Ipv4Addr| format!("{address}:0");
    let mut droplets: Vec<Value> = nodes
        .iter()
        .map(|node| {
            json!({"id": node.droplet, "name": node.name, "private": node.address,
                   "metadata": any_port(node.address), "service": node.service.address})
        })
        .collect();
    droplets
        .push(json!({"id": STRANGER, "name": "stranger", "private": stranger_address, "service": stranger.address}));
    let tokens: Vec<Value> = nodes.iter().map(|node| json!({"token": node.token(), "droplet": node.droplet})).collect();
    let holder = nodes.iter().find(|node| node.name == setup.holder).map(|node| node.droplet);
    // A probe may ask the claimed address or a name, and there is one name on every host.
    let dataplane = if setup.network { Ipv4Addr::LOCALHOST } else { stranger_address };
    json!({
        "api": any_port(stranger_address), "control": any_port(stranger_address),
        "settings": {"action_ms": 200},
        "token": tokens, "droplet": droplets,
        "reserved_ip": [{"ip": RESERVED_IP, "holder": holder, "dataplane": any_port(dataplane)}],
    })
}

fn configuration(setup: &Setup, node: &Node, members: &[Ipv4Addr], port: u16, cloud: &Cloud) -> String {
    let [state, key, token] = ["state", "key", "token"].map(|name| node.file(name));
    let peers: Vec<String> = members.iter().map(ToString::to_string).collect();
    let Node { name, address, .. } = node;
    if setup.example {
        let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
        let known = [
            ("node", "name", text(name)),
            ("node", "address", text(&address.to_string())),
            ("node", "state_dir", text(&state)),
            ("heartbeat", "key.file", text(&key)),
            ("heartbeat", "port", port.to_string()),
            ("control", "socket", text(&node.socket())),
            ("digitalocean", "token.file", text(&token)),
            ("digitalocean", "api_url", text(&cloud.api)),
            ("digitalocean", "metadata_url", text(&cloud.metadata(node.droplet))),
            ("docker", "socket", text(&node.engine.socket)),
            ("group.web", "peers", text(&peers)),
        ];
        return example(&known);
    }
    format!(
        r#"
[node]
name = "{name}"
address = "{address}"
state_dir = {state:?}
realtime = false

[heartbeat]
port = {port}
interval = "{}ms"
key.file = {key:?}

[control]
socket = {:?}

[digitalocean]
token.file = {token:?}
api_url = "{}"
metadata_url = "{}"

[docker]
socket = {:?}

[group.web]
peers = {peers:?}
majority = false{}
{}

[[group.web.check]]
docker.running = 10
docker.label = "app=web"
{}

[[group.web.claim]]
digitalocean.reserved_ip = "{RESERVED_IP}"
"#,
        setup.interval.as_millis(),
        node.socket(),
        cloud.api,
        cloud.metadata(node.droplet),
        node.engine.socket,
        if setup.probe { format!("\n{}", cloud.probe()) } else { String::new() },
        setup.group,
        setup.check,
    )
}

/// The annotated example of the repository, with these keys of its tables set, also
/// those that it only shows the default of.
fn example(known: &[(&str, &str, String)]) -> String {
    let mut table = String::new();
    let mut set = 0;
    let mut lines = Vec::new();
    for line in include_str!("../../../conf/haagent.toml").lines() {
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_matches(['[', ']']).to_owned();
        }
        let shown = line.strip_prefix("# ").unwrap_or(line);
        let setting = known.iter().find(|(of, key, _)| *of == table && shown.starts_with(&format!("{key} = ")));
        set += usize::from(setting.is_some());
        lines.push(setting.map_or_else(|| line.to_owned(), |(_, key, value)| format!("{key} = {value}")));
    }
    assert_eq!(set, known.len(), "conf/haagent.toml shows every one of these keys, once");
    lines.join("\n")
}

/// The net itself: what no agent does, the log and the client still see.
#[test]
fn the_event_log_and_the_client_see_every_move() {
    let lab = Lab::cold(Setup::default());
    let heard = |expected: &[&str]| {
        until(DEADLINE, || {
            let heard = lab.client.heard();
            if heard == expected { Ok(()) } else { Err(format!("{heard:?}, not {expected:?}")) }
        })
        .unwrap();
    };
    heard(&["a"]);
    assert_eq!((lab.holder().as_str(), lab.cloud.deeds(0)), ("a", cloud::Deeds::default()));
    lab.cloud.move_by_hand(lab.droplet("b"));
    heard(&["a", "b"]);
    lab.cloud.move_by_hand(None);
    lab.cloud.move_by_hand(lab.droplet("stranger"));
    heard(&["a", "b", "stranger"]);
    let deeds = lab.cloud.deeds(0);
    assert_eq!(deeds, cloud::Deeds { writes: 0, assigns: 0, moves: 3 }, "people are not agents");
    let after = lab.cloud.newest();
    assert_eq!(lab.cloud.deeds(after), cloud::Deeds::default());
    assert_eq!(lab.cloud.stir(after, Duration::from_millis(50)), None);
    assert!(lab.cloud.stir(0, Duration::from_millis(50)).is_some());
    // The node's engine is its own.
    let a = &lab.node("a").engine;
    assert!(a.running("web-3").is_some());
    a.act("web-3", "die");
    assert!(a.running("web-3").is_none() && lab.node("b").engine.running("web-3").is_some());
    // A service whose host is gone does not answer whoever comes anew.
    lab.node("a").service.vanish();
    lab.cloud.move_by_hand(lab.droplet("a"));
    lab.cloud.move_by_hand(lab.droplet("b"));
    heard(&["a", "b", "stranger", "b"]);
}
