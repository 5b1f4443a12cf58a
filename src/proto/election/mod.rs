//! The election: one for each group, the rules of `docs/design.md` in code.
//!
//! News is recorded as it comes; [`Input::Drained`] evaluates the rules once, when
//! all of it was read. Each rule is named where it is applied:
//!
//! | rules | where |
//! | --- | --- |
//! | 1 gap, 2 echo, 3 follow, 4 ask | here, `evidence`, `listening` |
//! | 5 hand over, 10 duel, 11 preempt, 12 to 14 claims | `mastership`, its requests in `listening` |
//! | 6 to 9 take over | `rules`, with ranks from `rank`, probes from `probe` and what `truth` keeps |

mod command;
pub mod event;
mod evidence;
mod listening;
mod mastership;
mod peer;
mod probe;
pub mod rank;
mod rules;
mod state;
mod truth;

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use crate::proto::claim::event::{Base, ClaimReport, ClaimState, Hold, Holder, Intent};
use crate::proto::heartbeat::{DeposedBy, Follows, GroupReport, HandOver, Leaving, NodeState, Offer, Readiness};
use crate::proto::ids::{Priority, Rank, Term};
use crate::proto::time::{Duration, Time};

use event::{
    Candidacy, Command, DEAD_INTERVALS, Evidence, Input, Memory, Output, Params, PeerView, Reason, Refusal, Transition,
    View,
};
use evidence::Deposition;
use peer::Peer;
use probe::Uplink;
use rank::Contender;
use state::{Following, Init, Left, Listening, Mastership, State};

/// Rule 14: how long a node that gave up a failing claim is not ready, and how often it did.
#[derive(Clone, Copy, Debug, Default)]
struct HoldDown {
    until: Option<Time>,
    times: u32,
}

/// The part of the own report whose change peers must know at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Urgent {
    settings: u32,
    state: NodeState,
    candidate: bool,
    priority: Priority,
    offer: Option<(Ipv4Addr, HandOver)>,
    wants: bool,
    deposed_by: Option<DeposedBy>,
    leaving: Option<Leaving>,
}

/// One group's election on one node.
#[derive(Debug)]
pub struct Election {
    params: Params,
    /// When this agent began to listen.
    started: Time,
    state: State,
    since: Time,
    reason: Option<Reason>,
    evidence: Evidence,
    /// The highest term seen.
    term: Term,
    candidacy: Candidacy,
    drained: bool,
    /// Since when this node does not reach the API's host.
    unreachable_since: Option<Time>,
    claim: ClaimReport,
    peers: Vec<Peer>,
    deposed: Option<Deposition>,
    /// Rule 8's n: the chances in which an assign was sent. An own `Held` does not reset it:
    /// two nodes that do not hear each other would take the address from each other for ever.
    chances: u32,
    /// The present mastership is by an operator's `failover`: not preempted (rule 11).
    protected: bool,
    /// The last known holder and what else a claim from here may replace.
    base: Base,
    had_held_or_sent: bool,
    hold_down: HoldDown,
    /// When this node last woke late, by more than it can tell from a peer's silence.
    late_at: Option<Time>,
    /// Rule 9: since when the API answers.
    uplink: Option<Uplink>,
    /// Probes were asked for.
    probing: bool,
    intent: Intent,
    /// Issue the intent though it is the same one: a loss was judged (rule 13).
    reissue: bool,
    commands: VecDeque<Command>,
    told: Urgent,
    kept: Memory,
    /// When the rules may give another answer without any news.
    wake: Option<Time>,
    outputs: VecDeque<Output>,
}

/// Commands that wait for the next evaluation; further ones are refused.
const COMMANDS: usize = 16;

impl Election {
    /// An election that begins to listen now.
    #[must_use]
    pub fn new(now: Time, params: Params, peers: &[Ipv4Addr], priority: Priority, memory: Option<Memory>) -> Self {
        let kept = memory.unwrap_or_default();
        let state = State::Init(Init { began: now });
        let told = Urgent {
            settings: params.settings,
            state: NodeState::Init,
            candidate: false,
            priority,
            offer: None,
            wants: false,
            deposed_by: None,
            leaving: None,
        };
        Self {
            started: now,
            since: now,
            reason: None,
            evidence: Evidence::default(),
            term: kept.term,
            candidacy: Candidacy { healthy: false, priority, because: None, since: None },
            drained: kept.drained,
            unreachable_since: None,
            claim: ClaimReport::default(),
            peers: peers.iter().map(|address| Peer::new(*address)).collect(),
            deposed: kept.deposed.map(|(by, chances)| Deposition { by, since: now, chances }),
            chances: kept.deposed.map_or(0, |(_, chances)| chances),
            protected: kept.protected,
            base: kept.base,
            had_held_or_sent: kept.had_held_or_sent,
            hold_down: HoldDown::default(),
            late_at: None,
            uplink: None,
            probing: false,
            intent: Intent::Yield,
            reissue: true,
            commands: VecDeque::with_capacity(COMMANDS),
            told,
            kept,
            wake: Some(now),
            outputs: VecDeque::with_capacity(16),
            state,
            params,
        }
    }

