//! Datagrams of somebody else, from a peer's own address and port: replayed, forged, garbage.

use std::net::{Ipv4Addr, SocketAddrV4};

use haagent::sys::clock;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::lab::node::Node;
use super::lab::wait::{DEADLINE, until};
use super::lab::{Lab, Setup};
use super::step::{Expected, step};

/// A socket on a node's own heartbeat address and port. All sockets of the agent allow that
/// (SO_REUSEADDR): the agent has one for each peer.
struct Intruder {
    socket: Socket,
    port: u16,
}

impl Intruder {
    fn at(address: Ipv4Addr, port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddrV4::new(address, port).into()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, port }
    }

    fn send(&self, to: Ipv4Addr, datagram: &[u8]) {
        // A full queue of the receiver drops it, as it would any other.
        drop(self.socket.send_to(datagram, &SocketAddrV4::new(to, self.port).into()));
    }
}

/// Takes some datagrams on their way: of the sockets that are connected alike, the newest gets
/// them. Returns when the receiver has heard the sender again.
fn steal(lab: &Lab, from: &Node, to: &Node, count: usize) -> Vec<Vec<u8>> {
    let thief = Intruder::at(to.address, lab.port);
    thief.socket.connect(&SocketAddrV4::new(from.address, lab.port).into()).unwrap();
    let mut stolen = Vec::new();
    while stolen.len() < count {
        let mut buffer = [0_u8; 2048];
        let length = std::io::Read::read(&mut &thief.socket, &mut buffer).unwrap();
        stolen.push(buffer[..length].to_vec());
    }
    drop(thief);
    let gone = clock::now();
    let heard = until(DEADLINE, || {
        let since = (clock::now() - gone).as_millis();
        let peer = to.peer(from.address)?;
        let age = peer["heard_ms_ago"].as_u64().map(u128::from);
        if age.is_some_and(|age| age < since) { Ok(()) } else { Err(peer.to_string()) }
    });
    heard.unwrap_or_else(|why| panic!("{} does not hear {} again: {why}", to.name, from.name));
    stolen
}

fn rejected(lab: &Lab, by: &str, from: &str, why: &str) -> Result<u64, String> {
    let peer = lab.node(by).peer(lab.node(from).address)?;
    peer["rejected"][why].as_u64().ok_or_else(|| peer.to_string())
}

#[test]
fn datagrams_recorded_before_a_restart_do_not_keep_a_dead_master_alive() {
    let lab = Lab::settled(Setup::default());
    // They name b's present run, and they say that a is master and holds the address. Not too
    // many at once, or b would miss them.
    let mut recorded = Vec::new();
    while recorded.len() < 15 {
        recorded.extend(steal(&lab, lab.node("a"), lab.node("b"), 3));
    }
    let of_b = lab.node("b").address;
    let of_a = lab.node("a").address;
    let boot = |lab: &Lab| lab.node("a").status().map(|status| status["started"].clone());
    let before = boot(&lab).unwrap();
    step(
        &lab,
        "a restarts",
        |lab| {
            lab.node("a").command(&["restart"]).expect_code(0);
            lab.node("a").kill9();
            lab.node("a").start();
        },
        &Expected::nothing_moves("a", &["a"], &|lab| {
            let heard = lab.node("b").peer(of_a)?;
            let now = boot(lab)?;
            if now != before && heard["presence"] == "heard" { Ok(()) } else { Err(heard.to_string()) }
        }),
    );
    let ignored = rejected(&lab, "b", "a", "replayed").unwrap();
    step(
        &lab,
        "a is killed and what it said is replayed",
        |lab| {
            lab.node("a").kill9();
            let replayer = Intruder::at(of_a, lab.port);
            // At the pace of a living master, for five times as long as a dead one is waited for.
            let taken = recorded.iter().any(|datagram| {
                replayer.send(of_b, datagram);
                let b_is_master = || {
                    let group = lab.node("b").group()?;
                    if group["state"] == "master" { Ok(()) } else { Err(group.to_string()) }
                };
                until(lab.interval(), b_is_master).is_ok()
            });
            assert!(taken, "b believes that a master lives which is dead");
        },
        &Expected::one_move("a", &[("b", "master", "silent")]).and(&|lab| {
            let counted = rejected(lab, "b", "a", "replayed")?;
            if counted > ignored { Ok(()) } else { Err("nothing was counted as replayed".to_owned()) }
        }),
    );
}

#[test]
fn forged_and_broken_datagrams_from_a_peers_address_are_dropped_and_counted() {
    let lab = Lab::settled(Setup::default());
    let (a, b) = (lab.node("a"), lab.node("b"));
    let genuine = steal(&lab, a, b, 2);
    lab.settle("a");
    let memory = b.agent().peak_memory();
    let rounds: u8 = 40;
    let counts = || -> Result<[u64; 3], String> {
        Ok([
            rejected(&lab, "b", "a", "wrong_key")?,
            rejected(&lab, "b", "a", "malformed")?,
            rejected(&lab, "b", "a", "replayed")?,
        ])
    };
    let before = counts().unwrap();
    step(
        &lab,
        "garbage, truncated, forged and replayed datagrams",
        |lab| {
            let forger = Intruder::at(lab.node("a").address, lab.port);
            let to = lab.node("b").address;
            for round in 0..rounds {
                for datagram in bad_datagrams(&genuine, round) {
                    forger.send(to, &datagram);
                }
                // It reads them while they come.
                lab.node("b").group().unwrap();
            }
        },
        &Expected::nothing_moves("a", &["a"], &|_| {
            let now = counts()?;
            let all_counted = now.iter().zip(before).all(|(now, before)| *now > before + u64::from(rounds) / 2);
            if all_counted { Ok(()) } else { Err(format!("wrong key, malformed, replayed: {before:?} -> {now:?}")) }
        }),
    );
    super::bad_input::assert_flat(memory, b.agent().peak_memory());
    // And they did no harm that lasts: what a says is heard.
    lab.settle("a");
    let peer: Value = b.peer(a.address).unwrap();
    assert!(peer["heard_ms_ago"].as_u64().is_some_and(|age| age < 2_000), "{peer}");
}

/// Of every kind one that this round has not sent before.
fn bad_datagrams(genuine: &[Vec<u8>], round: u8) -> Vec<Vec<u8>> {
    let mut bad = vec![Vec::new(), vec![round], vec![0xff; 15], vec![round; 400], vec![0; 1_500], vec![round; 9_000]];
    for datagram in genuine {
        bad.push(datagram.clone());
        bad.push(datagram[..datagram.len() / 2].to_vec());
        bad.push(datagram[..datagram.len() - 1].to_vec());
        let mut changed = datagram.clone();
        let place = usize::from(round) % changed.len();
        changed[place] ^= 1;
        bad.push(changed);
        bad.push([datagram.as_slice(), &[round; 16]].concat());
    }
    bad
}

#[test]
fn a_few_lost_datagrams_move_nothing() {
    let lab = Lab::settled(Setup::default());
    let lost = std::cell::Cell::new(0);
    step(
        &lab,
        "three datagrams of the master are lost",
        |lab| lost.set(steal(lab, lab.node("a"), lab.node("b"), 3).len()),
        &Expected::nothing_moves("a", &["a"], &|_| {
            if lost.get() == 3 { Ok(()) } else { Err("none was lost".to_owned()) }
        }),
    );
}
