//! What a node does while it is not master: follow one (rule 3), ask it when it
//! misses a heartbeat (rule 4), take an offer (rule 5), take over (rules 6 to 9),
//! ask for the mastership (rule 11).

use std::net::Ipv4Addr;

use super::event::{Hindrance, Output, ProbeResult, Reason, Waiting};
use super::evidence::Deposition;
use super::peer::{self, Peer, precedence};
use super::probe::{Finding, Probing};
use super::rules::{self, BOOTING, Standing, Vacancy, Verdict};
use super::state::{Following, Init, Listening, State};
use super::{Election, evidence};
use crate::proto::claim::event::{Base, Holder, Source};
use crate::proto::heartbeat::{DeposedBy, HandOver, NodeState};
use crate::proto::time::{Duration, Time};

impl Election {
    /// Table, `Backup` and `Fault`.
    pub(super) fn listen(&mut self, now: Time) {
        self.change_candidacy(now);
        self.follow(now);
        if self.accept_offer(now) || self.succeed(now) {
            return;
        }
        self.note_own_deposition(now);
        self.ask(now);
        self.probe(now);
        self.prefer(now);
        if self.master_heard(now).is_none() {
            self.fill_vacancy(now);
        } else if let Some(listening) = self.listening_mut() {
            (listening.told, listening.word) = (None, None);
        }
    }

    pub(super) fn listening_mut(&mut self) -> Option<&mut Listening> {
        match &mut self.state {
            State::Backup(listening) | State::Fault(listening) => Some(listening),
            State::Init(_) | State::Master(_) | State::Left(_) => None,
        }
    }

    /// `Backup` and `Fault` differ in nothing but the candidacy.
    fn change_candidacy(&mut self, now: Time) {
        let next = match &self.state {
            State::Backup(listening) if !self.may_be_master() => {
                let reason = if self.drained { Reason::Drained } else { self.check_failed() };
                (State::Fault(listening.clone()), reason)
            }
            State::Fault(listening) if self.may_be_master() => {
                // "My becoming Backup" begins the silence anew.
                (State::Backup(Listening { began: now, ..listening.clone() }), Reason::Recovered)
            }
            State::Init(_) | State::Backup(_) | State::Fault(_) | State::Master(_) | State::Left(_) => return,
        };
        self.enter(now, next.0, next.1);
    }

    fn check_failed(&self) -> Reason {
        Reason::CheckFailed { check: self.candidacy.because.as_deref().map(str::to_owned) }
    }

    /// Rule 5: the named one takes over at once, if it follows who offers. What was heard before it
    /// became `Backup` was taken already, or was said to another candidate than it is now.
    fn accept_offer(&mut self, now: Time) -> bool {
        let State::Backup(Listening { began, follows, .. }) = self.state else { return false };
        let (own, dead) = (self.params.own, self.dead());
        let offer = self.peers.iter().find_map(|peer| {
            let report = peer.echoed(now, dead).filter(|report| peer::is_master(report))?;
            if follows.is_some_and(|following| following.master != peer.address) || peer.heard_at() <= Some(began) {
                return None;
            }
            Some((peer.address, peer::offers_to(report, own)?, report.base))
        });
        let Some((by, cause, theirs)) = offer else { return false };
        let mut base = join(self.base, theirs);
        base.insert(by);
        self.take_over(now, Reason::Offered { by, cause }, base, cause == HandOver::Failover);
        true
    }

    /// Rule 5: the master stops and named this node.
    fn succeed(&mut self, now: Time) -> bool {
        let State::Backup(Listening { began, .. }) = self.state else { return false };
        let (own, dead) = (self.params.own, self.dead());
        let named = self.peers.iter().find_map(|peer| {
            let report = peer.echoed(now, dead).filter(|_| peer.heard_at() > Some(began))?;
            (report.leaving?.successor == Some(own)).then_some((peer.address, report.base))
        });
        let Some((by, theirs)) = named else { return false };
        if self.master_heard(now).is_some() {
            return false;
        }
        let mut base = join(self.base, theirs);
        base.insert(by);
        self.take_over(now, Reason::Resigned { by }, base, false);
        true
    }

