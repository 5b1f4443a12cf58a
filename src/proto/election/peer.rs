//! What an election knows of one peer: its newest report and when it arrived.

use std::net::Ipv4Addr;

use crate::proto::election::event::{Heard, PeerView};
use crate::proto::heartbeat::{GroupReport, HandOver, NodeState};
use crate::proto::ids::Priority;
use crate::proto::time::{Duration, Time};

/// One peer in one group.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: Ipv4Addr,
    newest: Option<(Time, GroupReport)>,
    /// The newest datagram carried this node's present boot id (rule 2).
    echoed: bool,
    /// When it was last heard as master, echoed or not.
    pub(super) mastered_at: Option<Time>,
    /// When a datagram with a wrong key came from its host.
    pub(super) wrong_key_at: Option<Time>,
    /// When a datagram with this node's own name came from its host.
    pub(super) own_name_at: Option<Time>,
    /// When a datagram of a release that this one cannot read came from its host.
    pub(super) unreadable_at: Option<Time>,
    /// When its host answered "port unreachable".
    pub(super) unreachable_at: Option<Time>,
    /// Since when it has said, without a break, that it reaches the API's host.
    pub(super) reach_since: Option<Time>,
    /// It let an offer lapse: not offered again before this (rule 5).
    pub(super) passed_over_until: Time,
}

impl Peer {
    pub(super) fn new(address: Ipv4Addr) -> Self {
        Self {
            address,
            newest: None,
            echoed: false,
            mastered_at: None,
            wrong_key_at: None,
            own_name_at: None,
            unreadable_at: None,
            unreachable_at: None,
            reach_since: None,
            passed_over_until: Time::ORIGIN,
        }
    }

    /// Takes in a report. An older one than the newest is dropped: it is no news.
    pub(super) fn hear(&mut self, heard: Heard) {
        if self.newest.as_ref().is_some_and(|(at, _)| *at > heard.at) {
            return;
        }
        if is_master(&heard.report) {
            self.mastered_at = Some(heard.at);
        }
        self.reach_since = heard.report.reach.then(|| self.reach_since.unwrap_or(heard.at));
        self.echoed = heard.echoed;
        self.newest = Some((heard.at, heard.report));
    }

    /// When it was last heard, in whatever state.
    pub(super) fn heard_at(&self) -> Option<Time> {
        self.newest.as_ref().map(|(at, _)| *at)
    }

    /// Its report, if it is *heard*: not older than `dead`.
    pub(super) fn heard(&self, now: Time, dead: Duration) -> Option<&GroupReport> {
        self.newest.as_ref().filter(|(at, _)| now - *at < dead).map(|(_, report)| report)
    }

    /// Its report, if it is heard and echoed: the only word that may cause anything (rule 2).
    pub(super) fn echoed(&self, now: Time, dead: Duration) -> Option<&GroupReport> {
        self.heard(now, dead).filter(|_| self.echoed)
    }

    /// When its host last sent a datagram that cannot be used.
    pub(super) fn babbled_at(&self) -> Option<Time> {
        self.wrong_key_at.max(self.own_name_at).max(self.unreadable_at)
    }

    /// Its host sends datagrams with a wrong key, with this node's own name, or of another release: not silent,
    /// and says nothing.
    pub(super) fn babbles(&self, now: Time, dead: Duration) -> bool {
        self.babbled_at().is_some_and(|at| now - at < dead)
    }

    /// Neither heard nor babbling.
    pub(super) fn unheard(&self, now: Time, dead: Duration) -> bool {
        self.heard(now, dead).is_none() && !self.babbles(now, dead)
    }

    /// A point in time that its newest report gives as an age.
    pub(super) fn point(&self, age: Option<Duration>) -> Option<Time> {
        Some(self.heard_at()?.before(age?))
    }

    pub(super) fn view(&self, now: Time, dead: Duration) -> PeerView {
        PeerView {
            address: self.address,
            heard_at: self.heard_at(),
            heard: self.heard(now, dead).is_some(),
            echoed: self.echoed(now, dead).is_some(),
            wrong_key_at: self.wrong_key_at,
            report: self.newest.as_ref().map(|(_, report)| *report),
        }
    }
}

/// Master, and not about to stop.
pub(super) fn is_master(report: &GroupReport) -> bool {
    report.state == NodeState::Master && report.leaving.is_none()
}

/// May take over: a candidate in `Backup`.
pub(super) fn is_candidate(report: &GroupReport) -> bool {
    report.candidate && report.state == NodeState::Backup && report.leaving.is_none()
}

/// The order among candidates and, last, between masters: effective priority,
/// then address; the higher wins (RFC 9568, section 6.4.3).
pub(super) fn precedence(priority: Priority, address: Ipv4Addr) -> (Priority, Ipv4Addr) {
    (priority, address)
}

/// Whether `to` was offered the mastership by this report.
pub(super) fn offers_to(report: &GroupReport, to: Ipv4Addr) -> Option<HandOver> {
    report.offer.filter(|offer| offer.to == to).map(|offer| offer.cause)
}
