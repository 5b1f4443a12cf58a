//! One peer, seen through its datagrams: is it heard, does it hear this node, how
//! many datagrams are lost, how long is the way; and which datagrams are a replay.
//!
//! The tag says that a holder of the key wrote a datagram to this node. The link
//! says whether that was now:
//!
//! * Within a run of the peer (its boot id) each sequence number counts once.
//! * *Echoed* is a datagram that names a number which this node sent in its present
//!   run. No recording from before this node's restart does, so such a recording is
//!   presence and nothing else.
//! * A second run of a peer is accepted only with a proof: an echo of a number that
//!   this node sent after the last echoed datagram of the run before. No recording
//!   from before that moment holds one. The run before is left, for ever.
//!
//! What was never echoed proves nothing. It moves no bar: a flood of old recordings
//! cannot make the proof of the present run come too late. And it is not left but
//! only put aside: the present run itself may be heard before an echo, and then a
//! late datagram of the run before it brings a proof that was good when it was sent.
//!
//! When both nodes restarted, each waits for the other's proof, and a proof needs
//! an echo of a datagram that was not accepted. So the run that was refused is
//! remembered as *unproven* and echoed too, unless a proven run is alive. Echoing
//! believes nothing: it says that a datagram came.

use crate::proto::heartbeat::{Echo, Header};
use crate::proto::ids::{BootId, NodeId, Seq};
use crate::proto::time::{Duration, Time};

mod memory;
mod window;

pub use memory::{LastRun, LeftBoots, LinkMemory};
pub use window::Loss;
use window::{Place, Window};

/// How many send times are kept for round trips: 40 heartbeats sent thrice, and more.
const SENT_TIMES: usize = 128;

/// How many runs of a peer wait for a proof at once: the present one, and old ones that somebody replays.
const UNPROVEN_RUNS: usize = 4;

/// A run is alive for so many of its heartbeat intervals after its last datagram (D).
const DEAD_INTERVALS: u32 = 3;

/// An answer to an unproven run at most each so many parts of this node's interval (rule 4's I/5).
const ANSWERS_PER_INTERVAL: u32 = 5;

/// A new round trip counts one eighth (RFC 6298, section 2.3).
const SMOOTHING: u32 = 8;

/// This node, as its headers name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Its name.
    pub node: NodeId,
    /// Its present run.
    pub boot: BootId,
    /// Its heartbeat interval.
    pub interval: Duration,
}

/// A datagram that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The peer heard this node's present run. Without it, what the datagram says may hinder, never cause (rule 2).
    pub echoed: bool,
    /// Nothing newer was accepted before. Otherwise it was overtaken: it counts as
    /// heard, but what it says of groups is outdated.
    pub newest: bool,
    /// The first datagram of a run other than the last known one: what was known of the
    /// peer's groups is void, and [`Link::persist`] is worth writing.
    pub new_boot: bool,
}

/// Why a datagram does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Dropped {
    /// Another node has this node's name.
    #[error("it carries this node's own name: two nodes have one name")]
    OwnName,
    /// Of a run that a newer one has replaced.
    #[error("it is of a run of the peer that has ended")]
    BootLeft,
    /// Of a run other than the last known one, without proof that it runs now.
    #[error("it is of another run of the peer and does not prove that this one runs now")]
    NewBootWithoutProof {
        /// Send this peer a datagram with `ask` now: with it the peer can prove itself, if
        /// it is the peer. True at most five times in a heartbeat interval.
        answer: bool,
    },
    /// This number was accepted before: the network doubled it, or somebody replays it.
    #[error("its sequence number was there before")]
    Duplicate,
    /// So late that it cannot be told from a replay.
    #[error("its sequence number is too far behind")]
    TooOld,
}

/// Datagrams from the peer's address whose tag this node's keys did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongKey {
    /// Since when they come, without a gap of D.
    pub since: Time,
    /// When the last one came.
    pub last: Time,
    /// How many came since then.
    pub count: u64,
}

/// A run of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    node: NodeId,
    boot: BootId,
}

/// The newest datagram of a run.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    run: Run,
    seq: Seq,
    stamp: Time,
    /// The sender's heartbeat interval.
    interval: Duration,
    /// Which datagram of this node echoed the run last.
    told: Seq,
}

impl Arrival {
    /// Whether the sender's D has not passed since `stamp`.
    fn within_dead_interval(&self, now: Time, stamp: Time) -> bool {
        now.since(stamp) < self.interval.saturating_mul(DEAD_INTERVALS)
    }

    fn alive(&self, now: Time) -> bool {
        self.within_dead_interval(now, self.stamp)
    }

    fn echo(&self, now: Time) -> Echo {
        Echo { boot: self.run.boot, seq: self.seq, held: now.since(self.stamp) }
    }
}

