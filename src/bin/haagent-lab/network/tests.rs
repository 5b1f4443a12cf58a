//! The network over real sockets, with a socket for each agent.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

use super::wire::{Between, Change, Changed, Counters, State};
use super::*;
use crate::testing::{self, PATIENCE};

/// A network, and for each node a socket as its agent would have it.
struct Tried {
    control: String,
    nodes: Vec<SocketAddrV4>,
    agents: Vec<UdpSocket>,
    _running: Running,
}

/// The last part keeps tests that run at the same time apart.
async fn network(third: u8, count: u8) -> Tried {
    let nodes = (1..=count).map(|n| node(&format!("n{n}=127.0.{third}.{n}")).unwrap()).collect();
    let control = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let running = Options { nodes, control, seed: 1, until_stdin_closes: false }.start().unwrap();
    let nodes: Vec<SocketAddrV4> = running.ready.nodes.values().copied().collect();
    let mut agents = Vec::new();
    for node in &nodes {
        agents.push(UdpSocket::bind(node).await.unwrap());
    }
    Tried { control: running.ready.control.clone(), nodes, agents, _running: running }
}

impl Tried {
    /// As the agent of `from` sends to its peer `to`: to the peer's address, on its own port.
    async fn send(&self, from: usize, to: usize, bytes: &[u8]) {
        let towards = SocketAddrV4::new(*self.nodes[to].ip(), self.nodes[from].port());
        assert_eq!(self.agents[from].send_to(bytes, towards).await.unwrap(), bytes.len());
    }

    async fn receive(&self, at: usize) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 70_000];
        let received = tokio::time::timeout(PATIENCE, self.agents[at].recv_from(&mut buffer)).await;
        let (length, from) = received.expect("a datagram comes").unwrap();
        (buffer[..length].to_vec(), from)
    }

    async fn ask(&self, method: &str, body: &str) -> testing::Got {
        testing::call(&self.control, method, "/faults", None, Some(body)).await.unwrap()
    }

    async fn change(&self, change: Change) -> Changed {
        let got = self.ask("POST", &serde_json::to_string(&change).unwrap()).await;
        assert_eq!(got.status, 200, "{}", got.text());
        serde_json::from_value(got.json()).unwrap()
    }

    async fn state(&self) -> State {
        let got = testing::call(&self.control, "GET", "/state", None, None).await.unwrap();
        serde_json::from_value(got.json()).unwrap()
    }

    async fn counters(&self, from: &str, to: &str) -> Counters {
        let state = self.state().await;
        let way = state.directions.iter().find(|way| way.from == from && way.to == to);
        way.expect("the direction is there").counters
    }

    /// Waits until the counters of a direction are so.
    async fn counted(&self, from: &str, to: &str, so: impl Fn(Counters) -> bool) {
        let counted = async {
            while !so(self.counters(from, to).await) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, counted).await.expect("the counters come to that");
    }
}

fn on(from: &str, to: &str, one_way: bool) -> Between {
    Between { from: Some(from.to_owned()), to: Some(to.to_owned()), one_way }
}

#[tokio::test]
async fn every_pair_hears_each_other_from_the_right_addresses() {
    let network = network(41, 3).await;
    for from in 0..3 {
        for to in (0..3).filter(|to| *to != from) {
            let word = format!("{from} to {to}");
            network.send(from, to, word.as_bytes()).await;
            let (bytes, source) = network.receive(to).await;
            // An agent is connected to its peer's address and its own port: nothing else is let in.
            let expected = SocketAddrV4::new(*network.nodes[from].ip(), network.nodes[to].port());
            assert_eq!((bytes, source), (word.into_bytes(), SocketAddr::V4(expected)));
        }
    }
    let ports: BTreeSet<u16> = network.nodes.iter().map(SocketAddrV4::port).collect();
    assert_eq!(ports.len(), 3);
}

#[tokio::test]
async fn the_longest_datagram_passes_whole_and_so_does_an_empty_one() {
    let network = network(42, 2).await;
    let longest: Vec<u8> = (0..65_507_u32).map(|n| n.to_le_bytes()[0]).collect();
    for bytes in [longest.as_slice(), &[]] {
        network.send(0, 1, bytes).await;
        assert_eq!(network.receive(1).await.0, bytes);
    }
}

#[tokio::test]
async fn a_cut_is_one_way_or_both_and_healing_ends_it() {
    let network = network(43, 2).await;
    let cut = |one_way| Change { on: on("n1", "n2", one_way), cut: Some(true), ..Change::default() };
    assert_eq!(network.change(cut(true)).await.directions.len(), 1);
    network.send(0, 1, b"lost").await;
    network.counted("n1", "n2", |counters| counters.cut == 1).await;
    network.send(1, 0, b"the other way").await;
    assert_eq!(network.receive(0).await.0, b"the other way");

    assert_eq!(network.change(cut(false)).await.directions.len(), 2);
    network.send(1, 0, b"lost too").await;
    network.counted("n2", "n1", |counters| counters.cut == 1).await;

    assert_eq!(network.ask("DELETE", "").await.status, 200);
    network.send(0, 1, b"after").await;
    network.send(1, 0, b"after").await;
    assert_eq!((network.receive(0).await.0, network.receive(1).await.0), (b"after".to_vec(), b"after".to_vec()));
    let both = (network.counters("n1", "n2").await, network.counters("n2", "n1").await);
    assert_eq!((both.0.arrived, both.0.passed, both.1.arrived, both.1.passed), (2, 1, 3, 2));
}

