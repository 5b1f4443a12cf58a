//! How one agent is put together from the cores, as `haagent::agent` does it.

use haagent::proto::claim::{self, Reconciler};
use haagent::proto::election::event as election;
use haagent::proto::heartbeat::mac;
use haagent::proto::ids::{BootId, GroupName, NodeName, Priority};
use haagent::proto::node::{self, Node, PeerIndex};
use haagent::proto::time::Time;

use crate::faults::{File, Host};
use crate::planted::Bug;
use crate::world::{Setup, address};

pub(crate) fn priority(number: u8) -> Priority {
    Priority::new(i64::from(number)).unwrap_or(Priority::DEFAULT)
}

/// A node and a reconciler that have just been started.
pub(crate) fn cores(
    setup: &Setup,
    file: File,
    host: Host,
    boot: u64,
    now: Time,
    memory: Option<node::Memory>,
    seed: u64,
) -> (Node, Reconciler) {
    let peers: Vec<_> = (0..setup.hosts).filter(|peer| *peer != host).map(address).collect();
    let params = node::Params {
        node: NodeName::new(&format!("host-{host}")).expect("a good name").id(),
        boot: BootId(boot),
        own: address(host),
        interval: setup.interval,
        groups: vec![node::GroupParams {
            election: election_params(setup, file, host),
            peers: (0..peers.len()).map(PeerIndex).collect(),
            priority: priority(file.priority),
        }],
        peers,
    };
    let keys = mac::Keys::new(mac::Key::new(&[7; mac::Key::LENGTH]), None);
    let reconciler = Reconciler::new(claim_params(setup, file, seed));
    (Node::new(now, params, keys, memory), reconciler)
}

/// What an election is told at its start, and by a reload.
pub(crate) fn election_params(setup: &Setup, file: File, host: Host) -> election::Params {
    election::Params {
        group: GroupName::new("web").expect("a good name").id(),
        // Equal where the files are.
        settings: settings(file),
        own: address(host),
        interval: setup.interval,
        preempt: file.preempt,
        preempt_delay: setup.preempt_delay,
        claim_timeout: file.claim_timeout,
        readiness_interval: setup.readiness_interval,
        // A host's clock counts from its boot.
        host_up: Time::ORIGIN,
        probe: file.probe.then(|| setup.probe_limit()).filter(|_| setup.bug != Some(Bug::IgnoresProbe)),
    }
}

fn settings(file: File) -> u32 {
    let bits = [file.preempt, file.probe, file.gate];
    bits.iter().fold(u32::try_from(file.claim_timeout.as_millis()).unwrap_or(u32::MAX), |hash, bit| {
        hash.wrapping_mul(2) + u32::from(*bit)
    })
}

/// The same for a claim.
pub(crate) fn claim_params(setup: &Setup, file: File, seed: u64) -> claim::Params {
    claim::Params {
        heartbeat_interval: setup.interval,
        verify_interval: setup.verify_interval,
        readiness_interval: setup.readiness_interval,
        claim_timeout: file.claim_timeout,
        calls_per_minute: crate::invariants::CALLS_PER_MINUTE,
        gated: file.gate && setup.bug != Some(Bug::IgnoresGate),
        seed,
    }
}