/// The run that is accepted.
#[derive(Clone, Copy, Debug)]
struct Peer {
    run: Run,
    window: Window,
    /// `None`: known by memory only.
    newest: Option<Arrival>,
    heard_at: Option<Time>,
    echoed_at: Option<Time>,
    /// Whether the newest datagram was echoed.
    echoed: bool,
    /// Remembered, or echoed: a run that proves itself after that can only be a newer one.
    settled: bool,
    round_trip: Option<Duration>,
    /// The highest number echoed, so that each gives one round trip.
    echoed_seq: Seq,
}

impl Peer {
    const fn new(run: Run, window: Window, settled: bool) -> Self {
        Self {
            run,
            window,
            settled,
            newest: None,
            heard_at: None,
            echoed_at: None,
            echoed: false,
            round_trip: None,
            echoed_seq: Seq(0),
        }
    }

    /// Echoed a moment ago: no other run of the peer can be the present one.
    fn proven(&self, now: Time) -> bool {
        self.newest.zip(self.echoed_at).is_some_and(|(newest, echoed_at)| newest.within_dead_interval(now, echoed_at))
    }
}

/// What this node sent to the peer.
#[derive(Clone, Copy, Debug)]
struct Sent {
    last: Seq,
    /// When, by number modulo the length.
    at: [Time; SENT_TIMES],
}

impl Sent {
    fn place(seq: Seq) -> usize {
        (seq.0 % SENT_TIMES as u64) as usize
    }

    fn at(&self, seq: Seq) -> Option<Time> {
        let kept = seq <= self.last && self.last.0 - seq.0 < SENT_TIMES as u64;
        kept.then(|| self.at[Self::place(seq)])
    }
}

/// The link to one peer. It allocates nothing.
#[derive(Clone, Debug)]
pub struct Link {
    own: Own,
    sent: Sent,
    /// `None`: never heard, and nothing remembered.
    peer: Option<Peer>,
    unproven: [Option<Arrival>; UNPROVEN_RUNS],
    /// The last number sent before the last echoed datagram came: a proof echoes a higher one.
    bar: Seq,
    left: LeftBoots,
    answered_at: Option<Time>,
    wrong_key: Option<WrongKey>,
}

impl Link {
    /// A link to a peer of which nothing is remembered.
    #[must_use]
    pub fn new(own: Own) -> Self {
        Self::restore(own, &LinkMemory::default())
    }

    /// A link with what was kept over this node's restart.
    #[must_use]
    pub fn restore(own: Own, memory: &LinkMemory) -> Self {
        let peer = memory
            .last
            .map(|last| Peer::new(Run { node: last.node, boot: last.boot }, Window::remembered(last.seq), true));
        Self {
            own,
            sent: Sent { last: Seq(0), at: [Time::ORIGIN; SENT_TIMES] },
            peer,
            unproven: [None; UNPROVEN_RUNS],
            bar: Seq(0),
            left: memory.left,
            answered_at: None,
            wrong_key: None,
        }
    }

    /// What to keep over a restart of this node. The number in it changes with every
    /// datagram; an older one kept lets through, as presence, what came after it.
    #[must_use]
    pub fn persist(&self) -> LinkMemory {
        let last =
            self.peer.map(|peer| LastRun { node: peer.run.node, boot: peer.run.boot, seq: peer.window.highest() });
        LinkMemory { last, left: self.left }
    }

    /// The header of the next datagram to the peer, which is sent now.
    pub fn next_header(&mut self, now: Time, ask: bool) -> Header {
        let seq = self.sent.last.next();
        self.sent.last = seq;
        self.sent.at[Sent::place(seq)] = now;
        let Own { node, boot, interval } = self.own;
        Header { sender: node, boot, seq, interval, ask, echo: self.echo(now) }
    }

    /// A proven run that is alive; else each run that is alive in turn; else the last accepted one.
    fn echo(&mut self, now: Time) -> Option<Echo> {
        let proven = self.peer.is_some_and(|peer| peer.proven(now));
        let accepted = self.peer.as_mut().and_then(|peer| peer.newest.as_mut());
        if proven {
            return accepted.map(|arrival| arrival.echo(now));
        }
        let last = accepted.as_ref().map(|arrival| arrival.echo(now));
        let alive = self.unproven.iter_mut().flatten().chain(accepted).filter(|arrival| arrival.alive(now));
        let Some(turn) = alive.min_by_key(|arrival| arrival.told) else { return last };
        turn.told = self.sent.last;
        Some(turn.echo(now))
    }

