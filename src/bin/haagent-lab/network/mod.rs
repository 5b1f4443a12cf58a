//! `haagent-lab network`: a private network for agents on loopback, without root, that can be broken.
//!
//! It stands between the nodes, and they do not see it. Each node has an address and a
//! `heartbeat.port` of its own: A is 127.0.1.1 and has port 7001, B is 127.0.1.2 and has 7002. An
//! agent sends to its peers on its own port, so what A has for B goes to 127.0.1.2:7001. The network
//! has that socket. It passes each datagram on to B at 127.0.1.2:7002, from its socket
//! 127.0.1.1:7002, to which B's answers come. So both agents see the addresses that they expect, and
//! their MAC, which covers these, is right. Every ordered pair of nodes has one such socket.
//!
//! * [`direction`]: what becomes of a datagram, pure. [`relay`]: carries them. [`control`]: breaks and
//!   heals. [`wire`]: what the control endpoint takes and answers.
//!
//! Not as in a real network: while a node's agent is dead, its peers are not told "port unreachable".

mod control;
mod direction;
mod relay;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::control::{Control, Node, Way};
use self::direction::Direction;
use self::relay::Shared;
use crate::http::{self, Bound};

/// The most nodes: 16 have 240 sockets.
const MAX_NODES: usize = 16;
/// How often a free port is looked for.
const PORT_TRIES: usize = 32;

/// What `haagent-lab network` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A node: its name, its address (node.address) and its port (heartbeat.port), which no other
    /// node may have. Without the port, or with 0, a free one is chosen. Two or more
    #[arg(long = "node", value_name = "NAME=ADDRESS[:PORT]", value_parser = node, required = true)]
    nodes: Vec<Node>,
    /// Where the control endpoint listens (port 0: any)
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// What is lost, delayed and doubled is drawn from this number: the same again, the same fates
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// End when standard input closes, so that nothing is left behind
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

/// Why the network does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("a network has {MAX_NODES} nodes at most, and two at least: give --node for each")]
    Count,
    #[error("two nodes have {what} {value}: each has its own, or the network could not tell them apart")]
    Same { what: &'static str, value: String },
    #[error("cannot open UDP {address} for what {from} sends to {to}: choose another port for {from}, or none")]
    Open { from: String, to: String, address: SocketAddrV4, source: io::Error },
    #[error("no port is free for {name} at the addresses of the other nodes")]
    NoPort { name: String, source: io::Error },
    #[error("cannot listen on {address} for the control endpoint: choose another address, or port 0")]
    Listen { address: SocketAddr, source: io::Error },
}

/// The line that is printed when all sockets are open.
#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    ready: bool,
    pid: u32,
    control: String,
    /// What each node's agent has as `node.address` and `heartbeat.port`.
    nodes: BTreeMap<String, SocketAddrV4>,
}

/// The network at work; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) ready: Ready,
    tasks: JoinSet<()>,
}

