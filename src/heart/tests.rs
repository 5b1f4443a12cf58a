//! Real hearts on real loopback sockets: what only the thread and the kernel can show.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::RecvTimeoutError;

use super::*;
use crate::proto::claim::event::{ClaimReport, Holder, Intent, Look, Source};
use crate::proto::election::event as election;
use crate::proto::election::event::Candidacy;
use crate::proto::heartbeat::NodeState;
use crate::proto::heartbeat::mac::Key;
use crate::proto::ids::{BootId, GroupId, NodeId, Priority};
use crate::proto::node::{GroupIndex, GroupParams};

const PATIENCE: Duration = Duration::from_secs(30);
const GROUP: GroupIndex = GroupIndex(0);
/// Long enough that a busy machine is no gap.
const INTERVAL: Duration = Duration::from_millis(200);

/// Addresses of its own for each test, so that they run side by side.
fn pair() -> [Ipv4Addr; 2] {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let third = NEXT.fetch_add(1, Ordering::Relaxed);
    [Ipv4Addr::new(127, 72, third, 1), Ipv4Addr::new(127, 72, third, 2)]
}

fn free_port(address: Ipv4Addr) -> u16 {
    std::net::UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap().port()
}

fn plan(own: Ipv4Addr, peer: Ipv4Addr, port: u16) -> Plan {
    let election = election::Params {
        group: GroupId(7),
        settings: 0,
        own,
        interval: INTERVAL,
        preempt: false,
        preempt_delay: Duration::from_secs(60),
        claim_timeout: Duration::from_secs(60),
        readiness_interval: Duration::from_secs(300),
        host_up: Time::ORIGIN,
        probe: None,
    };
    let group = GroupParams { election, peers: vec![PeerIndex(0)], priority: Priority::DEFAULT };
    let last = u64::from(own.octets()[3]);
    let node = node::Params {
        node: NodeId(last),
        boot: BootId(1_000 + last),
        own,
        interval: INTERVAL,
        peers: vec![peer],
        groups: vec![group],
    };
    let keys = Keys::new(Key::new(&[7; 32]), None);
    Plan { node, keys, memory: None, port, realtime: false, watchdog: None }
}

/// A heart and what it says.
struct Beat {
    heart: Heart,
    news: News,
}

fn begin(own: Ipv4Addr, peer: Ipv4Addr, port: u16) -> Beat {
    let (heart, news) = start(plan(own, peer, port)).unwrap();
    let candidacy = Candidacy { healthy: true, priority: Priority::DEFAULT, because: None, since: None };
    heart.sender.send(ToHeart::Candidacy(GROUP, candidacy)).unwrap();
    Beat { heart, news }
}

impl Beat {
    /// Reads news until one fits; the brain is alive meanwhile.
    fn until<T>(&mut self, fits: impl Fn(&FromHeart) -> Option<T>) -> T {
        self.until_with(fits, |_| {})
    }

