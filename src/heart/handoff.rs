//! The two bounded channels between the heart and the rest of the agent, and the
//! mark by which the heart knows that the rest is alive.
//!
//! Each channel is a preallocated ring with a descriptor that wakes the other side: no
//! lock is shared, so no task can hold up a heartbeat. When the ring towards the
//! agent is full the news waits in the heart's own bounded backlog, in which the newest intent of
//! a group replaces an older one, and so its newest wish for probes; what does not fit there is
//! dropped and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::proto::claim::event::{ClaimReport, Intent};
use crate::proto::election::event::{Candidacy, Command, Params, ProbeResult, Refusal, Transition};
use crate::proto::heartbeat::mac::Keys;
use crate::proto::node::{self, GroupIndex, PeerIndex};
use crate::proto::time::{Duration, Time};

/// Messages in one direction: far more than one turn of either side makes.
const RING: usize = 512;

/// News that waits in the heart while the agent does not read.
const BACKLOG: usize = 256;

/// What the agent tells the heart.
#[derive(Debug)]
pub enum ToHeart {
    /// This node's own health in a group.
    Candidacy(GroupIndex, Candidacy),
    /// The newest word of a group's reconciler.
    Claim(GroupIndex, ClaimReport),
    /// Whether the API's host is reached.
    Reach(bool),
    /// A probe of a group has ended.
    Probe(GroupIndex, ProbeResult),
    /// An operator's word; answered by [`FromHeart::Answer`].
    Command(GroupIndex, Command),
    /// This node's newest bulletin.
    Bulletin(Vec<u8>),
    /// Go on with other settings, all of them from the same turn on.
    Reload(Box<Reload>),
    /// Answer with [`FromHeart::View`].
    View,
    /// Say goodbye where `resign`, then end the thread.
    Stop { resign: bool },
}

/// What a reload changes in the heart.
#[derive(Debug)]
pub struct Reload {
    /// The settings of each group.
    pub groups: Vec<(GroupIndex, Params)>,
    /// Other keys, if there are others.
    pub keys: Option<Keys>,
}

/// What the heart tells the agent.
#[derive(Debug)]
pub enum FromHeart {
    /// The state in a group changed.
    Transition(GroupIndex, Transition),
    /// What is wanted of a group's claims.
    Intent(GroupIndex, Intent),
    /// Whether a group is to be probed again and again.
    Probe(GroupIndex, bool),
    /// Write this down.
    Persist(Box<node::Memory>),
    /// A peer's whole bulletin.
    Bulletin(PeerIndex, Vec<u8>),
    /// What became of a command.
    Answer(GroupIndex, Command, Result<(), Refusal>),
    /// What `status` shows.
    View(Box<HeartView>),
    /// The thread has ended as asked.
    Stopped,
}

/// A snapshot of the node and of the thread that drives it.
#[derive(Debug)]
pub struct HeartView {
    /// When it was taken.
    pub at: Time,
    /// The node.
    pub node: node::View,
    /// The longest that a deadline was missed since the last view.
    pub lag: Duration,
    /// News dropped because the agent did not read.
    pub dropped: u64,
}

/// The brain's sign of life: when the agent last came round its loop.
#[derive(Debug, Default)]
pub struct BrainMark(AtomicU64);