impl Running {
    /// Carries for ever.
    pub(crate) async fn serve(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Options {
    /// Opens all sockets and begins to carry.
    ///
    /// # Errors
    /// Two nodes cannot be told apart, or an address cannot be had.
    pub(crate) fn start(&self) -> Result<Running, StartError> {
        if !(2..=MAX_NODES).contains(&self.nodes.len()) {
            return Err(StartError::Count);
        }
        let same = |what, value: String| Err(StartError::Same { what, value });
        for (at, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[..at] {
                let port = node.address.port();
                match () {
                    () if node.name == other.name => return same("the name", node.name.clone()),
                    () if node.address.ip() == other.address.ip() => {
                        return same("the address", node.address.ip().to_string());
                    }
                    () if port != 0 && port == other.address.port() => return same("the port", port.to_string()),
                    () => {}
                }
            }
        }
        let mut nodes = self.nodes.clone();
        let mut sockets = BTreeMap::new();
        for from in 0..nodes.len() {
            let mouths = if nodes[from].address.port() == 0 { choose(&nodes, from)? } else { open(&nodes, from)? };
            nodes[from].address.set_port(mouths.port);
            sockets.extend(mouths.sockets.into_iter().map(|(to, socket)| ((from, to), socket)));
        }
        carry(nodes, sockets, self.control, self.seed)
    }
}

/// The sockets to which one node sends, by the node that it means.
struct Mouths {
    port: u16,
    sockets: Vec<(usize, UdpSocket)>,
}

/// Opens the sockets of a node that has its port.
fn open(nodes: &[Node], from: usize) -> Result<Mouths, StartError> {
    let node = &nodes[from];
    let port = node.address.port();
    let others = nodes.iter().enumerate().filter(|(to, _)| *to != from);
    let sockets = others.map(|(to, other)| {
        let address = SocketAddrV4::new(*other.address.ip(), port);
        let failed = |source| StartError::Open { from: node.name.clone(), to: other.name.clone(), address, source };
        UdpSocket::bind(address).map(|socket| (to, socket)).map_err(failed)
    });
    Ok(Mouths { port, sockets: sockets.collect::<Result<_, _>>()? })
}

/// Chooses a port that is free at the node's address, which its agent will take, and at all others.
fn choose(nodes: &[Node], from: usize) -> Result<Mouths, StartError> {
    let no_port = |source| StartError::NoPort { name: nodes[from].name.clone(), source };
    let mut failed = no_port(io::ErrorKind::AddrInUse.into());
    let mut tried = nodes.to_vec();
    for _ in 0..PORT_TRIES {
        let held = UdpSocket::bind((*nodes[from].address.ip(), 0)).map_err(no_port)?;
        let port = held.local_addr().map_err(no_port)?.port();
        if nodes.iter().any(|node| node.address.port() == port) {
            continue;
        }
        tried[from].address.set_port(port);
        match open(&tried, from) {
            Ok(mouths) => return Ok(mouths),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Connects each socket to its node, so that nobody else can speak there, and starts the tasks.
fn carry(
    nodes: Vec<Node>,
    sockets: BTreeMap<(usize, usize), UdpSocket>,
    control: SocketAddr,
    seed: u64,
) -> Result<Running, StartError> {
    let mut connected = BTreeMap::new();
    for ((from, to), socket) in sockets {
        let (node, other) = (&nodes[from], &nodes[to]);
        let connect = || {
            socket.connect(node.address)?;
            socket.set_nonblocking(true)?;
            tokio::net::UdpSocket::from_std(socket)
        };
        let address = SocketAddrV4::new(*other.address.ip(), node.address.port());
        let failed = |source| StartError::Open { from: node.name.clone(), to: other.name.clone(), address, source };
        connected.insert((from, to), Arc::new(connect().map_err(failed)?));
    }
    let bound = Bound::new(control).map_err(|source| StartError::Listen { address: control, source })?;
    let url = format!("http://{}", bound.address());

    let directions: BTreeMap<(usize, usize), Shared> =
        connected.keys().zip(seed..).map(|(&pair, seed)| (pair, Shared::new(Direction::new(seed)))).collect();
    let mut tasks = JoinSet::new();
    for (&(from, to), socket) in &connected {
        let (direction, back) = (directions[&(from, to)].clone(), directions[&(to, from)].clone());
        tasks.spawn(relay::carry(direction, back, Arc::clone(socket), Arc::clone(&connected[&(to, from)])));
    }
    let by_name = nodes.iter().map(|node| (node.name.clone(), node.address)).collect();
    let ways = directions.into_iter().map(|((from, to), direction)| Way { from, to, direction });
    let handler = Control { nodes: nodes.into(), ways: ways.collect(), seed };
    let (always_open, door) = watch::channel(true);
    tasks.spawn(async move {
        http::serve_tcp(bound, door, handler).await;
        drop(always_open);
    });
    let ready = Ready { ready: true, pid: std::process::id(), control: url, nodes: by_name };
    Ok(Running { ready, tasks })
}

/// NAME=ADDRESS or NAME=ADDRESS:PORT.
fn node(text: &str) -> Result<Node, String> {
    let (name, address) = text.split_once('=').ok_or("a node is NAME=ADDRESS:PORT")?;
    if name.is_empty() {
        return Err("the node has no name".to_owned());
    }
    let with_port = || address.parse::<SocketAddrV4>().ok();
    let without = || address.parse::<Ipv4Addr>().ok().map(|ip| SocketAddrV4::new(ip, 0));
    let address = with_port().or_else(without).ok_or_else(|| format!("{address} is no IPv4 ADDRESS:PORT"))?;
    Ok(Node { name: name.to_owned(), address })
}

#[cfg(test)]
mod tests;