#[tokio::test]
async fn a_node_is_cut_off_from_all_and_only_it() {
    let network = network(44, 3).await;
    let alone = Between { from: Some("n1".to_owned()), ..Between::default() };
    let changed = network.change(Change { on: alone, cut: Some(true), ..Change::default() }).await;
    assert_eq!(changed.directions.len(), 4);
    network.send(0, 1, b"lost").await;
    network.counted("n1", "n2", |counters| counters.cut == 1).await;
    network.send(2, 1, b"heard").await;
    assert_eq!(network.receive(1).await.0, b"heard");
}

#[tokio::test]
async fn what_is_delayed_overtakes_and_nothing_is_lost() {
    let network = network(45, 2).await;
    let change = Change { on: on("n1", "n2", true), jitter_ms: Some(40), delay_ms: Some(1), ..Change::default() };
    network.change(change).await;
    for n in 0..100_u8 {
        network.send(0, 1, &[n]).await;
    }
    let mut came = Vec::new();
    for _ in 0..100 {
        came.push(network.receive(1).await.0[0]);
    }
    assert!(!came.is_sorted(), "jitter reorders");
    came.sort_unstable();
    assert_eq!(came, (0..100).collect::<Vec<u8>>());
}

#[tokio::test]
async fn a_cut_loses_what_is_under_way() {
    let network = network(46, 2).await;
    network.change(Change { on: on("n1", "n2", true), delay_ms: Some(300), ..Change::default() }).await;
    network.send(0, 1, b"under way").await;
    network.counted("n1", "n2", |counters| counters.arrived == 1).await;
    network.change(Change { on: on("n1", "n2", true), cut: Some(true), ..Change::default() }).await;
    network.counted("n1", "n2", |counters| counters.cut == 1).await;
}

#[tokio::test]
async fn a_duplicate_comes_twice_and_a_loss_of_all_never() {
    let network = network(47, 2).await;
    network.change(Change { on: on("n1", "n2", true), duplicate: Some(1.0), ..Change::default() }).await;
    network.send(0, 1, b"twice").await;
    assert_eq!((network.receive(1).await.0, network.receive(1).await.0), (b"twice".to_vec(), b"twice".to_vec()));
    network.change(Change { on: on("n1", "n2", true), loss: Some(1.0), ..Change::default() }).await;
    network.send(0, 1, b"lost").await;
    network.counted("n1", "n2", |counters| counters.lost == 1).await;
}

#[tokio::test]
async fn a_dead_agent_stops_nothing_and_is_heard_again_when_it_is_back() {
    let mut network = network(48, 2).await;
    drop(network.agents.pop());
    network.send(0, 1, b"nobody").await;
    network.counted("n1", "n2", |counters| counters.refused == 1).await;
    network.agents.push(UdpSocket::bind(network.nodes[1]).await.unwrap());
    network.send(0, 1, b"back").await;
    assert_eq!(network.receive(1).await.0, b"back");
}

#[tokio::test]
async fn too_much_under_way_is_dropped_and_counted() {
    let network = network(49, 2).await;
    network.change(Change { on: on("n1", "n2", true), delay_ms: Some(60_000), ..Change::default() }).await;
    // In steps, so that the kernel's own queue never is the one that drops.
    for hundred in 1..=42 {
        for _ in 0..100 {
            network.send(0, 1, b"x").await;
        }
        network.counted("n1", "n2", |counters| counters.arrived == hundred * 100).await;
    }
    assert_eq!(network.counters("n1", "n2").await.overflowed, 4_200 - 4_096);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let network = network(50, 2).await;
    for (body, status, why) in [
        ("{}", 400, "nothing to change"),
        ("no", 400, "the body is not what this takes"),
        (r#"{"on":{"from":"n1"},"loss":2}"#, 400, "from 0 to 1, not 2"),
        (r#"{"on":{"from":"n1","to":"n1"},"cut":true}"#, 400, "name two nodes"),
        (r#"{"on":{"one_way":true},"cut":true}"#, 400, "Name the sender"),
        (r#"{"on":{"to":"web"},"cut":true}"#, 404, "there are n1, n2"),
        (r#"{"on":{"to":"n1"},"cuts":true}"#, 400, "unknown field"),
    ] {
        let got = network.ask("POST", body).await;
        assert!(got.status == status && got.text().contains(why), "{body}: {} {}", got.status, got.text());
    }
    assert!(network.state().await.directions.iter().all(|way| way.faults == super::wire::Faults::default()));
}

#[test]
fn nodes_that_cannot_be_told_apart_are_refused() {
    let refused = |nodes: &[&str]| {
        let nodes = nodes.iter().map(|text| node(text).unwrap()).collect();
        let control = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = Options { nodes, control, seed: 1, until_stdin_closes: false };
        options.start().unwrap_err().to_string()
    };
    for (nodes, why) in [
        (["a=127.0.51.1:7001", "b=127.0.51.2:7001"].as_slice(), "the port 7001"),
        (&["a=127.0.51.1:7001", "b=127.0.51.1:7002"], "the address 127.0.51.1"),
        (&["a=127.0.51.1", "a=127.0.51.2"], "the name a"),
        (&["a=127.0.51.1"], "two at least"),
    ] {
        assert!(refused(nodes).contains(why), "{nodes:?}: {}", refused(nodes));
    }
    for wrong in ["a", "=127.0.0.1", "a=somewhere", "a=[::1]:1"] {
        assert!(node(wrong).is_err(), "{wrong}");
    }
}
