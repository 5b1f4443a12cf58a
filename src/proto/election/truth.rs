//! What the node learns of the holder, and keeps: the base of a claim (end of rule 9),
//! what was held or sent, and depositions (rule 8).

use super::event::Reason;
use super::evidence::Deposition;
use super::probe::Uplink;
use super::state::State;
use super::{Election, HoldDown, peer};
use crate::proto::claim::event::{Base, ClaimReport, ClaimState, Holder, Look, Source};
use crate::proto::heartbeat::DeposedBy;
use crate::proto::time::Time;

impl Election {
    pub(super) fn take_claim(&mut self, report: ClaimReport) {
        let lost = report.state == ClaimState::Lost && self.claim.state != ClaimState::Lost;
        if lost && self.mastership().is_some() {
            // Rule 12: what landed, or was held, has used up the base.
            self.base = Base::default();
        }
        let answered = report.look.filter(|look| look.source == Source::Api).map(|look| look.ended).max(report.proof);
        if let Some(at) = answered.filter(|_| answered > self.api_answered()) {
            self.uplink = Some(Uplink::answered(self.uplink, at));
        }
        self.claim = report;
    }

    fn api_answered(&self) -> Option<Time> {
        self.claim.look.filter(|look| look.source == Source::Api).map(|look| look.ended).max(self.claim.proof)
    }

    /// The last known holder is what a claim may replace (end of rule 9).
    pub(super) fn note_truth(&mut self, now: Time) {
        let dead = self.dead();
        let held_by = self.peers.iter().find(|peer| {
            peer.echoed(now, dead).is_some_and(|report| peer::is_master(report) && report.claim == ClaimState::Held)
        });
        let held_by = held_by.map(|peer| peer.address);
        let claimed = self.peers.iter().any(|peer| {
            peer.echoed(now, dead)
                .is_some_and(|report| peer::is_master(report) && (report.claim == ClaimState::Held || report.sent))
        });
        let (look, verified) = (self.claim.look, self.claim.verified);
        match &mut self.state {
            State::Master(master) => match self.claim.state {
                ClaimState::Held if verified >= Some(master.began) => {
                    // Verified in this mastership: nobody else is to be replaced any more.
                    master.held_since.get_or_insert(now);
                    master.lost_since = None;
                    self.base = Base::default();
                    self.had_held_or_sent = true;
                    self.deposed = None;
                    self.hold_down = HoldDown::default();
                }
                ClaimState::Lost => {
                    master.held_since = None;
                    master.lost_since.get_or_insert(now);
                }
                ClaimState::Idle | ClaimState::Claiming | ClaimState::Held | ClaimState::Failing => {
                    master.held_since = None;
                    master.lost_since = None;
                    self.had_held_or_sent |= self.claim.ever_sent;
                }
            },
            State::Init(_) | State::Backup(_) | State::Fault(_) | State::Left(_) => {
                if claimed {
                    // It is not unheard who has the address now.
                    self.had_held_or_sent = false;
                }
                if let Some(holder) = held_by {
                    self.base = [holder].into_iter().collect();
                } else if let Some(Look { holder: Holder::Member(holder), source: Source::Api, begun, .. }) = look
                    && begun >= self.since
                {
                    self.base = [holder].into_iter().collect();
                }
            }
        }
    }

    /// Rule 8: only news of the one that deposed this node ends it.
    pub(super) fn note_deposition(&mut self, now: Time) {
        let dead = self.dead();
        let verified = self.peers.iter().any(|peer| {
            peer.echoed(now, dead).is_some_and(|report| peer::is_master(report) && report.claim == ClaimState::Held)
        });
        if verified {
            self.chances = 0;
        }
        let Some(deposed) = self.deposed else { return };
        let heard = deposed.member().and_then(|member| self.peer(member)).is_some_and(|peer| {
            peer.echoed(now, dead).is_some() && peer.heard_at().is_some_and(|at| at > deposed.since)
        });
        if heard {
            self.chances = 0;
        }
        if heard || verified || self.claim.look.is_some_and(|look| deposed.ended_by(&look)) {
            self.deposed = None;
        }
    }

    /// Somebody whom this node does not hear has the address (rules 8, 12, 13).
    pub(super) fn depose(&mut self, now: Time, by: DeposedBy) {
        let used = matches!(self.reason, Some(Reason::Chance { .. })) && self.claim.ever_sent;
        self.chances = self.chances.saturating_add(u32::from(used));
        self.deposed = Some(Deposition { by, since: now, chances: self.chances });
    }
}
