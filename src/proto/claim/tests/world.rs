//! A model cloud around one reconciler. It decides by its own state and the
//! order of events; a test sets delays, adds faults and moves the address. What
//! must hold in every run is asserted at every step, in [`World::drain`].

use std::sync::Arc;

use super::super::event::*;
use super::super::{Params, Reconciler};
use crate::proto::ids::Term;
use crate::proto::time::{Duration, Time};

pub(super) const ME: Holder = Holder::Mine;
pub(super) const OLD: Holder = Holder::Member(std::net::Ipv4Addr::new(10, 0, 0, 2));
pub(super) const OTHER: Holder = Holder::Member(std::net::Ipv4Addr::new(10, 0, 0, 3));

/// Which calls a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Local,
    Look,
    Assign,
    Poll,
}

/// What happens to them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// Refused; nothing is done.
    Fail(FailureClass),
    /// Done, and the answer never comes: a timeout after 5 s.
    Lost,
    /// Like [`Self::Lost`], on the shared connection only.
    LostUnlessFresh,
    /// What the poll says instead.
    Says(Progress),
    /// The API does not tell the holder.
    Hidden,
}

pub(super) struct World {
    pub(super) now: Time,
    pub(super) reconciler: Reconciler,
    pub(super) params: Params,
    intent: Intent,
    /// Who held the address since when; the last entry is the truth.
    holders: Vec<(Time, Holder)>,
    /// The action under way, when it ends, and whether well.
    action: Option<(u64, Time, bool)>,
    ended: Vec<(u64, bool)>,
    locked_by_others_until: Time,
    faults: Vec<(Time, Time, Call, Fault)>,
    in_flight: Vec<(Time, Ticket, Action, Outcome)>,
    pub(super) latency: Duration,
    pub(super) assign_takes: Duration,
    pub(super) assign_ends_well: bool,
    pub(super) promotion_takes: Duration,
    pub(super) promotion_ends_well: bool,
    /// The age of what the API, and metadata, say.
    pub(super) api_lag: Duration,
    pub(super) local_lag: Duration,
    pub(super) calls: Vec<(Time, Action)>,
    pub(super) assigns: Vec<Time>,
    pub(super) promotions: Vec<Time>,
    /// The hold that the promotion under way was asked for in, and the one that was promoted.
    promoting: Option<Time>,
    promoted: Option<Time>,
    pub(super) reports: Vec<(Time, ClaimReport)>,
    pub(super) milestones: Vec<(Time, Milestone)>,
    pub(super) failures: Vec<FailureClass>,
    /// What the API said in the input that was just handled.
    just_seen: Option<(Holder, bool)>,
}

pub(super) fn params() -> Params {
    Params {
        heartbeat_interval: Duration::from_millis(500),
        verify_interval: Duration::from_secs(1),
        readiness_interval: Duration::from_secs(300),
        claim_timeout: Duration::from_secs(60),
        calls_per_minute: 60,
        gated: false,
        seed: 7,
    }
}

pub(super) fn failure(class: FailureClass) -> Outcome {
    Outcome::Failed(Failure { class, text: Arc::from(format!("{class:?}")) })
}

impl World {
    /// A world at 1,000 s in which `holder` has long had the address.
    pub(super) fn new(holder: Holder) -> Self {
        Self::with(params(), holder)
    }

    pub(super) fn with(params: Params, holder: Holder) -> Self {
        Self {
            now: Time::from_millis(1_000_000),
            reconciler: Reconciler::new(params.clone()),
            params,
            intent: Intent::Yield,
            holders: vec![(Time::ORIGIN, holder)],
            action: None,
            ended: Vec::new(),
            locked_by_others_until: Time::ORIGIN,
            faults: Vec::new(),
            in_flight: Vec::new(),
            latency: Duration::from_millis(50),
            assign_takes: Duration::from_secs(3),
            assign_ends_well: true,
            promotion_takes: Duration::from_secs(2),
            promotion_ends_well: true,
            api_lag: Duration::ZERO,
            local_lag: Duration::from_millis(500),
            calls: Vec::new(),
            assigns: Vec::new(),
            promotions: Vec::new(),
            promoting: None,
            promoted: None,
            reports: Vec::new(),
            milestones: Vec::new(),
            failures: Vec::new(),
            just_seen: None,
        }
    }

    // -- What a test does

    pub(super) fn intend(&mut self, intent: Intent) {
        self.intent = intent;
        self.open_gate(self.params.gated);
        self.feed(Input::Intent(intent));
    }

    /// A hold that has once had no gate is past it.
    fn open_gate(&mut self, gated: bool) {
        if !gated {
            self.promoted = self.hold_since();
        }
    }

    /// A takeover now; the base has `base`.
    pub(super) fn hold(&mut self, base: &[Holder]) {
        self.intend(Intent::Hold(Hold { term: Term(1), since: self.now, base: base_of(base) }));
    }