    /// Rule 3: one master; another one only by a higher term, or when this one is none.
    fn follow(&mut self, now: Time) {
        let dead = self.dead();
        let best = self
            .peers
            .iter()
            .filter_map(|peer| {
                let report = peer.echoed(now, dead).filter(|report| peer::is_master(report))?;
                Some((report.term, precedence(report.priority, peer.address), peer.address))
            })
            .max();
        let heard = best.map(|(term, _, master)| Following { master, term });
        // Second to an echoed master: one that is heard without echo, or told of by a peer (rule 2).
        let hinted = self.master_heard(now).map(|master| self.following(master));
        let denied = |election: &Self, master: Ipv4Addr| {
            election.peer(master).and_then(|peer| peer.echoed(now, dead)).is_some_and(|report| {
                !peer::is_master(report) && report.state != NodeState::Init && report.leaving.is_none()
            })
        };
        let present = self.listening().and_then(|listening| listening.follows);
        let next = match (present, heard) {
            (None, _) => heard.or(hinted),
            (Some(present), Some(heard)) if heard.master == present.master => Some(heard),
            (Some(present), Some(heard)) if heard.term > present.term => Some(heard),
            (Some(present), _) => {
                let fresh = self.mastered_at(present.master, now).is_some_and(|at| now - at < dead);
                let gone = denied(self, present.master) || !fresh;
                match heard.or(hinted).filter(|other| other.master != present.master) {
                    // Another master is heard: no vacancy.
                    Some(other) if gone => Some(other),
                    _ if denied(self, present.master) => None,
                    _ => Some(present),
                }
            }
        };
        if let Some(listening) = self.listening_mut() {
            listening.follows = next;
        }
    }

    /// Rule 8: I had held or sent, and the truth is a member that I do not hear.
    fn note_own_deposition(&mut self, now: Time) {
        if !self.had_held_or_sent || self.deposed.is_some() || self.master_heard(now).is_some() {
            return;
        }
        let Some(look) =
            self.claim.look.filter(|look| look.source == Source::Api && look.settled && look.begun >= self.since)
        else {
            return;
        };
        if let Holder::Member(member) = look.holder
            && self.peer(member).is_none_or(|peer| peer.unheard(now, self.dead()))
        {
            self.depose(now, DeposedBy::Member(member));
        }
    }

    /// Rule 4: from 1.1 I of silence the master is asked every I/5, until it is given up.
    fn ask(&mut self, now: Time) {
        let Some(listening) = self.listening() else { return };
        let Some(Following { master, .. }) = listening.follows else { return };
        let heard = self.peer(master).and_then(Peer::heard_at).unwrap_or(listening.began);
        let step = self.params.interval / 5;
        let (from, until) = (heard + self.missed(), heard + self.dead() * 4);
        // A question that was due before belongs to an earlier silence, or to another master's.
        let next = listening.ask_at.filter(|_| now >= from).unwrap_or(from).max(from);
        let due = now >= next && now < until;
        let ask_at = if due { Some(now + step) } else { Some(next) };
        if let Some(listening) = self.listening_mut() {
            listening.ask_at = ask_at;
        }
        if due {
            self.outputs.push_back(Output::Ask { peer: master });
        }
        let wake = if due { now + step } else { next };
        if now < wake && wake < until {
            self.wake_at(wake);
        }
    }

    /// Rule 9: a candidate probes from the first missed heartbeat on, and wherever it follows nobody.
    fn probe(&mut self, now: Time) {
        let asks = self.params.probe.is_some() && matches!(self.state, State::Backup(_));
        let uplink = self.uplink;
        let Some(listening) = self.listening() else { return };
        let silent_since = self.silent_since(listening, now);
        let due = if listening.follows.is_none() { silent_since } else { silent_since + self.missed() };
        let wanted = asks && now >= due;
        if asks && !wanted {
            self.wake_at(due);
        }
        let Some(listening) = self.listening_mut() else { return };
        // What was begun before the last sign of a master is evidence of an earlier silence.
        let mut probing = listening.probing.filter(|probing| wanted && probing.began() >= silent_since);
        if wanted {
            probing.get_or_insert(Probing::begin(now)).note_uplink(uplink);
        }
        listening.probing = probing;
    }

    pub(super) fn probing_mut(&mut self) -> Option<&mut Probing> {
        self.listening_mut()?.probing.as_mut()
    }

    pub(super) fn take_probe(&mut self, result: ProbeResult) {
        let limit = self.params.probe;
        if let (Some(limit), Some(probing)) = (limit, self.probing_mut()) {
            probing.record(result, limit);
        }
    }

