//! Real hearts on real loopback sockets: what only the thread and the kernel can show.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::time::timeout;

use super::*;
use crate::proto::claim::event::{ClaimReport, Intent};
use crate::proto::election::event as election;
use crate::proto::election::event::Candidacy;
use crate::proto::heartbeat::NodeState;
use crate::proto::heartbeat::mac::Key;
use crate::proto::ids::{BootId, GroupId, NodeId, Priority};
use crate::proto::node::{GroupIndex, GroupParams};

const PATIENCE: Duration = Duration::from_secs(10);
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

fn begin(own: Ipv4Addr, peer: Ipv4Addr, port: u16) -> Heart {
    let heart = start(plan(own, peer, port)).unwrap();
    let candidacy = Candidacy { healthy: true, priority: Priority::DEFAULT, because: None };
    heart.sender.send(ToHeart::Candidacy(GROUP, candidacy)).unwrap();
    heart
}

/// Reads news until one fits; the brain is alive meanwhile.
async fn until<T>(heart: &mut Heart, mut fits: impl FnMut(&FromHeart) -> Option<T>) -> T {
    let found = async {
        loop {
            heart.mark.stamp(clock::now());
            let next = timeout(Duration::from_millis(100), heart.news.next()).await;
            if let Ok(news) = next
                && let Some(found) = fits(&news.expect("the heart beats"))
            {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("within 10 s")
}

async fn until_state(heart: &mut Heart, state: NodeState) -> election::Transition {
    until(heart, |news| match news {
        FromHeart::Transition(GROUP, transition) if transition.to == state => Some(transition.clone()),
        _ => None,
    })
    .await
}

async fn view(heart: &mut Heart) -> HeartView {
    heart.sender.send(ToHeart::View).unwrap();
    until(heart, |news| match news {
        FromHeart::View(view) => Some(HeartView { node: view.node.clone(), ..**view }),
        _ => None,
    })
    .await
}

/// Asks for views until one fits.
async fn until_view(heart: &mut Heart, fits: impl Fn(&HeartView) -> bool) -> HeartView {
    let found = async {
        loop {
            let view = view(heart).await;
            if fits(&view) {
                return view;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("within 10 s")
}

#[tokio::test]
async fn two_hearts_hear_each_other_and_measure_the_way() {
    let [a, b] = pair();
    let port = free_port(a);
    let (mut one, mut other) = (begin(a, b, port), begin(b, a, port));
    assert_eq!(one.interface, "lo");
    for heart in [&mut one, &mut other] {
        let view = until_view(heart, |view| view.node.links[0].echoed && view.node.links[0].rtt.is_some()).await;
        let link = view.node.links[0];
        assert!(link.rtt.unwrap() < Duration::from_secs(1) && link.counts.accepted > 0, "{link:?}");
    }
}

#[tokio::test]
async fn without_a_peer_the_heart_looks_for_the_truth_and_becomes_backup() {
    let [a, b] = pair();
    let mut alone = begin(a, b, free_port(a));
    let wanted = until(&mut alone, |news| match news {
        FromHeart::Intent(GROUP, intent) => Some(*intent),
        _ => None,
    });
    assert_eq!(wanted.await, Intent::Watch);
    assert_eq!(until_state(&mut alone, NodeState::Backup).await.reason, election::Reason::Listened { master: None });
}

#[tokio::test]
async fn what_the_heart_is_told_comes_back_as_what_it_wants() {
    let [a, b] = pair();
    let mut heart = begin(a, b, free_port(a));
    let now = clock::now();
    let look = crate::proto::claim::event::Look {
        source: crate::proto::claim::event::Source::Api,
        begun: now,
        ended: now,
        holder: crate::proto::claim::event::Holder::Mine,
        settled: true,
    };
    heart.sender.send(ToHeart::Claim(GROUP, ClaimReport { look: Some(look), ..ClaimReport::default() })).unwrap();
    let transition = until_state(&mut heart, NodeState::Master).await;
    assert_eq!(transition.reason, election::Reason::Resume);
    let held = until(&mut heart, |news| match news {
        FromHeart::Intent(GROUP, Intent::Hold(hold)) => Some(hold.term),
        _ => None,
    });
    assert_eq!(held.await, transition.term);
}

#[tokio::test]
async fn a_stop_says_goodbye_and_ends_the_thread() {
    let [a, b] = pair();
    let port = free_port(a);
    let (mut one, mut other) = (begin(a, b, port), begin(b, a, port));
    until_view(&mut one, |view| view.node.links[0].echoed).await;
    one.sender.send(ToHeart::Stop { resign: true }).unwrap();
    until(&mut one, |news| matches!(news, FromHeart::Stopped).then_some(())).await;
    let left = |view: &HeartView| view.node.groups[0].peers[0].report.is_some_and(|report| report.leaving.is_some());
    until_view(&mut other, left).await;
    assert!(timeout(PATIENCE, one.news.next()).await.unwrap().is_none(), "the heart is gone");
    assert!(one.sender.send(ToHeart::View).is_err());
}

#[tokio::test]
async fn a_dead_brain_makes_the_heart_resign_and_fall_silent() {
    let [a, b] = pair();
    let port = free_port(a);
    let (mut one, mut other) = (begin(a, b, port), begin(b, a, port));
    until_view(&mut other, |view| view.node.links[0].echoed).await;
    // Nobody stamps the mark of `one` any more.
    let left = |view: &HeartView| view.node.groups[0].peers[0].report.is_some_and(|report| report.leaving.is_some());
    until_view(&mut other, left).await;
    let silent_from = view(&mut other).await.node.links[0].heard_at.unwrap();
    let silent = |view: &HeartView| {
        let heard = view.node.links[0].heard_at.unwrap();
        view.at - heard > INTERVAL * 4 && heard - silent_from < INTERVAL * 2
    };
    until_view(&mut other, silent).await;
    let reason = until(&mut one, |news| match news {
        FromHeart::Transition(GROUP, transition) => Some(transition.reason.clone()),
        _ => None,
    });
    // The mark is stamped again by `until`; what was said stays said.
    let _ = reason.await;
    assert!(until_view(&mut one, |_| true).await.node.groups[0].reason == Some(election::Reason::BrainStale));
}

#[tokio::test]
async fn garbage_and_forgeries_are_counted_and_change_nothing() {
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
    let view = until_view(&mut heart, counted).await;
    assert_eq!((view.node.links[0].heard_at, view.node.links[0].counts.accepted), (None, 0));
    // From an address that is no peer nothing arrives at all.
    let stranger = std::net::UdpSocket::bind((Ipv4Addr::new(127, 72, 254, 9), 0)).unwrap();
    stranger.send_to(&[0; 64], (a, port)).unwrap();
    forger.send(b"again").unwrap();
    let view = until_view(&mut heart, |view| view.node.links[0].counts.malformed == 4).await;
    assert_eq!(view.node.links[0].counts.wrong_key, 1);
}

#[tokio::test]
async fn a_second_agent_is_refused_at_the_start() {
    let [a, b] = pair();
    let port = free_port(a);
    let _one = begin(a, b, port);
    let error = start(plan(a, b, port)).unwrap_err();
    assert!(matches!(error, StartError::Socket(_)), "{error}");
}
