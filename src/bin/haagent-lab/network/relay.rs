//! Carries the datagrams of one direction from a socket to a socket.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::direction::{Direction, Fate};
use crate::clock::Clock;
use crate::http::pause;

/// The longest payload that UDP has: nothing is ever cut short.
const LONGEST: usize = 65_535;
/// Datagrams of one direction that are under way at one time: an agent sends a few in a second, and
/// the longest delay is two minutes.
const MAX_UNDER_WAY: usize = 4_096;
/// After an error of the socket, so that one that stays cannot take the CPU.
const ERROR_PAUSE: Duration = Duration::from_millis(1);

/// A direction that its task and the control endpoint share. The lock is never held across a wait.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Direction>>);

impl Shared {
    pub(super) fn new(direction: Direction) -> Self {
        Self(Arc::new(Mutex::new(direction)))
    }

    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Direction) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A datagram under way. Ordered by when it is due, then by when it came.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    due: Duration,
    number: u64,
    bytes: Vec<u8>,
}

/// Carries for ever, from one node's socket to the other's. It may be cancelled at any time, and what
/// is under way is then lost. `back` is the other direction, which sends on `from`: its errors come here.
pub(super) async fn carry(direction: Shared, back: Shared, from: Arc<UdpSocket>, to: Arc<UdpSocket>) {
    let clock = Clock::start();
    let mut buffer = vec![0; LONGEST];
    let mut under_way: BinaryHeap<Reverse<UnderWay>> = BinaryHeap::new();
    let mut number = 0;
    loop {
        let next = under_way.peek().map(|Reverse(first)| first.due.saturating_sub(clock.now()));
        tokio::select! {
            received = from.recv(&mut buffer) => match received {
                Ok(length) => {
                    let Fate { first, second } = direction.with(Direction::judge);
                    for delay in [first, second].into_iter().flatten() {
                        let bytes = &buffer[..length];
                        if delay.is_zero() {
                            pass(&direction, &to, bytes);
                        } else if under_way.len() >= MAX_UNDER_WAY {
                            direction.with(|direction| direction.counters.overflowed += 1);
                        } else {
                            number += 1;
                            let due = clock.now() + delay;
                            under_way.push(Reverse(UnderWay { due, number, bytes: bytes.to_vec() }));
                        }
                    }
                }
                Err(error) => {
                    back.with(|back| count_failure(back, &error));
                    pause(ERROR_PAUSE).await;
                }
            },
            () = pause(next.unwrap_or_default()), if next.is_some() => {
                while let Some(Reverse(first)) = under_way.peek() {
                    if first.due > clock.now() {
                        break;
                    }
                    let Some(Reverse(first)) = under_way.pop() else { break };
                    let cut = direction.with(|direction| {
                        direction.counters.cut += u64::from(direction.faults.cut);
                        direction.faults.cut
                    });
                    if !cut {
                        pass(&direction, &to, &first.bytes);
                    }
                }
            }
        }
    }
}

/// Sends, or drops as a full queue does.
fn pass(direction: &Shared, to: &UdpSocket, bytes: &[u8]) {
    direction.with(|direction| {
        let mut sent = to.try_send(bytes);
        if let Err(error) = &sent
            && error.kind() == ErrorKind::ConnectionRefused
        {
            // The kernel tells of an earlier one, and has not sent this one.
            count_failure(direction, error);
            sent = to.try_send(bytes);
        }
        match sent {
            Ok(_) => direction.counters.passed += 1,
            Err(error) => count_failure(direction, &error),
        }
    });
}

fn count_failure(direction: &mut Direction, error: &io::Error) {
    match error.kind() {
        ErrorKind::ConnectionRefused => direction.counters.refused += 1,
        _ => direction.counters.overflowed += 1,
    }
}
