//! What a master does: settle duels (rule 10), follow the truth about its claim
//! (rules 12 to 14), hand over (rules 5 and 11), and stay where nobody is better.

use std::net::Ipv4Addr;

use super::Election;
use super::event::{Reason, Refusal};
use super::listening::SETTLED;
use super::peer::{self, Peer, is_candidate, offers_to, precedence};
use super::state::{Following, Mastership, OpenOffer, State, Wish};
use crate::proto::claim::STALE_READ;
use crate::proto::claim::event::{ClaimState, Holder, Look, Source};
use crate::proto::heartbeat::{DeposedBy, GroupReport, HandOver};
use crate::proto::ids::{Priority, Term};
use crate::proto::time::{Duration, Time};

/// Rule 13: how long a loss may have no name before the master steps down.
const NAMELESS: Duration = Duration::from_secs(10);

/// How long the API's host must have been out of reach before that is worth a move: two more attempts
/// of the reach probe, which comes each second then. What comes back meanwhile is a blip. And how long the
/// other node must have reached it: what was lost for both comes back for each in its own time.
const ISOLATED: Duration = Duration::from_secs(2);

/// Rule 5: how long one that let an offer lapse is passed over.
const PASSED_OVER: Duration = Duration::from_secs(3);

/// The order between two masters (rule 10); the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    word: Word,
    term: Term,
    last: (Priority, Ipv4Addr),
}

/// Held, verified after the other's takeover, the other not sent > sent > neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Neither,
    Sent,
    Held,
}

/// One side of a duel.
#[derive(Clone, Copy, Debug)]
struct Duelist {
    held: bool,
    verified: Option<Time>,
    takeover: Time,
    sent: bool,
}

fn word(one: Duelist, other: Duelist) -> Word {
    let verified = one.verified.is_some_and(|verified| verified > other.takeover);
    match (one.held && verified && !other.sent, one.sent) {
        (true, _) => Word::Held,
        (false, true) => Word::Sent,
        (false, false) => Word::Neither,
    }
}

impl Election {
    /// Table, `Master`.
    pub(super) fn rule(&mut self, now: Time) {
        if !self.candidacy.healthy {
            // Rule 11: until the next fault.
            self.protected = false;
        }
        if self.yield_to_named(now) || self.duel(now) || self.obey_truth(now) {
            return;
        }
        self.tend_offer(now);
    }

    fn master_mut(&mut self) -> Option<&mut Mastership> {
        match &mut self.state {
            State::Master(master) => Some(master),
            State::Init(_) | State::Backup(_) | State::Fault(_) | State::Left(_) => None,
        }
    }

    /// Rule 5: the master hears the named one as master with a higher term: then it yields, always.
    fn yield_to_named(&mut self, now: Time) -> bool {
        let Some(Mastership { offer: Some(OpenOffer { to, cause, term, .. }), .. }) = self.mastership().cloned() else {
            return false;
        };
        let dead = self.dead();
        let taken = self
            .peer(to)
            .and_then(|peer| peer.echoed(now, dead))
            .filter(|report| peer::is_master(report) && report.term > term)
            .map(|report| Following { master: to, term: report.term });
        let Some(following) = taken else { return false };
        self.had_held_or_sent = false;
        self.step_down(now, Some(following), Reason::HandedOver { to, cause });
        true
    }

    /// Rule 14: who ends a mastership that could not claim is not ready and wants nothing for
    /// `claim_timeout` x 2^n, however it ends: the taker may be heard only after the offer has lapsed.
    pub(super) fn hold_back(&mut self, now: Time) {
        let Some(master) = self.mastership() else { return };
        let offered = master.offer.is_some_and(|open| open.cause == HandOver::ClaimFailing);
        let failed = self.claim.failing_since.is_some_and(|since| now - since >= self.params.claim_timeout);
        if !offered && !failed {
            return;
        }
        let times = 1_u32.checked_shl(self.hold_down.times).unwrap_or(u32::MAX);
        self.hold_down.until = Some(now + self.params.claim_timeout.saturating_mul(times));
        self.hold_down.times = self.hold_down.times.saturating_add(1);
    }