impl BrainMark {
    /// The brain is alive at `now`.
    pub fn stamp(&self, now: Time) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// When it last was.
    pub(super) fn stamped(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Wakes the heart: an `eventfd` that its poll loop waits for.
#[derive(Clone, Debug)]
pub(super) struct Bell(Arc<EventFd>);

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Bell {
    fn ring(&self) {
        // EAGAIN means that it rings already.
        let _ = self.0.write(1);
    }

    fn hush(&self) {
        while !matches!(self.0.read(), Err(Errno::EAGAIN)) {}
    }
}

/// Wakes the agent: a byte in a socket of which the agent waits for the other end.
#[derive(Debug)]
struct Knock(UnixStream);

impl Knock {
    fn knock(&self) {
        // A full socket means that the agent has not yet heard the last one.
        let _ = (&self.0).write(&[1]);
    }
}

/// The heart does not read any more: its thread is gone, or stuck for longer than the ring lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the heartbeat thread does not answer; this is a bug, and the process must end")]
pub struct HeartStuck;

/// The agent's end.
#[derive(Clone, Debug)]
pub struct Sender {
    ring: SyncSender<ToHeart>,
    bell: Bell,
}

impl Sender {
    /// Tells the heart. Never waits.
    ///
    /// # Errors
    /// The heart does not read.
    pub fn send(&self, message: ToHeart) -> Result<(), HeartStuck> {
        self.ring.try_send(message).map_err(|_| HeartStuck)?;
        self.bell.ring();
        Ok(())
    }
}

/// The agent's other end.
#[derive(Debug)]
pub struct News {
    /// What the heart says; disconnected once the heart is gone.
    pub ring: Receiver<FromHeart>,
    /// A byte comes whenever something was put into the ring, and when the heart is gone. It does not block.
    pub knock: UnixStream,
}

/// The heart's ends.
#[derive(Debug)]
pub(crate) struct HeartEnd {
    inbox: Receiver<ToHeart>,
    inbox_bell: Bell,
    /// `None` only while it is dropped.
    outbox: Option<SyncSender<FromHeart>>,
    knock: Knock,
    backlog: VecDeque<FromHeart>,
    dropped: u64,
    rung: bool,
}

impl HeartEnd {
    /// The next message of the agent, if there is one. A gone agent sends nothing.
    pub(super) fn receive(&mut self) -> Option<ToHeart> {
        self.inbox.try_recv().ok()
    }

    /// Before [`Self::receive`] is drained, so that nothing between is missed.
    pub(super) fn hush(&self) {
        self.inbox_bell.hush();
    }

    /// Tells the agent; never waits.
    pub(crate) fn tell(&mut self, news: FromHeart) {
        self.flush();
        if !self.backlog.is_empty() {
            self.keep(news);
            return;
        }
        if let Some(news) = self.push(news) {
            self.keep(news);
        }
    }

    /// Sends what waits and wakes the agent, at the end of a turn.
    pub(crate) fn finish_turn(&mut self) {
        self.flush();
        if std::mem::take(&mut self.rung) {
            self.knock.knock();
        }
    }

    /// What to wait for beside the sockets.
    pub(super) fn bell(&self) -> Bell {
        self.inbox_bell.clone()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn flush(&mut self) {
        while let Some(news) = self.backlog.pop_front() {
            if let Some(news) = self.push(news) {
                self.backlog.push_front(news);
                return;
            }
        }
    }

    /// Gives the news back where the ring is full.
    fn push(&mut self, news: FromHeart) -> Option<FromHeart> {
        let Some(outbox) = &self.outbox else { return None };
        match outbox.try_send(news) {
            Ok(()) => self.rung = true,
            Err(TrySendError::Full(news)) => return Some(news),
            Err(TrySendError::Disconnected(_)) => self.dropped = self.dropped.saturating_add(1),
        }
        None
    }

    fn keep(&mut self, news: FromHeart) {
        match news {
            FromHeart::Intent(group, _) => {
                self.backlog.retain(|old| !matches!(old, FromHeart::Intent(other, _) if *other == group));
            }
            FromHeart::Probe(group, _) => {
                self.backlog.retain(|old| !matches!(old, FromHeart::Probe(other, _) if *other == group));
            }
            FromHeart::Transition(..)
            | FromHeart::Persist(_)
            | FromHeart::Bulletin(..)
            | FromHeart::Answer(..)
            | FromHeart::View(_)
            | FromHeart::Stopped => {}
        }
        if self.backlog.len() < BACKLOG {
            self.backlog.push_back(news);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

impl Drop for HeartEnd {
    /// The agent must see that the heart is gone, whatever ended it.
    fn drop(&mut self) {
        self.outbox = None;
        self.knock.knock();
    }
}

/// Both channels.
pub(crate) fn channels() -> io::Result<(Sender, News, HeartEnd)> {
    let (to, inbox) = sync_channel(RING);
    let (outbox, from) = sync_channel(RING);
    let inbox_bell = Bell(Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?));
    let (knock, heard) = UnixStream::pair()?;
    knock.set_nonblocking(true)?;
    heard.set_nonblocking(true)?;
    let heart = HeartEnd {
        inbox,
        inbox_bell: inbox_bell.clone(),
        outbox: Some(outbox),
        knock: Knock(knock),
        backlog: VecDeque::with_capacity(BACKLOG),
        dropped: 0,
        rung: false,
    };
    Ok((Sender { ring: to, bell: inbox_bell }, News { ring: from, knock: heard }, heart))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TryRecvError;

    use nix::poll::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn an_agent_that_does_not_read_holds_up_nothing_and_finds_the_newest_intent() {
        let (_sender, news, mut heart) = channels().unwrap();
        let group = GroupIndex(0);
        for _ in 0..RING + 10 {
            heart.tell(FromHeart::Bulletin(PeerIndex(0), Vec::new()));
        }
        for intent in [Intent::Watch, Intent::Warm, Intent::Yield] {
            heart.tell(FromHeart::Intent(group, intent));
        }
        for _ in 0..BACKLOG {
            heart.tell(FromHeart::Bulletin(PeerIndex(0), Vec::new()));
        }
        assert_eq!(heart.dropped(), 11, "10 bulletins and the intent waited already");
        heart.finish_turn();
        let mut intents = Vec::new();
        for _ in 0..RING + BACKLOG {
            heart.finish_turn();
            if let Ok(FromHeart::Intent(_, intent)) = news.ring.try_recv() {
                intents.push(intent);
            }
        }
        assert_eq!(intents, [Intent::Yield], "the older ones were replaced");
        drop(heart);
        assert_eq!(news.ring.try_recv().unwrap_err(), TryRecvError::Disconnected);
    }

    #[test]
    fn the_agent_is_woken_by_the_descriptor() {
        let (sender, news, mut heart) = channels().unwrap();
        let readable = |news: &News| poll(&mut [PollFd::new(news.knock.as_fd(), PollFlags::POLLIN)], 0u8).unwrap() == 1;
        assert!(!readable(&news));
        let thread = std::thread::spawn(move || {
            // Rung by the agent's message, this side answers.
            while heart.receive().is_none() {
                std::thread::yield_now();
            }
            heart.tell(FromHeart::Stopped);
            heart.finish_turn();
        });
        sender.send(ToHeart::View).unwrap();
        thread.join().unwrap();
        assert!(readable(&news));
        assert!(matches!(news.ring.try_recv(), Ok(FromHeart::Stopped)));
        assert_eq!(news.ring.try_recv().unwrap_err(), TryRecvError::Disconnected);
        assert_eq!(sender.send(ToHeart::View), Err(HeartStuck));
    }
}
