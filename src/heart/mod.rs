//! The thread that beats: it owns the heartbeat sockets, drives the [`Node`] and waits
//! for nobody.
//!
//! One turn of its loop: wait for a datagram, a message or a deadline; read every queued
//! datagram; then evaluate the rules once (rule 1), send what is to be sent, and tell the
//! agent. It allocates nothing while nothing changes, never logs, and shares no lock with a task.
//!
//! Peers are judged by the kernel's receive stamps: what waited in the socket
//! while this thread was late is not the peer's lateness.

mod handoff;
mod interface;
mod udp;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::SystemTime;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::proto::heartbeat::mac::Keys;
use crate::proto::node::{self, Input, Node, Output, PeerIndex};
use crate::proto::time::{Duration, Time};
use crate::sys::clock;
use crate::sys::notify::Notifier;
use crate::sys::rt::{self, Scheduling};

#[cfg(test)]
pub(crate) use handoff::channels;
pub use handoff::{BrainMark, FromHeart, HeartStuck, HeartView, News, Reload, Sender, ToHeart};
pub use interface::NoInterface;
pub use udp::OpenError;

use handoff::HeartEnd;
use udp::{Buffer, PeerSocket, Received};

/// The brain is dead when it did not come round its loop for so long: no await of the agent takes
/// a tenth of it, and a host that starves it of CPU for that long serves nobody.
const BRAIN_STALE: Duration = Duration::from_secs(5);

/// A goodbye is sent thrice within 30 ms (rule 4); then the thread may end.
const GOODBYE: Duration = Duration::from_millis(35);

/// Datagrams of one peer that are read in one turn: a flood must not keep the rules from being
/// evaluated. At rest there is one; a peer that fell behind sends a handful.
const READ_LIMIT: usize = 256;

/// What the heart is told once.
#[derive(Debug)]
pub struct Plan {
    /// The node that it drives.
    pub node: node::Params,
    /// The keys of the heartbeats.
    pub keys: Keys,
    /// What an earlier run wrote down.
    pub memory: Option<node::Memory>,
    /// The UDP port of all nodes.
    pub port: u16,
    /// Whether to ask for realtime scheduling (`node.realtime`).
    pub realtime: bool,
    /// systemd's watchdog and how often to feed it: by the heart, and only while the brain is alive.
    pub watchdog: Option<(Arc<Notifier>, Duration)>,
}