    /// Rule 10.
    fn duel(&mut self, now: Time) -> bool {
        let (own, dead) = (self.params.own, self.dead());
        let Some(master) = self.mastership() else { return false };
        let mine = Duelist {
            held: self.claim.state == ClaimState::Held,
            verified: self.claim.verified,
            takeover: master.began,
            sent: self.claim.sent,
        };
        let my_term = master.term;
        let mut highest = my_term;
        let mut winner = None;
        for peer in &self.peers {
            let Some(report) = peer.echoed(now, dead).filter(|report| peer::is_master(report)) else { continue };
            highest = highest.max(report.term);
            if offers_to(report, own).is_some() {
                continue;
            }
            let theirs = Duelist {
                held: report.claim == ClaimState::Held,
                verified: peer.point(report.verified_ago),
                takeover: peer.point(report.takeover_ago).unwrap_or(now),
                sent: report.sent,
            };
            let me = Weight { word: word(mine, theirs), term: my_term, last: precedence(self.candidacy.priority, own) };
            let other =
                Weight { word: word(theirs, mine), term: report.term, last: precedence(report.priority, peer.address) };
            if other > me {
                winner = Some(Following { master: peer.address, term: report.term });
            }
        }
        if let Some(winner) = winner {
            let following = Following { term: highest, ..winner };
            self.step_down(now, Some(following), Reason::DuelLost { to: following.master });
            return true;
        }
        // The winner's term becomes the higher of both.
        self.term = self.term.max(highest);
        if let Some(master) = self.master_mut() {
            master.term = highest;
        }
        false
    }

    /// Rules 12 and 13: what the newest look of this mastership means for it.
    fn obey_truth(&mut self, now: Time) -> bool {
        let Some(master) = self.mastership().cloned() else { return false };
        let Some(look) = self.api_look_of(&master) else { return self.nameless(now, &master) };
        match look.holder {
            Holder::Mine | Holder::Nobody => false,
            Holder::Foreign(droplet) if self.base.foreign == Some(droplet) => false,
            Holder::Foreign(droplet) => {
                self.step_down(now, None, Reason::Foreign { droplet });
                true
            }
            Holder::Member(member) if self.claim.state != ClaimState::Lost && self.base.contains(member) => false,
            Holder::Member(member) => self.judge_member(now, member, look),
            Holder::Unknown => self.nameless(now, &master),
        }
    }

    /// The newest API look, if it may be acted on: begun in this mastership, not before the claim was last
    /// verified, with nothing under way.
    fn api_look_of(&self, master: &Mastership) -> Option<Look> {
        let look = self.claim.look.filter(|look| {
            let of_now = look.begun >= master.began && self.claim.verified.is_none_or(|at| look.begun >= at);
            look.source == Source::Api && look.settled && of_now
        })?;
        match (self.claim.state, look.holder) {
            // The reconciler tells a stale read from a loss (rule 12).
            (ClaimState::Held, _) => None,
            // What is under way may land yet: that is rule 13's affair then.
            _ if self.claim.sent => None,
            // An answer from before the loss says nothing about it.
            (ClaimState::Lost, Holder::Mine) => None,
            // A takeover that followed the truth wrote nothing; for S, what contradicts it may be the stale
            // read (rule 12). The claim is lost meanwhile, so nobody believes anything false.
            (ClaimState::Lost, _) if look.begun < master.began + STALE_READ => None,
            _ => Some(look),
        }
    }

    /// Rules 12 and 13: the address is at another member, and no base covers it.
    fn judge_member(&mut self, now: Time, member: Ipv4Addr, look: Look) -> bool {
        let dead = self.dead();
        let peer = self.peer(member);
        // A host that sends what nobody can read can be neither followed nor offered to.
        let Some(heard) = peer.and_then(|peer| peer.heard(now, dead)).copied() else {
            let by = DeposedBy::Member(member);
            self.depose(now, by);
            self.step_down(now, None, Reason::Deposed { by });
            return true;
        };
        match peer.and_then(|peer| peer.echoed(now, dead)) {
            // Echoed or not: it is the truth that ends this mastership, not the word of that one.
            _ if peer::is_master(&heard) => {
                let following = Following { master: member, term: heard.term };
                self.step_down(now, Some(following), Reason::Superseded { by: member });
                true
            }
            // A heard candidate: offered to it, by `wishes`.
            Some(report) if is_candidate(report) => false,
            Some(_) => {
                let Some(master) = self.master_mut() else { return false };
                if master.judged != Some(look.begun) {
                    master.judged = Some(look.begun);
                    self.base.insert(member);
                    self.reissue = true;
                }
                false
            }
            // Not echoed: it may hinder, never cause (rule 2).
            None => false,
        }
    }