    /// Rule 11: since when this node is the better one; [`Election::wants`] asks.
    fn prefer(&mut self, now: Time) {
        let better = self.params.preempt
            && matches!(self.state, State::Backup(_))
            && self.ready(now)
            && self.outranks_master(now)
            && self.rank_among_backups(now);
        let delay = self.params.preempt_delay;
        let Some(listening) = self.listening_mut() else { return };
        listening.better_since = better.then(|| listening.better_since.unwrap_or(now));
        let due = listening.better_since.map(|since| since + delay);
        if let Some(due) = due.filter(|due| *due > now) {
            self.wake_at(due);
        }
    }

    fn outranks_master(&self, now: Time) -> bool {
        let master = self.listening().and_then(|listening| listening.follows);
        master
            .and_then(|following| self.peer(following.master))
            .and_then(|peer| peer.echoed(now, self.dead()))
            .is_some_and(|report| peer::is_master(report) && self.candidacy.priority > report.priority)
    }

    /// Only the best candidate asks, so that a mastership does not climb step by step.
    fn rank_among_backups(&self, now: Time) -> bool {
        let me = precedence(self.candidacy.priority, self.params.own);
        !self.peers.iter().any(|peer| {
            peer.heard(now, self.dead()).is_some_and(|r| {
                peer::is_candidate(r) && r.readiness.ready && precedence(r.priority, peer.address) > me
            })
        })
    }

    /// Rule 11: whether this node asks for the mastership now.
    pub(super) fn wants(&self, now: Time) -> bool {
        self.listening()
            .and_then(|listening| listening.better_since)
            .is_some_and(|since| now - since >= self.params.preempt_delay)
    }

    /// Rules 6 to 9.
    fn fill_vacancy(&mut self, now: Time) {
        if let Some(until) = self.excused_until(now) {
            self.wake_at(until);
            return;
        }
        self.note_evidence(now);
        let Some(listening) = self.listening() else { return };
        let vacancy = self.vacancy(now, listening);
        match rules::decide(&self.params, &vacancy) {
            Verdict::TakeOver { reason, base } => self.take_over(now, reason, base, false),
            Verdict::Wait { wake, .. } => {
                // Masters that were just heard end their hearing before any rule holds.
                if let Some(at) = wake {
                    self.wake_at(at);
                }
            }
        }
    }

    /// What keeps this node from taking over, for people.
    pub(super) fn waiting(&self, now: Time) -> Option<Waiting> {
        let (hindrance, until) = match &self.state {
            State::Master(_) => return None,
            State::Init(Init { began }) => (Hindrance::Listening, Some(*began + self.dead())),
            State::Left(_) => (Hindrance::Leaving, None),
            State::Backup(listening) | State::Fault(listening) => {
                if let Some(master) = self.master_heard(now) {
                    (Hindrance::MasterHeard { master }, None)
                } else if let Some(until) = self.excused_until(now) {
                    (Hindrance::Late, Some(until))
                } else {
                    return match rules::decide(&self.params, &self.vacancy(now, listening)) {
                        Verdict::TakeOver { .. } => None,
                        Verdict::Wait { waiting, .. } => Some(waiting),
                    };
                }
            }
        };
        Some(Waiting { hindrance, until })
    }

    /// Rule 1: this node's own lateness is not a peer's death. What was sent to it meanwhile
    /// may be lost; the question that goes out now is answered by then.
    fn excused_until(&self, now: Time) -> Option<Time> {
        Some(self.late_at? + self.params.interval / 2).filter(|until| now < *until)
    }

    /// Since when rule 7's evidence is complete, and since when a peer says that it was deposed.
    fn note_evidence(&mut self, now: Time) {
        let Some(listening) = self.listening() else { return };
        let silent_since = self.silent_since(listening, now);
        let told = match (listening.told, self.claim.look.filter(|look| look.begun >= silent_since)) {
            (Some((holder, at)), Some(look)) if holder == look.holder && at >= silent_since => Some((holder, at)),
            (_, truth) => truth.map(|look| (look.holder, look.ended)),
        };
        let word = self.deposed_by_word(now).map(|by| match listening.word {
            Some(word) if word.by == by => word,
            Some(_) | None => Deposition { by, since: now, chances: 0 },
        });
        if let Some(listening) = self.listening_mut() {
            (listening.told, listening.word) = (told, word);
        }
    }