    /// Judges a datagram whose tag was good. `stamp` is when the kernel received it.
    ///
    /// # Errors
    /// It does not count: use nothing of it.
    pub fn receive(&mut self, now: Time, stamp: Time, header: &Header) -> Result<Accepted, Dropped> {
        let Header { sender, boot, seq, interval, ask: _, echo } = *header;
        if sender == self.own.node {
            return Err(Dropped::OwnName);
        }
        if self.left.contains(boot) {
            return Err(Dropped::BootLeft);
        }
        let run = Run { node: sender, boot };
        let arrival = Arrival { run, seq, stamp: stamp.min(now), interval, told: Seq(0) };
        let echo = echo.filter(|echo| echo.boot == self.own.boot && (Seq(1)..=self.sent.last).contains(&echo.seq));
        let proof = echo.is_some_and(|echo| echo.seq > self.bar);
        let (newest, new_boot) = match &mut self.peer {
            Some(peer) if peer.run == run => match peer.window.accept(seq) {
                Place::Newest => (true, false),
                Place::Late => (false, false),
                Place::Again => return Err(Dropped::Duplicate),
                Place::TooOld => return Err(Dropped::TooOld),
            },
            Some(peer) if proof => {
                // What came first and was never echoed may be an old recording, or the present
                // run overtaking the last datagram of the run before it. It may prove itself yet.
                if peer.settled {
                    self.left.insert(peer.run.boot);
                }
                self.begin(run, seq);
                (true, true)
            }
            Some(_) => return Err(Dropped::NewBootWithoutProof { answer: self.refuse(now, arrival) }),
            None => {
                self.begin(run, seq);
                (true, true)
            }
        };
        self.note(arrival, newest, echo);
        Ok(Accepted { echoed: echo.is_some(), newest, new_boot })
    }

    fn begin(&mut self, run: Run, seq: Seq) {
        self.peer = Some(Peer::new(run, Window::starting(seq), false));
        self.unproven = [None; UNPROVEN_RUNS];
    }

    /// Remembers the run, so that it is echoed; true if it should be answered now.
    fn refuse(&mut self, now: Time, arrival: Arrival) -> bool {
        if let Some(known) = self.unproven.iter_mut().flatten().find(|known| known.run == arrival.run) {
            if arrival.seq <= known.seq {
                // The same recording over and over.
                return false;
            }
            *known = Arrival { told: known.told, ..arrival };
        } else if let Some(place) = self.unproven.iter_mut().min_by_key(|place| place.map(|known| known.stamp)) {
            *place = Some(arrival);
        }
        let gap = self.own.interval / ANSWERS_PER_INTERVAL;
        let answer = self.answered_at.is_none_or(|at| now.since(at) >= gap);
        if answer {
            self.answered_at = Some(now);
        }
        answer
    }

    /// Takes the times from an accepted datagram.
    fn note(&mut self, arrival: Arrival, newest: bool, echo: Option<Echo>) {
        let Some(peer) = &mut self.peer else { return };
        peer.heard_at = peer.heard_at.max(Some(arrival.stamp));
        if newest {
            let told = peer.newest.map_or(Seq(0), |before| before.told);
            peer.newest = Some(Arrival { told, ..arrival });
            peer.echoed = echo.is_some();
        }
        let Some(echo) = echo else { return };
        peer.echoed_at = peer.echoed_at.max(Some(arrival.stamp));
        peer.settled = true;
        self.bar = self.sent.last;
        if echo.seq <= peer.echoed_seq {
            return;
        }
        peer.echoed_seq = echo.seq;
        if let Some(sent) = self.sent.at(echo.seq) {
            let sample = arrival.stamp.since(sent).saturating_sub(echo.held);
            peer.round_trip = Some(match peer.round_trip {
                Some(smoothed) => (smoothed * (SMOOTHING - 1) + sample) / SMOOTHING,
                None => sample,
            });
        }
    }

    /// Counts a datagram from the peer's address with a tag of another key. While such come, that host is not silent.
    pub fn note_wrong_key(&mut self, now: Time) {
        let spell = self.own.interval.saturating_mul(DEAD_INTERVALS);
        self.wrong_key = Some(match self.wrong_key {
            Some(before) if now.since(before.last) < spell => {
                WrongKey { last: now, count: before.count.saturating_add(1), ..before }
            }
            Some(_) | None => WrongKey { since: now, last: now, count: 1 },
        });
    }

    /// The last spell of datagrams with a tag of another key.
    #[must_use]
    pub const fn wrong_key(&self) -> Option<WrongKey> {
        self.wrong_key
    }

    /// The peer's name, once heard or remembered.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        self.peer.map(|peer| peer.run.node)
    }

    /// The peer's run, once heard or remembered.
    #[must_use]
    pub fn boot(&self) -> Option<BootId> {
        self.peer.map(|peer| peer.run.boot)
    }

    /// The peer's heartbeat interval, once heard.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.peer?.newest.map(|newest| newest.interval)
    }

    /// When the last accepted datagram of the present run arrived.
    #[must_use]
    pub fn heard_at(&self) -> Option<Time> {
        self.peer?.heard_at
    }

    /// When the last echoed datagram of the present run arrived.
    #[must_use]
    pub fn echoed_at(&self) -> Option<Time> {
        self.peer?.echoed_at
    }

    /// Whether the newest datagram was echoed: the link works in both directions.
    #[must_use]
    pub fn echoed(&self) -> bool {
        self.peer.is_some_and(|peer| peer.echoed)
    }

    /// What was lost on the way here, once something was heard.
    #[must_use]
    pub fn loss(&self) -> Option<Loss> {
        self.peer?.window.loss()
    }

    /// The smoothed time of the way there and back, without the time that the peer waited with its answer.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.peer?.round_trip
    }
}

#[cfg(test)]
mod tests;