    /// Rule 13: a loss that nobody can name for 10 s.
    fn nameless(&mut self, now: Time, master: &Mastership) -> bool {
        let Some(lost_since) = master.lost_since else { return false };
        if now - lost_since < NAMELESS {
            self.wake_at(lost_since + NAMELESS);
            return false;
        }
        self.depose(now, DeposedBy::Unknown);
        self.step_down(now, None, Reason::Deposed { by: DeposedBy::Unknown });
        true
    }

    /// Rule 5: at most one offer is open; it lapses after D, or when the named one is no candidate.
    fn tend_offer(&mut self, now: Time) {
        let dead = self.dead();
        let Some(wish) = self.wish(now) else {
            if let Some(master) = self.master_mut() {
                master.offer = None;
            }
            return;
        };
        let open = self.mastership().and_then(|master| master.offer);
        if let Some(open) = open {
            let fits = self.peer(open.to).is_some_and(|peer| self.fits(peer, wish, now));
            if fits && now < open.lapses && open.cause == wish.cause {
                self.wake_at(open.lapses);
                return;
            }
            if (!fits || now >= open.lapses)
                && let Some(peer) = self.peer_mut(open.to)
            {
                peer.passed_over_until = now + PASSED_OVER;
                self.wake_at(now + PASSED_OVER);
            }
        }
        let next = self.best(now, wish);
        let term = self.mastership().map_or(self.term, |master| master.term);
        let since = wish.since.unwrap_or(now);
        let offer = next.map(|to| OpenOffer { to, cause: wish.cause, since, term, lapses: now + dead });
        let mut again = self.peers.iter().map(|peer| peer.passed_over_until).filter(|until| *until > now).min();
        if let Some(master) = self.master_mut() {
            master.offer = offer;
            if offer.is_none() && master.ordered.take().is_some() {
                // Nobody took it: the operator's word is not kept for ever. What else there is counts now.
                return self.tend_offer(now);
            }
        }
        if let Some(offer) = offer {
            again = Some(offer.lapses);
        }
        if let Some(again) = again {
            self.wake_at(again);
        }
    }

    /// Why this master would hand over now: the most pressing cause first.
    fn wish(&mut self, now: Time) -> Option<Wish> {
        let plain = |cause| Wish { cause, since: None, to: None, proof_after: None, reach: false, ready: true };
        let master = self.mastership()?.clone();
        if let Some(Holder::Member(member)) = self.api_look_of(&master).map(|look| look.holder)
            && !(self.base.contains(member) && self.claim.state != ClaimState::Lost)
        {
            return Some(Wish { to: Some(member), ready: false, ..plain(HandOver::FollowTruth) });
        }
        if self.drained {
            return Some(plain(HandOver::Drain));
        }
        if !self.candidacy.healthy {
            return Some(Wish { since: self.candidacy.since, ..plain(HandOver::Fault) });
        }
        if let Some(to) = master.ordered {
            return Some(Wish { to, ready: to.is_none(), ..plain(HandOver::Failover) });
        }
        if let Some(failing) = self.claim.failing_since.filter(|_| !self.claim.sent) {
            let due = failing + self.params.claim_timeout;
            if now >= due {
                return Some(Wish {
                    since: Some(failing),
                    proof_after: Some(failing),
                    ..plain(HandOver::ClaimFailing)
                });
            }
            self.wake_at(due);
        }
        if let Some(since) = self.unreachable_since {
            // A lost API is lost for all, and each notices in its own time that it is lost, or never, and that
            // it is back: worth a move is only who was answered since, while this node goes on waiting.
            let outreached = self.outreached_since(now, since);
            let due = (since + ISOLATED).max(outreached.map_or(since, |at| at + ISOLATED));
            if now >= due && outreached.is_some() {
                return Some(Wish {
                    since: Some(since),
                    reach: true,
                    proof_after: Some(since),
                    ..plain(HandOver::Isolated)
                });
            }
            if due > now {
                self.wake_at(due);
            }
            return None;
        }
        self.preempted(now, &master).map(|to| Wish { to: Some(to), ..plain(HandOver::Preempt) })
    }