    /// The same; each time around, `meanwhile` is done.
    fn until_with<T>(&mut self, fits: impl Fn(&FromHeart) -> Option<T>, meanwhile: impl Fn(&Heart)) -> T {
        let deadline = clock::now() + PATIENCE;
        while clock::now() < deadline {
            self.heart.mark.stamp(clock::now());
            meanwhile(&self.heart);
            match self.news.ring.recv_timeout(INTERVAL / 2) {
                Ok(news) => {
                    if let Some(found) = fits(&news) {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the heart has ended"),
            }
        }
        panic!("not within {PATIENCE:?}");
    }

    fn until_state(&mut self, state: NodeState) -> election::Transition {
        self.until_state_with(state, |_| {})
    }

    fn until_state_with(&mut self, state: NodeState, meanwhile: impl Fn(&Heart)) -> election::Transition {
        let fits = |news: &FromHeart| match news {
            FromHeart::Transition(GROUP, transition) if transition.to == state => Some(transition.clone()),
            _ => None,
        };
        self.until_with(fits, meanwhile)
    }

    fn view(&mut self) -> HeartView {
        self.heart.sender.send(ToHeart::View).unwrap();
        self.until(|news| match news {
            FromHeart::View(view) => Some(HeartView { node: view.node.clone(), ..**view }),
            _ => None,
        })
    }

    /// Asks for views until one fits.
    fn until_view(&mut self, fits: impl Fn(&HeartView) -> bool) -> HeartView {
        let deadline = clock::now() + PATIENCE;
        while clock::now() < deadline {
            let view = self.view();
            if fits(&view) {
                return view;
            }
            std::thread::yield_now();
        }
        panic!("not within {PATIENCE:?}");
    }
}

#[test]
fn two_hearts_hear_each_other_and_measure_the_way() {
    let [a, b] = pair();
    let port = free_port(a);
    let (mut one, mut other) = (begin(a, b, port), begin(b, a, port));
    assert_eq!(one.heart.interface, "lo");
    for heart in [&mut one, &mut other] {
        let view = heart.until_view(|view| view.node.links[0].echoed && view.node.links[0].rtt.is_some());
        let link = view.node.links[0];
        assert!(link.rtt.unwrap() < Duration::from_secs(1) && link.counts.accepted > 0, "{link:?}");
    }
}

#[test]
fn without_a_peer_the_heart_looks_for_the_truth_and_becomes_backup() {
    let [a, b] = pair();
    let mut alone = begin(a, b, free_port(a));
    let wanted = alone.until(|news| match news {
        FromHeart::Intent(GROUP, intent) => Some(*intent),
        _ => None,
    });
    assert_eq!(wanted, Intent::Watch);
    assert_eq!(alone.until_state(NodeState::Backup).reason, election::Reason::Listened { master: None });
}

#[test]
fn what_the_heart_is_told_comes_back_as_what_it_wants() {
    let [a, b] = pair();
    let mut heart = begin(a, b, free_port(a));
    let transition = heart.until_state_with(NodeState::Master, |heart| {
        // Told anew all the time: on a busy machine the heart may begin again, and wants a look since then.
        let now = clock::now();
        let look = Look { source: Source::Api, begun: now, ended: now, holder: Holder::Mine, settled: true };
        heart.sender.send(ToHeart::Claim(GROUP, ClaimReport { look: Some(look), ..ClaimReport::default() })).unwrap();
    });
    assert_eq!(transition.reason, election::Reason::Resume);
    let held = heart.until(|news| match news {
        FromHeart::Intent(GROUP, Intent::Hold(hold)) => Some(hold.term),
        _ => None,
    });
    assert_eq!(held, transition.term);
}

#[test]
fn a_stop_says_goodbye_and_ends_the_thread() {
    let [a, b] = pair();
    let port = free_port(a);
    let (mut one, mut other) = (begin(a, b, port), begin(b, a, port));
    one.until_view(|view| view.node.links[0].echoed);
    one.heart.sender.send(ToHeart::Stop { resign: true }).unwrap();
    one.until(|news| matches!(news, FromHeart::Stopped).then_some(()));
    let left = |view: &HeartView| view.node.groups[0].peers[0].report.is_some_and(|report| report.leaving.is_some());
    other.until_view(left);
    let last = one.news.ring.recv_timeout(PATIENCE);
    assert!(matches!(last, Err(RecvTimeoutError::Disconnected)), "{last:?}");
    // Its other end goes a moment later.
    while one.heart.sender.send(ToHeart::View).is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn a_dead_brain_makes_the_heart_resign_and_fall_silent() {
    let [a, b] = pair();
    let port = free_port(a);
    let (mut one, mut other) = (begin(a, b, port), begin(b, a, port));
    other.until_view(|view| view.node.links[0].echoed);
    // Nobody stamps the mark of `one` any more.
    let left = |view: &HeartView| view.node.groups[0].peers[0].report.is_some_and(|report| report.leaving.is_some());
    other.until_view(left);
    let silent_from = other.view().node.links[0].heard_at.unwrap();
    let silent = |view: &HeartView| {
        let heard = view.node.links[0].heard_at.unwrap();
        view.at - heard > INTERVAL * 4 && heard - silent_from < INTERVAL * 2
    };
    other.until_view(silent);
    // Its mark is stamped again by now; what was said stays said.
    assert!(one.until_view(|_| true).node.groups[0].reason == Some(election::Reason::BrainStale));
}

#[test]
fn garbage_and_forgeries_are_counted_and_change_nothing() {
    let [a, b] = pair();
    let port = free_port(a);
    let mut heart = begin(a, b, port);
    let forger = std::net::UdpSocket::bind((b, port)).unwrap();
    forger.connect((a, port)).unwrap();
    let datagrams: [&[u8]; 4] = [b"", b"short", &[0; 100], &[0xff; 1_400]];
    for datagram in datagrams {
        forger.send(datagram).unwrap();
    }
    let counted = |view: &HeartView| {
        let counts = view.node.links[0].counts;
        counts.malformed == 3 && counts.wrong_key == 1
    };
    let view = heart.until_view(counted);
    assert_eq!((view.node.links[0].heard_at, view.node.links[0].counts.accepted), (None, 0));
    // From an address that is no peer nothing arrives at all.
    let stranger = std::net::UdpSocket::bind((Ipv4Addr::new(127, 72, 254, 9), 0)).unwrap();
    stranger.send_to(&[0; 64], (a, port)).unwrap();
    forger.send(b"again").unwrap();
    let view = heart.until_view(|view| view.node.links[0].counts.malformed == 4);
    assert_eq!(view.node.links[0].counts.wrong_key, 1);
}

#[test]
fn a_second_agent_is_refused_at_the_start() {
    let [a, b] = pair();
    let port = free_port(a);
    let _one = begin(a, b, port);
    let error = start(plan(a, b, port)).unwrap_err();
    assert!(matches!(error, StartError::Socket(_)), "{error}");
}
