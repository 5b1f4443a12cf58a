//! What a takeover rests on: who was heard as master and when (rules 2 to 4), and who
//! deposed this node (rule 8).
//!
//! Rule 9's further evidence stands beside silence: `probe` in [`super::probe`];
//! `majority` is not in this version. [`rules::decide`](super::rules::decide) asks for
//! complete evidence and counts the skew from then.

use std::net::Ipv4Addr;

use crate::proto::claim::event::{Holder, Look, Source};
use crate::proto::election::peer::{Peer, is_master};
use crate::proto::heartbeat::{DeposedBy, NodeState};
use crate::proto::time::{Duration, Time};

/// Rule 8: the first chance of a deposed node without a probe; each further one waits twice as long.
pub(super) const CHANCE: Duration = Duration::from_secs(60);

/// When `master` was last heard as master: by its own datagrams, echoed or not, and
/// by a heard and echoed peer's word (rule 2), unless it said since that it is none.
pub(super) fn mastered_at(peers: &[Peer], master: Ipv4Addr, now: Time, dead: Duration) -> Option<Time> {
    let own = peers.iter().find(|peer| peer.address == master);
    let direct = own.and_then(|peer| peer.mastered_at);
    let denied_at =
        own.filter(|peer| peer.echoed(now, dead).is_some_and(|report| !is_master(report))).and_then(Peer::heard_at);
    let told = peers.iter().filter(|peer| peer.address != master).filter_map(|peer| {
        let follows = peer.echoed(now, dead)?.follows.filter(|follows| follows.master == master)?;
        if follows.heard_ago >= dead { None } else { peer.point(Some(follows.heard_ago)) }
    });
    let told = told.filter(|at| denied_at.is_none_or(|denied| *at > denied)).max();
    direct.max(told)
}

/// The masters that are heard now, by their own word or another's.
pub(super) fn masters(peers: &[Peer], own: Ipv4Addr, now: Time, dead: Duration) -> impl Iterator<Item = Ipv4Addr> {
    let direct = peers.iter().filter(move |peer| peer.heard(now, dead).is_some_and(is_master)).map(|peer| peer.address);
    let told = peers
        .iter()
        .filter_map(move |peer| peer.echoed(now, dead)?.follows)
        .map(|follows| follows.master)
        .filter(move |master| *master != own)
        .filter(move |master| {
            let denies = |peer: &Peer| peer.address == *master && peer.echoed(now, dead).is_some_and(|r| !is_master(r));
            !peers.iter().any(denies) && mastered_at(peers, *master, now, dead).is_some_and(|at| now - at < dead)
        });
    direct.chain(told)
}

/// Rule 3: `Init` from the master followed is presence. An agent that restarts listens
/// for its own D; so presence ends D (and one interval on the way) after D of silence.
pub(super) fn present_at(peer: &Peer, now: Time, dead: Duration, interval: Duration) -> Option<Time> {
    let at = peer.heard_at()?;
    let mastered_at = peer.mastered_at?;
    let init = peer.heard(now, dead).is_some_and(|report| report.state == NodeState::Init && report.leaving.is_none());
    (init && at - mastered_at <= dead * 2 + interval).then_some(at)
}

/// Rule 8: somebody whom this node does not hear took the address from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deposition {
    pub(super) by: DeposedBy,
    /// From when its chance counts: the last move seen.
    pub(super) since: Time,
    /// The chances in which an assign was sent.
    pub(super) chances: u32,
}

impl Deposition {
    /// `first` x 2^n after `since`.
    pub(super) fn chance(&self, since: Time, first: Duration) -> Time {
        since + first.saturating_mul(1_u32.checked_shl(self.chances).unwrap_or(u32::MAX))
    }

    /// Whether this look names another holder.
    pub(super) fn ended_by(&self, look: &Look) -> bool {
        let names_another = match (look.holder, self.by) {
            (Holder::Unknown, _) => false,
            (Holder::Member(holder), DeposedBy::Member(by)) => holder != by,
            (Holder::Mine | Holder::Member(_) | Holder::Nobody | Holder::Foreign(_), _) => true,
        };
        // Metadata lags: only what was asked after the last move seen is news of it.
        names_another && look.begun > self.since && (look.source == Source::Api || look.settled)
    }

    pub(super) fn member(&self) -> Option<Ipv4Addr> {
        match self.by {
            DeposedBy::Member(member) => Some(member),
            DeposedBy::Unknown => None,
        }
    }
}