    /// Since when a candidate is heard that the API has answered after this node lost it, at `lost`.
    fn outreached_since(&mut self, now: Time, lost: Time) -> Option<Time> {
        let dead = self.dead();
        let answered = self.peers.iter().any(|peer| {
            peer.echoed(now, dead).is_some_and(|report| {
                is_candidate(report) && peer.point(report.readiness.proof_age).is_some_and(|at| at > lost)
            })
        });
        let master = self.master_mut()?;
        // One that was noted in an earlier loss says nothing of this one.
        let noted = master.outreached_since.filter(|at| *at >= lost);
        master.outreached_since = noted.or(answered.then_some(now));
        master.outreached_since
    }

    /// Rule 11: the one that asks for the mastership and may have it.
    fn preempted(&mut self, now: Time, master: &Mastership) -> Option<Ipv4Addr> {
        let held_since = master.held_since.filter(|_| !self.protected)?;
        let dead = self.dead();
        let askers = self.peers.iter().filter_map(|peer| {
            let report = peer.echoed(now, dead).filter(|report| report.wants && is_candidate(report))?;
            // It may not know yet what this node's priority is now.
            (report.priority > self.candidacy.priority).then_some(precedence(report.priority, peer.address))
        });
        let (_, asker) = askers.max()?;
        if now - held_since < SETTLED {
            self.wake_at(held_since + SETTLED);
            return None;
        }
        Some(asker)
    }

    fn fits(&self, peer: &Peer, wish: Wish, now: Time) -> bool {
        let fresh = |report: &GroupReport| {
            wish.proof_after.is_none_or(|after| peer.point(report.readiness.proof_age).is_some_and(|at| at > after))
        };
        wish.to.is_none_or(|to| to == peer.address)
            && peer.echoed(now, self.dead()).is_some_and(|report| {
                is_candidate(report)
                    && (report.readiness.ready || !wish.ready)
                    && (!wish.reach || peer.reach_since.is_some_and(|since| now - since >= ISOLATED))
                    && fresh(report)
            })
    }

    /// The best candidate that fits and did not let an offer lapse just now.
    fn best(&self, now: Time, wish: Wish) -> Option<Ipv4Addr> {
        let dead = self.dead();
        let fitting = self.peers.iter().filter(|peer| now >= peer.passed_over_until && self.fits(peer, wish, now));
        let ordered = fitting.filter_map(|peer| Some(precedence(peer.heard(now, dead)?.priority, peer.address)));
        ordered.max().map(|(_, address)| address)
    }

    /// Who shall go when this node stops: the best ready one, else the best.
    pub(super) fn successor(&self, now: Time) -> Option<Ipv4Addr> {
        let wish = Wish { cause: HandOver::Drain, since: None, to: None, proof_after: None, reach: false, ready: true };
        self.mastership()?;
        self.best(now, wish).or_else(|| self.best(now, Wish { ready: false, ..wish }))
    }

    /// An operator's `failover`.
    pub(super) fn order(&mut self, now: Time, to: Option<Ipv4Addr>) -> Result<(), Refusal> {
        let wish = Wish { cause: HandOver::Failover, since: None, to, proof_after: None, reach: false, ready: true };
        self.mastership().ok_or(Refusal::NotMaster)?;
        let fits = |wish| self.peers.iter().any(|peer| self.fits(peer, wish, now));
        match to {
            None if !fits(wish) => return Err(Refusal::Nobody),
            Some(to) if !fits(Wish { ready: false, ..wish }) => return Err(Refusal::NoCandidate(to)),
            Some(to) if !fits(wish) => return Err(Refusal::NotReady(to)),
            None | Some(_) => {}
        }
        for peer in &mut self.peers {
            peer.passed_over_until = Time::ORIGIN;
        }
        if let Some(master) = self.master_mut() {
            master.ordered = Some(to);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duelist(held: bool, verified: Option<u64>, takeover: u64, sent: bool) -> Duelist {
        Duelist { held, verified: verified.map(Time::from_millis), takeover: Time::from_millis(takeover), sent }
    }

    #[test]
    fn rule_10_orders_held_after_the_takeover_over_sent_over_neither() {
        let old = duelist(true, Some(50), 10, false);
        let new = duelist(false, None, 40, false);
        assert_eq!((word(old, new), word(new, old)), (Word::Held, Word::Neither));
        // What was verified before the other took over proves nothing about it.
        assert_eq!(word(duelist(true, Some(30), 10, false), new), Word::Neither);
        // An assign under way is about to win: what is held now will not be.
        let sending = Duelist { sent: true, ..new };
        assert_eq!((word(old, sending), word(sending, old)), (Word::Neither, Word::Sent));
    }
}