    /// The only way in. `now` never goes back.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Heard(heard) => {
                self.term = self.term.max(heard.report.term);
                if let Some(peer) = self.peer_mut(heard.peer) {
                    peer.hear(heard);
                }
            }
            Input::PortUnreachable { peer } => {
                if let Some(peer) = self.peer_mut(peer) {
                    peer.unreachable_at = Some(now);
                }
            }
            Input::OwnName { peer } => {
                if let Some(peer) = self.peer_mut(peer) {
                    peer.own_name_at = Some(now);
                }
            }
            Input::Unreadable { peer } => {
                if let Some(peer) = self.peer_mut(peer) {
                    peer.unreadable_at = Some(now);
                }
            }
            Input::WrongKey { peer } => {
                if let Some(peer) = self.peer_mut(peer) {
                    peer.wrong_key_at = Some(now);
                }
            }
            Input::Candidacy(candidacy) => self.candidacy = candidacy,
            Input::Claim(report) => self.take_claim(report),
            Input::Reach { reachable: true } => self.unreachable_since = None,
            Input::Reach { reachable: false } => {
                self.unreachable_since.get_or_insert(now);
                self.uplink = None;
            }
            Input::Probe(result) => self.take_probe(result),
            Input::Command(command) => {
                if self.commands.len() < COMMANDS {
                    self.commands.push_back(command);
                } else {
                    self.outputs.push_back(Output::Answer { command, result: Err(Refusal::Busy) });
                }
            }
            Input::Params(params) => self.retune(now, params),
            Input::Late => {
                self.late_at = Some(now);
                if let Some(probing) = self.probing_mut() {
                    probing.note_lateness(now);
                }
            }
            Input::Gap { length } => self.gap(now, length),
            Input::BrainStale => self.leave(now, Reason::BrainStale),
            Input::Drained => self.evaluate(now),
        }
    }

    /// What to do; drain after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Drained`] next, at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.wake
    }

    /// What this node says of itself to its peers now.
    #[must_use]
    pub fn report(&self, now: Time) -> GroupReport {
        let master = self.mastership();
        let urgent = self.urgent(now);
        GroupReport {
            group: self.params.group,
            settings: self.params.settings,
            state: urgent.state,
            candidate: urgent.candidate,
            priority: urgent.priority,
            term: self.term,
            claim: self.claim.state,
            takeover_ago: master.map(|master| now - master.began),
            verified_ago: self.claim.verified.map(|at| now - at),
            sent: self.claim.sent,
            base: self.base,
            readiness: Readiness { ready: self.ready(now), proof_age: self.claim.proof.map(|at| now - at) },
            reach: self.reaches_api(),
            follows: self.follows(now),
            offer: master.and_then(|master| master.offer).map(|open| Offer {
                to: open.to,
                cause: open.cause,
                began_ago: now - open.since,
            }),
            wants: urgent.wants,
            deposed_by: urgent.deposed_by,
            leaving: urgent.leaving,
        }
    }

    /// What must survive a restart (rule 1).
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory {
            term: self.term,
            deposed: self.deposed.map(|deposed| (deposed.by, deposed.chances)),
            base: self.base,
            had_held_or_sent: self.had_held_or_sent,
            drained: self.drained,
            protected: self.protected,
        }
    }

    /// What `status` shows.
    #[must_use]
    pub fn view(&self, now: Time) -> View {
        let dead = self.dead();
        View {
            state: self.state.kind(),
            reason: self.reason.clone(),
            evidence: self.evidence,
            since: self.since,
            term: self.term,
            priority: self.candidacy.priority,
            candidate: self.is_candidate(),
            drained: self.drained,
            rank: self.is_candidate().then(|| self.rank(now)),
            master: match &self.state {
                State::Master(_) => Some(self.params.own),
                State::Init(_) | State::Backup(_) | State::Fault(_) | State::Left(_) => self
                    .listening()
                    .and_then(|listening| listening.follows)
                    .map(|following| following.master)
                    .filter(|master| self.mastered_at(*master, now).is_some_and(|at| now - at < dead)),
            },
            waiting: self.waiting(now),
            probe: self.listening().and_then(|listening| listening.probing).map(|probing| probing.evidence()),
            intent: self.intent,
            claim: self.claim.clone(),
            ready: self.ready(now),
            deposed: self.deposed.map(|deposed| deposed.by),
            offer: self.offer(),
            peers: self.peers.iter().map(|peer| peer.view(now, dead)).collect::<Vec<PeerView>>(),
        }
    }

    /// Takes what may change in a running election; who takes part, and how fast it beats, may not.
    /// Nothing is decided by that: the rules go on by the new numbers.
    fn retune(&mut self, now: Time, params: Params) {
        let Params { group, own, interval, host_up, .. } = self.params;
        let unprobed = self.params.probe.is_some() && params.probe.is_none();
        self.params = Params { group, own, interval, host_up, ..params };
        // It may be another service that is asked from now on: what was found counts no more.
        if let Some(listening) = self.listening_mut() {
            listening.probing = None;
            if unprobed {
                // Silence is enough from now on, and counts from now on: before, it meant little, for
                // somebody may have served all the time.
                (listening.counts_from, listening.word) = (now, None);
            }
        }
        if let Some(deposed) = self.deposed.as_mut().filter(|_| unprobed) {
            deposed.since = now;
        }
    }

    // --- evaluation -------------------------------------------------------------------------

    fn evaluate(&mut self, now: Time) {
        self.wake = None;
        // A transition may make another rule hold at once, and lets the news that is known say something
        // else (a yielded mastership, a master to follow): a few rounds settle it, and none is ever endless.
        for _ in 0..4 {
            self.note_truth(now);
            self.note_deposition(now);
            while let Some(command) = self.commands.pop_front() {
                let result = self.command(now, command);
                self.outputs.push_back(Output::Answer { command, result });
            }
            let before = self.state.kind();
            match self.state {
                State::Init(_) => self.listen_first(now),
                State::Backup(_) | State::Fault(_) => self.listen(now),
                State::Master(_) => self.rule(now),
                State::Left(_) => {}
            }
            if self.state.kind() == before {
                break;
            }
        }
        self.wake_for_silences(now);
        self.settle(now);
    }

    /// Tells what changed: intent, urgent news, memory.
    fn settle(&mut self, now: Time) {
        let intent = self.wanted(now);
        if self.intent != intent || self.reissue {
            self.reissue = false;
            self.intent = intent;
            self.outputs.push_back(Output::Intent(intent));
        }
        let probing = self.listening().is_some_and(|listening| listening.probing.is_some());
        if self.probing != probing {
            self.probing = probing;
            self.outputs.push_back(Output::Probe { wanted: probing });
        }
        let urgent = self.urgent(now);
        if self.told != urgent {
            self.told = urgent;
            self.outputs.push_back(Output::Advertise);
        }
        let memory = self.memory();
        if self.kept != memory {
            self.kept = memory;
            self.outputs.push_back(Output::Persist);
        }
    }

    fn wanted(&self, now: Time) -> Intent {
        match &self.state {
            State::Master(master) => Intent::Hold(Hold { term: master.term, since: master.began, base: self.base }),
            State::Init(_) => Intent::Watch,
            State::Left(_) => Intent::Yield,
            State::Backup(listening) | State::Fault(listening) => {
                let silence = now - self.silent_since(listening, now);
                // A probe that fails is evidence only with an answer of the API.
                let failing = listening.probing.is_some_and(|probing| probing.fails());
                if listening.follows.is_none() || silence >= self.dead() || failing || self.master_fails(listening, now)
                {
                    Intent::Watch
                } else if silence >= self.missed() {
                    Intent::Warm
                } else {
                    Intent::Yield
                }
            }
        }
    }

    /// A master whose claim fails (rule 14), or that does not reach the API, offers only to one with a
    /// younger proof, so one is got.
    fn master_fails(&self, listening: &Listening, now: Time) -> bool {
        let master = listening.follows.and_then(|following| self.peer(following.master));
        master
            .and_then(|peer| peer.echoed(now, self.dead()))
            .is_some_and(|report| peer::is_master(report) && (report.claim == ClaimState::Failing || !report.reach))
    }

    fn urgent(&self, now: Time) -> Urgent {
        Urgent {
            settings: self.params.settings,
            state: self.state.kind(),
            candidate: self.is_candidate(),
            priority: self.candidacy.priority,
            offer: self.offer(),
            wants: self.wants(now),
            deposed_by: self.deposed.map(|deposed| deposed.by),
            leaving: match &self.state {
                State::Left(left) => Some(left.leaving),
                State::Init(_) | State::Backup(_) | State::Fault(_) | State::Master(_) => None,
            },
        }
    }

    /// A peer that goes unheard changes ranks, offers and depositions without any news.
    fn wake_for_silences(&mut self, now: Time) {
        let dead = self.dead();
        let last = self.peers.iter().flat_map(|peer| {
            let told = peer.echoed(now, dead).and_then(|report| peer.point(Some(report.follows?.heard_ago)));
            [peer.heard_at(), peer.babbled_at(), told]
        });
        if let Some(end) = last.flatten().map(|at| at + dead).filter(|end| *end > now).min() {
            self.wake_at(end);
        }
    }

    fn wake_at(&mut self, at: Time) {
        self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
    }

    // --- transitions ------------------------------------------------------------------------

    fn enter(&mut self, now: Time, state: State, reason: Reason) {
        let from = self.state.kind();
        let followed = self.listening().and_then(|listening| listening.follows).map(|following| following.master);
        self.evidence = self.gather(now, followed);
        self.state = state;
        self.since = now;
        self.reason = Some(reason.clone());
        self.outputs.push_back(Output::Transition(Transition {
            at: now,
            from,
            to: self.state.kind(),
            term: self.term,
            reason,
            evidence: self.evidence,
        }));
    }

    fn gather(&self, now: Time, followed: Option<Ipv4Addr>) -> Evidence {
        let master = followed.and_then(|address| self.peer(address));
        let last_heard = master.and_then(Peer::heard_at);
        Evidence {
            last_heard,
            missed: last_heard.map(|at| at + self.missed()).filter(|at| *at <= now),
            port_unreachable: master
                .is_some_and(|peer| peer.unreachable_at.is_some_and(|at| last_heard.is_none_or(|heard| at >= heard))),
            look: self.claim.look,
            rank: self.is_candidate().then(|| self.rank(now)),
            probe: self.listening().and_then(|listening| listening.probing).map(|probing| probing.evidence()),
            offered_for: self.peers.iter().find_map(|peer| {
                let offer = peer.echoed(now, self.dead())?.offer.filter(|offer| offer.to == self.params.own)?;
                peer.point(Some(offer.began_ago))
            }),
        }
    }

    /// A takeover: term = highest seen + 1 (end of rule 9).
    fn take_over(&mut self, now: Time, reason: Reason, base: Base, protected: bool) {
        self.term = self.term.next();
        self.base = base;
        self.protected = protected;
        // What the reconciler said of an earlier hold says nothing of this one. What it sent is still under way.
        self.claim.state = ClaimState::Idle;
        (self.claim.verified, self.claim.failing_since, self.claim.ever_sent) = (None, None, false);
        let mastership = Mastership {
            term: self.term,
            began: now,
            held_since: None,
            lost_since: None,
            offer: None,
            ordered: None,
            outreached_since: None,
            judged: None,
        };
        self.enter(now, State::Master(mastership), reason);
    }

    /// No master any more, or not yet one: `Backup` or, where no candidate, `Fault`.
    fn step_down(&mut self, now: Time, follows: Option<Following>, reason: Reason) {
        self.hold_back(now);
        let listening = Listening::new(now, follows);
        self.protected = false;
        // An operator's word counts for the mastership that it was said to.
        self.base.foreign = None;
        let state = if self.may_be_master() { State::Backup(listening) } else { State::Fault(listening) };
        self.enter(now, state, reason);
    }

    /// Rule 1: a gap between two ticks longer than D. What others did meanwhile is unknown.
    fn gap(&mut self, now: Time, length: Duration) {
        if matches!(self.state, State::Left(_)) {
            return;
        }
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.protected = false;
        self.enter(now, State::Init(Init { began: now }), Reason::Gap { millis });
        self.settle(now);
        self.wake = Some(now);
    }

    /// Rule 5: a node that stops names a successor.
    fn leave(&mut self, now: Time, reason: Reason) {
        if matches!(self.state, State::Left(_)) {
            return;
        }
        let successor = match (&reason, &self.state) {
            (Reason::Stopping { successor }, State::Master(_)) => *successor,
            (_, State::Master(_)) => self.successor(now),
            _ => None,
        };
        let reason = match reason {
            Reason::Stopping { .. } => Reason::Stopping { successor },
            other => other,
        };
        self.protected = false;
        self.enter(now, State::Left(Left { leaving: Leaving { successor } }), reason);
        self.settle(now);
    }

    /// Table, `Init`: D over.
    fn listen_first(&mut self, now: Time) {
        let State::Init(Init { began }) = self.state else { return };
        let over = began + self.dead();
        if now < over {
            self.wake_at(over);
            return;
        }
        let master = evidence::masters(&self.peers, self.params.own, now, self.dead()).next();
        let here = self.claim.look.is_some_and(|look| look.begun >= began && look.holder == Holder::Mine);
        match master {
            Some(master) => {
                self.step_down(now, Some(self.following(master)), Reason::Listened { master: Some(master) })
            }
            None if here && self.may_be_master() => {
                self.take_over(now, Reason::Resume, Base::default(), self.protected);
            }
            None => self.step_down(now, None, Reason::Listened { master: None }),
        }
    }

    // --- small questions --------------------------------------------------------------------

    fn dead(&self) -> Duration {
        self.params.dead_interval()
    }

    /// The first missed heartbeat: 1.1 I (rule 4).
    fn missed(&self) -> Duration {
        self.params.interval + self.params.interval / 10
    }

    fn peer(&self, address: Ipv4Addr) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.address == address)
    }

    fn peer_mut(&mut self, address: Ipv4Addr) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.address == address)
    }

    fn listening(&self) -> Option<&Listening> {
        match &self.state {
            State::Backup(listening) | State::Fault(listening) => Some(listening),
            State::Init(_) | State::Master(_) | State::Left(_) => None,
        }
    }

    fn mastership(&self) -> Option<&Mastership> {
        match &self.state {
            State::Master(master) => Some(master),
            State::Init(_) | State::Backup(_) | State::Fault(_) | State::Left(_) => None,
        }
    }

    /// As master: who shall take over, and why.
    fn offer(&self) -> Option<(Ipv4Addr, HandOver)> {
        self.mastership()?.offer.map(|open| (open.to, open.cause))
    }

    /// Healthy and not drained. `Init` and stopping are states of their own.
    fn may_be_master(&self) -> bool {
        self.candidacy.healthy && !self.drained
    }

    /// *Candidate* as peers are told.
    fn is_candidate(&self) -> bool {
        self.may_be_master() && !matches!(self.state, State::Init(_) | State::Left(_))
    }

    /// Nothing known stands against a claim from here; proved lately; not held down (rule 14). What could
    /// not claim, because it does not reach the API, would only be offered to and offer back.
    fn ready(&self, now: Time) -> bool {
        let proved = self.claim.proof.is_some_and(|at| now - at <= self.params.readiness_interval * DEAD_INTERVALS);
        proved
            && self.reaches_api()
            && self.claim.obstacle.is_none()
            && self.hold_down.until.is_none_or(|until| now >= until)
    }

    fn reaches_api(&self) -> bool {
        self.unreachable_since.is_none()
    }

    fn following(&self, master: Ipv4Addr) -> Following {
        let term = self.peer(master).and_then(|peer| peer.view(Time::ORIGIN, Duration::ZERO).report).map(|r| r.term);
        Following { master, term: term.unwrap_or(self.term) }
    }

    fn mastered_at(&self, master: Ipv4Addr, now: Time) -> Option<Time> {
        evidence::mastered_at(&self.peers, master, now, self.dead())
    }

    /// What peers are told of the master: first-hand only, so that no word goes round.
    fn follows(&self, now: Time) -> Option<Follows> {
        let master = self.listening()?.follows?.master;
        let heard_ago = now - self.peer(master)?.mastered_at?;
        (heard_ago < self.dead()).then_some(Follows { master, heard_ago })
    }

    /// Rule 7: rank counts heard candidates, the holder by the truth first.
    fn rank(&self, now: Time) -> Rank {
        let dead = self.dead();
        let holder = self.claim.look.and_then(|look| match look.holder {
            Holder::Member(member) => Some(member),
            Holder::Mine => Some(self.params.own),
            Holder::Nobody | Holder::Foreign(_) | Holder::Unknown => None,
        });
        let me = Contender { address: self.params.own, priority: self.candidacy.priority };
        let others = self.peers.iter().filter_map(|peer| {
            let report =
                peer.heard(now, dead).filter(|report| peer::is_candidate(report) || peer::is_master(report))?;
            Some(Contender { address: peer.address, priority: report.priority })
        });
        rank::rank(me, holder, others)
    }

    fn master_heard(&self, now: Time) -> Option<Ipv4Addr> {
        evidence::masters(&self.peers, self.params.own, now, self.dead()).next()
    }
}

#[cfg(test)]
mod tests;