/// Why the heart cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The private address is not this host's.
    #[error(transparent)]
    Interface(#[from] NoInterface),
    /// The port is not to be had.
    #[error(transparent)]
    Socket(#[from] OpenError),
    /// No thread, no descriptor.
    #[error("cannot start the heartbeat thread")]
    System(#[from] io::Error),
}

/// A running heart.
#[derive(Debug)]
pub struct Heart {
    /// What to tell it.
    pub sender: Sender,
    /// To be stamped by the agent whenever it comes round its loop.
    pub mark: Arc<BrainMark>,
    /// How it is scheduled; `None` where realtime was not asked for.
    pub scheduling: Option<Scheduling>,
    /// The interface of the private address.
    pub interface: String,
}

/// Opens the sockets and starts the thread. What it tells comes out of [`News`].
///
/// # Errors
/// The address is not this host's, the port is taken, or the system gives no thread.
pub fn start(plan: Plan) -> Result<(Heart, News), StartError> {
    let interface = interface::of(plan.node.own)?;
    udp::check_free(plan.node.own, plan.port)?;
    let sockets = plan.node.peers.iter().map(|peer| PeerSocket::open(plan.node.own, *peer, plan.port));
    let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
    let (sender, news, end) = handoff::channels()?;
    let mark = Arc::new(BrainMark::default());
    mark.stamp(clock::now());
    let (told, scheduling) = mpsc::sync_channel(1);
    let beating = Arc::clone(&mark);
    std::thread::Builder::new().name("heart".to_owned()).stack_size(256 * 1024).spawn(move || {
        let scheduling = plan.realtime.then(rt::make_realtime);
        let _ = told.send(scheduling);
        let node = Node::new(clock::now(), plan.node, plan.keys, plan.memory);
        Beating::new(node, end, beating, plan.watchdog).run(&sockets);
    })?;
    let scheduling = scheduling.recv().unwrap_or_default();
    Ok((Heart { sender, mark, scheduling, interface }, news))
}

/// The thread's own.
struct Beating {
    node: Node,
    end: HeartEnd,
    mark: Arc<BrainMark>,
    buffer: Box<Buffer>,
    control: Vec<u8>,
    /// The last turn; a stamp cannot be older than the drain before it.
    drained: Time,
    /// The end of the last gap in this thread's own time: the brain is as innocent of it as the heart.
    excused: Time,
    brain_dead: bool,
    stop_at: Option<Time>,
    lag: Duration,
    refused: Vec<PeerIndex>,
    watchdog: Option<Watchdog>,
}

struct Watchdog {
    notifier: Arc<Notifier>,
    every: Duration,
    due: Time,
}

impl Beating {
    fn new(node: Node, end: HeartEnd, mark: Arc<BrainMark>, watchdog: Option<(Arc<Notifier>, Duration)>) -> Self {
        let now = clock::now();
        Self {
            node,
            end,
            mark,
            buffer: Box::new([0; _]),
            control: udp::control_memory(),
            drained: now,
            excused: now,
            brain_dead: false,
            stop_at: None,
            lag: Duration::ZERO,
            refused: Vec::with_capacity(16),
            watchdog: watchdog.map(|(notifier, every)| Watchdog { notifier, every, due: now }),
        }
    }

    fn run(mut self, sockets: &[PeerSocket]) {
        let bell = self.end.bell();
        let mut fds: Vec<PollFd<'_>> = sockets.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
        fds.push(PollFd::new(bell.as_fd(), PollFlags::POLLIN));
        loop {
            let due = self.due();
            self.wait(&mut fds, due);
            let now = clock::now();
            if let Some(due) = due {
                self.lag = self.lag.max(now - due);
            }
            if now - self.drained > BRAIN_STALE / 5 {
                self.excused = now;
            }
            self.read(now, sockets);
            self.drained = now;
            let view = self.obey(now);
            self.check_brain(now);
            self.node.handle(now, Input::Drained);
            self.perform(now, sockets);
            if view {
                self.show(now);
            }
            if self.stop_at.is_some_and(|at| now >= at) {
                self.end.tell(FromHeart::Stopped);
                self.end.finish_turn();
                return;
            }
            self.end.finish_turn();
        }
    }

    fn due(&self) -> Option<Time> {
        let brain = (!self.brain_dead).then(|| self.mark.stamped().max(self.excused) + BRAIN_STALE);
        let watchdog = self.watchdog.as_ref().filter(|_| !self.brain_dead).map(|watchdog| watchdog.due);
        [self.node.next_deadline(), brain, watchdog, self.stop_at].into_iter().flatten().min()
    }

    fn wait(&self, fds: &mut [PollFd<'_>], due: Option<Time>) {
        let wait = due.map(|due| TimeSpec::from_duration(due - clock::now()));
        // EINTR and every other refusal lead to a turn too early, which changes nothing.
        let _ = ppoll(fds, wait, None);
    }

    fn read(&mut self, now: Time, sockets: &[PeerSocket]) {
        let wall = clock::wall();
        let since_drain = now - self.drained;
        for (socket, peer) in sockets.iter().zip((0..).map(PeerIndex)) {
            for _ in 0..READ_LIMIT {
                match socket.receive(&mut self.buffer, &mut self.control) {
                    Ok(Received::Datagram { length, stamp }) => {
                        let stamp = now.before(age(wall, stamp).min(since_drain));
                        let bytes = self.buffer.get(..length).unwrap_or_default();
                        self.node.handle(now, Input::Datagram { peer, stamp, bytes });
                    }
                    Ok(Received::PortUnreachable) => self.node.handle(now, Input::PortUnreachable { peer }),
                    // A broken socket is a silent peer; what ails it shows in the next send as well.
                    Ok(Received::Empty) | Err(_) => break,
                }
            }
        }
    }

    /// Does what the agent says; whether it wants to see a view after this turn.
    fn obey(&mut self, now: Time) -> bool {
        let mut view = false;
        self.end.hush();
        while let Some(message) = self.end.receive() {
            match message {
                ToHeart::Candidacy(group, candidacy) => self.node.handle(now, Input::Candidacy { group, candidacy }),
                ToHeart::Claim(group, report) => self.node.handle(now, Input::Claim { group, report }),
                ToHeart::Reach(reachable) => self.node.handle(now, Input::Reach { reachable }),
                ToHeart::Probe(group, result) => self.node.handle(now, Input::Probe { group, result }),
                ToHeart::Command(group, command) => self.node.handle(now, Input::Command { group, command }),
                ToHeart::Bulletin(bytes) => self.node.handle(now, Input::Bulletin { bytes: &bytes }),
                ToHeart::Reload(reload) => {
                    let Reload { groups, keys } = *reload;
                    for (group, params) in groups {
                        self.node.handle(now, Input::Params { group, params });
                    }
                    if let Some(keys) = keys {
                        self.node.handle(now, Input::Keys(keys));
                    }
                }
                ToHeart::View => view = true,
                ToHeart::Stop { resign } => {
                    if resign {
                        self.node.handle(now, Input::Resign);
                    }
                    self.stop_at = Some(if resign { now + GOODBYE } else { now });
                }
            }
        }
        view
    }

    fn check_brain(&mut self, now: Time) {
        let alive = self.mark.stamped().max(self.excused);
        if !self.brain_dead && now - alive >= BRAIN_STALE {
            // A dead brain with a beating heart is the worst failure of all.
            self.brain_dead = true;
            self.node.handle(now, Input::BrainStale);
        }
        if let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| !self.brain_dead && now >= watchdog.due) {
            watchdog.due = now + watchdog.every;
            // A systemd that does not take it will say so itself.
            let _ = watchdog.notifier.watchdog();
        }
    }

    fn perform(&mut self, now: Time, sockets: &[PeerSocket]) {
        let mut persist = false;
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Transmit { peer, datagram } => {
                    let sent = sockets.get(peer.0).map_or(Ok(()), |socket| socket.send(datagram));
                    if sent.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                        self.refused.push(peer);
                    }
                }
                Output::Bulletin { peer, bytes } => self.end.tell(FromHeart::Bulletin(peer, bytes.to_vec())),
                Output::Transition { group, transition } => self.end.tell(FromHeart::Transition(group, transition)),
                Output::Intent { group, intent } => self.end.tell(FromHeart::Intent(group, intent)),
                Output::Probe { group, wanted } => self.end.tell(FromHeart::Probe(group, wanted)),
                Output::Answer { group, command, result } => self.end.tell(FromHeart::Answer(group, command, result)),
                Output::Persist => persist = true,
            }
        }
        while let Some(peer) = self.refused.pop() {
            self.node.handle(now, Input::PortUnreachable { peer });
        }
        if persist {
            self.end.tell(FromHeart::Persist(Box::new(self.node.memory())));
        }
    }

    fn show(&mut self, now: Time) {
        let lag = std::mem::take(&mut self.lag);
        let view = HeartView { at: now, node: self.node.view(now), lag, dropped: self.end.dropped() };
        self.end.tell(FromHeart::View(Box::new(view)));
    }
}

/// How long a datagram waited in the socket; nothing if the clock was set meanwhile.
fn age(wall: SystemTime, stamp: Option<SystemTime>) -> Duration {
    stamp.and_then(|stamp| wall.duration_since(stamp).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
