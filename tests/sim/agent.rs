//! How one agent is put together from the cores, as `haagent::agent` does it.

use haagent::proto::claim::{self, Reconciler};
use haagent::proto::election::event as election;
use haagent::proto::heartbeat::mac;
use haagent::proto::ids::{BootId, GroupName, NodeName, Priority};
use haagent::proto::node::{self, Node, PeerIndex};
use haagent::proto::time::Time;

use crate::faults::Host;
use crate::planted::Bug;
use crate::world::{Setup, address};

pub(crate) fn priority(number: u8) -> Priority {
    Priority::new(i64::from(number)).unwrap_or(Priority::DEFAULT)
}

/// A node and a reconciler that have just been started.
pub(crate) fn cores(
    setup: &Setup,
    host: Host,
    boot: u64,
    now: Time,
    memory: Option<node::Memory>,
    seed: u64,
) -> (Node, Reconciler) {
    let group = GroupName::new("web").expect("a good name").id();
    let peers: Vec<_> = (0..setup.hosts).filter(|peer| *peer != host).map(address).collect();
    let election = election::Params {
        group,
        settings: 1,
        own: address(host),
        interval: setup.interval,
        preempt: setup.preempt,
        preempt_delay: setup.preempt_delay,
        claim_timeout: setup.claim_timeout,
        readiness_interval: setup.readiness_interval,
        // A host's clock counts from its boot.
        host_up: Time::ORIGIN,
        probe: setup.probe.filter(|_| setup.bug != Some(Bug::IgnoresProbe)),
    };
    let params = node::Params {
        node: NodeName::new(&format!("host-{host}")).expect("a good name").id(),
        boot: BootId(boot),
        own: address(host),
        interval: setup.interval,
        groups: vec![node::GroupParams {
            election,
            peers: (0..peers.len()).map(PeerIndex).collect(),
            priority: priority(setup.priorities[host]),
        }],
        peers,
    };
    let keys = mac::Keys::new(mac::Key::new(&[7; mac::Key::LENGTH]), None);
    let reconciler = Reconciler::new(claim::Params {
        heartbeat_interval: setup.interval,
        verify_interval: setup.verify_interval,
        readiness_interval: setup.readiness_interval,
        claim_timeout: setup.claim_timeout,
        calls_per_minute: crate::invariants::CALLS_PER_MINUTE,
        gated: setup.promote.is_some() && setup.bug != Some(Bug::IgnoresGate),
        seed,
    });
    (Node::new(now, params, keys, memory), reconciler)
}