    /// The same mastership with another base (or the same, issued again).
    pub(super) fn hold_again(&mut self, base: &[Holder]) {
        let Intent::Hold(hold) = self.intent else { panic!("there is no hold") };
        self.intend(Intent::Hold(Hold { base: base_of(base), ..hold }));
    }

    /// A reload.
    pub(super) fn retune(&mut self, params: Params) {
        let gated = self.params.gated && params.gated;
        self.params = params.clone();
        self.open_gate(gated);
        self.feed(Input::Params(params));
    }

    /// Somebody moves the address, at once.
    pub(super) fn move_to(&mut self, holder: Holder) {
        self.holders.push((self.now, holder));
    }

    /// Somebody's event runs on the address.
    pub(super) fn lock_for(&mut self, duration: Duration) {
        self.locked_by_others_until = self.now + duration;
    }

    /// From now on for so long.
    pub(super) fn fault(&mut self, duration: Duration, call: Call, fault: Fault) {
        self.faults.push((self.now, self.now + duration, call, fault));
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut steps = 0;
        while self.step(end) {
            steps += 1;
            assert!(steps < 100_000, "a busy loop at {:?}", self.now);
        }
        self.now = end;
    }

    pub(super) fn run_ms(&mut self, millis: u64) {
        self.run(Duration::from_millis(millis));
    }

    // -- What it sees

    pub(super) fn report(&self) -> ClaimReport {
        self.reports.last().map(|(_, report)| report.clone()).unwrap_or_default()
    }

    pub(super) fn state(&self) -> ClaimState {
        self.report().state
    }

    pub(super) fn truth(&self) -> Holder {
        self.holders.last().unwrap().1
    }

    pub(super) fn count(&self, from: Time, wanted: impl Fn(Action) -> bool) -> usize {
        self.calls.iter().filter(|(at, action)| *at >= from && wanted(*action)).count()
    }

    /// When a report first had this state, at or after `from`.
    pub(super) fn first(&self, from: Time, state: ClaimState) -> Option<Time> {
        self.reports.iter().find(|(at, report)| *at >= from && report.state == state).map(|(at, _)| *at)
    }

    // -- How it goes on

    fn step(&mut self, end: Time) -> bool {
        let action = self.action.map(|(_, at, _)| at);
        let answer = self.in_flight.iter().map(|(at, ..)| *at).min();
        let deadline = self.reconciler.next_deadline().map(|at| at.max(self.now));
        let Some(next) = [action, answer, deadline].into_iter().flatten().min().filter(|at| *at <= end) else {
            return false;
        };
        self.now = next;
        if action == Some(next) {
            let (id, _, well) = self.action.take().unwrap();
            self.ended.push((id, well));
            if well {
                self.move_to(Holder::Mine);
            }
        } else if let Some(index) = self.in_flight.iter().position(|(at, ..)| *at == next) {
            let (_, ticket, action, outcome) = self.in_flight.remove(index);
            if action == Action::Promote && outcome == Outcome::Promoted && self.promoting == self.hold_since() {
                self.promoted = self.promoting;
            }
            self.feed(Input::Done { ticket, outcome });
        } else {
            self.feed(Input::Timer);
        }
        true
    }

