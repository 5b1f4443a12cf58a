//! The heart allocates nothing while nothing changes: the core that it drives is run here
//! with an allocator that counts. An allocation could wait for a lock or for memory, and
//! with it a heartbeat.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::Ipv4Addr;

use haagent::proto::claim::event::{ClaimReport, ClaimState, Holder, Look, Source};
use haagent::proto::election::event::{self, Candidacy};
use haagent::proto::heartbeat::NodeState;
use haagent::proto::heartbeat::mac::{Key, Keys};
use haagent::proto::ids::{BootId, GroupId, NodeId, Priority};
use haagent::proto::node::{GroupIndex, GroupParams, Input, Node, Output, Params, PeerIndex};
use haagent::proto::time::{Duration, Time};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code)]
// SAFETY: every call goes on to the system's allocator unchanged; counting touches no heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System.alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const GROUP: GroupIndex = GroupIndex(0);
const INTERVAL: Duration = Duration::from_millis(100);
const DATAGRAM: usize = 1_200;

fn node(now: Time, own: u8, peer: u8) -> Node {
    let address = |last| Ipv4Addr::new(10, 0, 0, last);
    let election = event::Params {
        group: GroupId(1),
        settings: 0,
        own: address(own),
        interval: INTERVAL,
        preempt: false,
        preempt_delay: Duration::from_secs(60),
        claim_timeout: Duration::from_secs(60),
        readiness_interval: Duration::from_secs(300),
        host_up: Time::ORIGIN,
        probe: None,
    };
    let params = Params {
        node: NodeId(own.into()),
        boot: BootId(100 + u64::from(own)),
        own: address(own),
        interval: INTERVAL,
        peers: vec![address(peer)],
        groups: vec![GroupParams { election, peers: vec![PeerIndex(0)], priority: Priority::DEFAULT }],
    };
    let mut node = Node::new(now, params, Keys::new(Key::new(&[1; 32]), None), None);
    let candidacy = Candidacy { healthy: true, priority: Priority::DEFAULT, because: None, since: None };
    node.handle(now, Input::Candidacy { group: GROUP, candidacy });
    node
}

/// Datagrams on their way, in memory that is there from the start.
struct Wire {
    queue: Vec<([u8; DATAGRAM], usize)>,
}

impl Wire {
    fn new() -> Self {
        Self { queue: Vec::with_capacity(64) }
    }

    fn take_from(&mut self, node: &mut Node) {
        while let Some(output) = node.poll_output() {
            if let Output::Transmit { datagram, .. } = output {
                let mut bytes = [0; DATAGRAM];
                bytes[..datagram.len()].copy_from_slice(datagram);
                self.queue.push((bytes, datagram.len()));
            }
        }
    }

    fn give_to(&mut self, now: Time, node: &mut Node) {
        for (bytes, length) in self.queue.drain(..) {
            node.handle(now, Input::Datagram { peer: PeerIndex(0), stamp: now, bytes: &bytes[..length] });
        }
    }
}

#[test]
fn the_core_allocates_nothing_while_nothing_changes() {
    let mut now = Time::from_millis(3_600_000);
    let mut nodes = [node(now, 1, 2), node(now, 2, 1)];
    let mut wires = [Wire::new(), Wire::new()];
    let look = Look { source: Source::Api, begun: now, ended: now, holder: Holder::Mine, settled: true };
    let held = |now, state| ClaimReport {
        state,
        look: Some(look),
        verified: Some(now),
        proof: Some(now),
        ..ClaimReport::default()
    };
    nodes[0].handle(now, Input::Claim { group: GROUP, report: held(now, ClaimState::Idle) });
    let mut before = 0;
    for turn in 0..3_000 {
        if turn == 1_000 {
            nodes[0].handle(now, Input::Claim { group: GROUP, report: held(now, ClaimState::Held) });
        }
        if turn == 2_000 {
            before = ALLOCATIONS.with(Cell::get);
        }
        now += INTERVAL / 10;
        for (sender, wire) in [(0, 0), (1, 1)] {
            nodes[sender].handle(now, Input::Drained);
            wires[wire].take_from(&mut nodes[sender]);
        }
        wires[0].give_to(now, &mut nodes[1]);
        wires[1].give_to(now, &mut nodes[0]);
    }
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    let states = [0, 1].map(|n: usize| nodes[n].view(now).groups[0].state);
    assert_eq!(states, [NodeState::Master, NodeState::Backup]);
    assert!(nodes[1].view(now).links[0].counts.accepted > 200, "they do hear each other");
    assert_eq!(allocations, 0);
}