    fn vacancy(&self, now: Time, listening: &Listening) -> Vacancy {
        let dead = self.dead();
        let followed = listening.follows.map(|following| following.master);
        let heard = |address| self.peer(address).and_then(|peer| peer.heard(now, dead));
        let mut base = self.base;
        if let Some(report) = followed.and_then(|master| self.peer(master)).and_then(|p| p.view(now, dead).report) {
            // It may have died with its claim under way: its base is still the holder then.
            base = join(report.base, base);
        }
        let successor = followed
            .and_then(|master| self.peer(master)?.view(now, dead).report?.leaving?.successor)
            .is_some_and(|successor| heard(successor).is_some());
        let holder = match self.claim.look.map(|look| look.holder) {
            Some(Holder::Member(member)) => self.standing(member, now),
            _ => Standing::Unheard { known: false },
        };
        let word = listening.word.filter(|word| !self.claim.look.is_some_and(|look| word.ended_by(&look)));
        let finding = match (self.params.probe, listening.probing) {
            (None, _) => Finding::NotConfigured,
            (Some(_), Some(probing)) => probing.finding(now, self.uplink),
            (Some(_), None) => Finding::Incomplete,
        };
        let deposer = self.deposed.or(word).and_then(|deposed| self.peer(deposed.member()?));
        Vacancy {
            now,
            silent_since: self.silent_since(listening, now).max(listening.counts_from),
            candidate: matches!(self.state, State::Backup(_)),
            candidate_heard: self.peers.iter().any(|p| p.heard(now, dead).is_some_and(peer::is_candidate)),
            followed,
            successor_heard: successor,
            look: self.claim.look,
            holder,
            deposed: self.deposed,
            deposed_by_word: word,
            deposer_babbles: deposer.is_some_and(|peer| peer.babbles(now, dead)),
            told_at: listening.told.map(|(_, at)| at),
            rank: self.rank(now),
            base,
            booting: self.started - self.params.host_up < BOOTING,
            finding,
            probe: listening.probing.map(|probing| probing.evidence()).unwrap_or_default(),
        }
    }

    fn standing(&self, member: Ipv4Addr, now: Time) -> Standing {
        let Some(peer) = self.peer(member) else { return Standing::Unheard { known: false } };
        match peer.heard(now, self.dead()) {
            Some(report) if report.candidate || report.state == NodeState::Init => Standing::Candidate,
            Some(_) if peer.echoed(now, self.dead()).is_some() => Standing::NoCandidate,
            // It may be a recording (rule 2): no reason to wait less.
            Some(_) => Standing::Unheard { known: true },
            None if peer.babbles(now, self.dead()) => Standing::Babbling,
            None => Standing::Unheard { known: peer.heard_at().is_some() },
        }
    }

    /// The silence begins at the last of: a master heard, my becoming `Backup`.
    pub(super) fn silent_since(&self, listening: &Listening, now: Time) -> Time {
        let dead = self.dead();
        let heard = self.peers.iter().filter_map(|peer| self.mastered_at(peer.address, now)).max();
        let followed = listening.follows.and_then(|following| self.peer(following.master));
        let present = followed.and_then(|peer| evidence::present_at(peer, now, dead, self.params.interval));
        // A host whose datagrams nobody can read is not silent.
        let babble = followed.and_then(Peer::babbled_at);
        [Some(listening.began), heard, present, babble].into_iter().flatten().max().unwrap_or(listening.began)
    }

    /// Rule 8: "or a heard peer says so first-hand and I hear no master and not x".
    fn deposed_by_word(&self, now: Time) -> Option<DeposedBy> {
        let dead = self.dead();
        let unheard = |by: &DeposedBy| match by {
            DeposedBy::Member(by) => {
                *by != self.params.own && self.peer(*by).is_none_or(|peer| peer.echoed(now, dead).is_none())
            }
            DeposedBy::Unknown => false,
        };
        self.peers.iter().filter_map(|peer| peer.echoed(now, dead)?.deposed_by).find(unheard)
    }
}

/// The newer base's members last: a full base forgets its oldest.
fn join(older: Base, newer: Base) -> Base {
    let mut base = older;
    for member in newer.members() {
        base.remove(member);
        base.insert(member);
    }
    base.foreign = newer.foreign;
    base
}

/// How long a master must have been held before it gives way to a better one (rule 11).
pub(super) const SETTLED: Duration = Duration::from_secs(2);