    pub(super) fn feed(&mut self, input: Input) {
        self.just_seen = match &input {
            Input::Done { outcome: Outcome::Api { holder, locked }, .. } => Some((*holder, *locked)),
            Input::Done { .. } | Input::Intent(_) | Input::Params(_) | Input::Credentials | Input::Timer => None,
        };
        self.reconciler.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.reconciler.poll_output() {
            match output {
                Output::Start { ticket, action } => self.start(ticket, action),
                Output::Cancel { ticket } => {
                    let index = self.in_flight.iter().position(|(_, known, ..)| *known == ticket);
                    let (.., action, _) = self.in_flight.remove(index.expect("only what is under way is cancelled"));
                    assert!(!matches!(action, Action::Assign | Action::Promote), "{action:?} is never cancelled");
                }
                Output::Report(report) => {
                    assert_ne!(Some(&report), self.reports.last().map(|(_, last)| last), "a report is news");
                    self.reports.push((self.now, report));
                }
                Output::Milestone(milestone) => self.milestones.push((self.now, milestone)),
                Output::Failed(failure) => self.failures.push(failure.class),
            }
        }
        let deadline = self.reconciler.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "after {:?} comes {deadline:?}", self.now);
        assert!(deadline.is_some() || !self.in_flight.is_empty() || self.intent == Intent::Warm, "it sleeps for ever");
        let report = self.report();
        assert_eq!(report.failing_since.is_some(), report.state == ClaimState::Failing);
        assert_eq!(report.state == ClaimState::Idle, !matches!(self.intent, Intent::Hold(_)));
    }

    fn start(&mut self, ticket: Ticket, action: Action) {
        if is_request(action) {
            let minute = Duration::from_secs(60);
            let calls = self.calls.iter().filter(|(at, action)| *at + minute > self.now && is_request(*action));
            assert!(calls.count() < self.params.calls_per_minute as usize, "the budget of calls is kept");
        }
        let same = |other: &Action| std::mem::discriminant(other) == std::mem::discriminant(&action);
        let under_way = self.in_flight.iter().filter(|(_, _, other, _)| same(other)).count();
        let most = if matches!(action, Action::LookApi { .. }) { 1 } else { 0 };
        assert!(under_way <= most, "{action:?} beside {under_way} others");
        if action == Action::Assign {
            let Intent::Hold(hold) = self.intent else { panic!("an assign out of a hold") };
            let (holder, locked) = self.just_seen.expect("an assign follows a look at once");
            assert!(!locked && hold.base.allows(holder), "an assign over {holder:?}, the base being {:?}", hold.base);
            assert!(self.promoted == Some(hold.since), "an assign while the gate is shut");
            self.assigns.push(self.now);
        }
        if action == Action::Promote {
            assert!(self.hold_since().is_some() && self.params.gated, "nobody asked for a promotion");
            self.promotions.push(self.now);
            self.promoting = self.hold_since();
        }
        self.calls.push((self.now, action));
        let (wait, outcome) = self.answer(action);
        self.in_flight.push((self.now + wait, ticket, action, outcome));
    }

    fn hold_since(&self) -> Option<Time> {
        match self.intent {
            Intent::Hold(hold) => Some(hold.since),
            Intent::Yield | Intent::Warm | Intent::Watch => None,
        }
    }

    fn seen(&self, lag: Duration) -> Holder {
        let at = self.now.before(lag);
        self.holders.iter().rev().find(|(since, _)| *since <= at).unwrap().1
    }

    fn locked(&self) -> bool {
        self.action.is_some() || self.now < self.locked_by_others_until
    }

    fn answer(&mut self, action: Action) -> (Duration, Outcome) {
        let (call, fresh) = match action {
            Action::LookLocal => (Call::Local, false),
            Action::LookApi { fresh } => (Call::Look, fresh),
            Action::Assign => (Call::Assign, false),
            Action::Poll { .. } => (Call::Poll, false),
            Action::Warm => return (self.latency, Outcome::Warmed),
            Action::Promote if self.promotion_ends_well => return (self.promotion_takes, Outcome::Promoted),
            Action::Promote => return (self.promotion_takes, failure(FailureClass::Again)),
        };
        let now = self.now;
        let hit = |(from, until, of, _): &&(Time, Time, Call, Fault)| *from <= now && now < *until && *of == call;
        let fault = self.faults.iter().find(hit).map(|(.., fault)| *fault);
        if let Some(Fault::Fail(class)) = fault {
            return (self.latency, failure(class));
        }
        let outcome = match action {
            Action::LookLocal => Outcome::Local { mine: self.seen(self.local_lag) == Holder::Mine },
            Action::LookApi { .. } => Outcome::Api { holder: self.seen(self.api_lag), locked: self.locked() },
            Action::Assign if self.locked() => failure(FailureClass::PendingEvent),
            Action::Assign if self.truth() == Holder::Mine => failure(FailureClass::AlreadyAssigned),
            Action::Assign => {
                let id = self.calls.len() as u64;
                self.action = Some((id, self.now + self.assign_takes, self.assign_ends_well));
                Outcome::Accepted { action: CloudActionId(id) }
            }
            Action::Poll { action } => Outcome::Progress(match self.ended.iter().find(|(id, _)| *id == action.0) {
                Some((_, true)) => Progress::Completed,
                Some((_, false)) => Progress::Errored,
                None => Progress::Pending,
            }),
            Action::Warm | Action::Promote => Outcome::Warmed, // answered above
        };
        let lost = (Duration::from_secs(5), failure(FailureClass::Unanswered));
        match (fault, outcome) {
            (Some(Fault::Lost), _) => lost,
            (Some(Fault::LostUnlessFresh), _) if !fresh => lost,
            (Some(Fault::Says(progress)), Outcome::Progress(_)) => (self.latency, Outcome::Progress(progress)),
            (Some(Fault::Hidden), Outcome::Api { locked, .. }) => {
                (self.latency, Outcome::Api { holder: Holder::Unknown, locked })
            }
            (_, outcome) => (self.latency, outcome),
        }
    }
}

pub(super) fn base_of(holders: &[Holder]) -> Base {
    holders
        .iter()
        .filter_map(|holder| match holder {
            Holder::Member(member) => Some(*member),
            Holder::Mine | Holder::Nobody | Holder::Foreign(_) | Holder::Unknown => None,
        })
        .collect()
}

pub(super) fn is_api_look(action: Action) -> bool {
    matches!(action, Action::LookApi { .. })
}

pub(super) fn is_request(action: Action) -> bool {
    !matches!(action, Action::LookLocal | Action::Warm | Action::Promote)
}
