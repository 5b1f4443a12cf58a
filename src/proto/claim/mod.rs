//! The claim reconciler: one for each claim. A level, not an edge: while its
//! intent is `Hold` it compares who holds the address with who should, and
//! repairs it, until a look has verified the result; then it goes on looking.
//!
//! * `event.rs`: what goes in and comes out.
//! * `plan.rs`: what is wanted in a situation and what an answer means; pure functions.
//! * `reads.rs`: the looks under way. `write.rs`: the own assign and its action.
//! * `gate.rs`: what must succeed here before an address may come.
//! * `retry.rs`: waits and the call budget.
//! * here: the books. Each input changes the facts, then everything that is due
//!   by the plan is started, and what changed is reported.
//!
//! The driver bounds every action in time: each ends with one `Done`, or was
//! cancelled. An assign and a promotion are never cancelled, whatever the intent becomes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::proto::time::{Duration, Time};

pub mod event;
mod gate;
mod plan;
mod reads;
mod retry;
mod write;

use event::{
    Action, ClaimReport, Failure, FailureClass, Hold, Holder, Input, Intent, Look, Milestone, Outcome, Output, Source,
    Ticket,
};
use gate::Promotion;
pub use plan::STALE_READ;
use plan::{Local, LocalVerdict, Loss, Situation, Stage, Verdict, Write};
use reads::{Flight, Read, Reads};
use retry::{Budget, Jitter, Need};
use write::Writing;

/// What stands against a claim whose holder the API does not tell.
const HOLDER_HIDDEN: &str = "the provider's answer does not say who holds the address: give the token the right to see \
                             droplets (scope droplet:read)";

/// What an operator may set of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// I, the heartbeat interval: two "not mine" of the metadata service closer together count as one.
    pub heartbeat_interval: Duration,
    /// The time from one local verification to the next; above zero.
    pub verify_interval: Duration,
    /// The time from one readiness proof to the next; above zero. Up to a tenth is added.
    pub readiness_interval: Duration,
    /// How long a claim may go unverified before it is `Failing`, and how long
    /// an assign of which nothing more is heard counts as sent.
    pub claim_timeout: Duration,
    /// The most requests to the API in any 60 s, at least [`Self::MIN_CALLS_PER_MINUTE`].
    pub calls_per_minute: u32,
    /// Whether each hold has a promotion gate. Where it is new, the present hold is past it; one that is
    /// taken away is open.
    pub gated: bool,
    /// Where the jitter of the waits starts: random, different on each node.
    pub seed: u64,
}

impl Params {
    /// Less would leave no room for the look and the assign of a takeover; less counts as this.
    pub const MIN_CALLS_PER_MINUTE: u32 = 4;
}

/// One claim: what is known of it, what is under way, what to tell.
#[derive(Clone, Debug)]
pub struct Reconciler {
    params: Params,
    intent: Intent,
    /// When the intent became of its present kind (for a hold: this hold began).
    intent_since: Time,
    stage: Stage,
    reads: Reads,
    writing: Writing,
    promotion: Promotion,
    warming: Option<Ticket>,
    local: Local,
    /// The newest answers that name a holder; from metadata only "mine".
    api_look: Option<Look>,
    local_look: Option<Look>,
    api_failed_at: Option<Time>,
    /// No request to the API before this (429).
    not_before: Time,
    proof_due: Time,
    proof: Option<Time>,
    verified: Option<Time>,
    ever_sent: bool,
    read_obstacle: Option<Arc<str>>,
    write_obstacle: Option<Arc<str>>,
    /// The milestones that this hold has reached since its claim was last lost.
    reached: Vec<Milestone>,
    budget: Budget,
    jitter: Jitter,
    last_ticket: Ticket,
    reported: ClaimReport,
    outputs: VecDeque<Output>,
    deadline: Option<Time>,
}

impl Reconciler {
    /// A reconciler with the intent `Yield`. It is due at once: the first
    /// input, a [`Input::Timer`] at the latest, starts the readiness proof.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            budget: Budget::new(params.calls_per_minute),
            jitter: Jitter::new(params.seed),
            promotion: Promotion::new(params.gated),
            params,
            intent: Intent::Yield,
            intent_since: Time::ORIGIN,
            stage: Stage::Idle,
            reads: Reads::default(),
            writing: Writing::default(),
            warming: None,
            local: Local::Unasked,
            api_look: None,
            local_look: None,
            api_failed_at: None,
            not_before: Time::ORIGIN,
            proof_due: Time::ORIGIN,
            proof: None,
            verified: None,
            ever_sent: false,
            read_obstacle: None,
            write_obstacle: None,
            reached: Vec::new(),
            last_ticket: Ticket::default(),
            reported: ClaimReport::default(),
            outputs: VecDeque::new(),
            deadline: Some(Time::ORIGIN),
        }
    }

    /// The only way in. Drain [`Self::poll_output`] afterwards.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Intent(intent) => self.take_intent(now, intent),
            Input::Done { ticket, outcome } => self.take_outcome(now, ticket, outcome),
            Input::Params(params) => self.retune(now, params),
            Input::Credentials => self.forget_credentials(now),
            Input::Timer => {}
        }
        self.expire(now);
        self.deadline = self.start_due(now);
        self.report(now);
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timer`] is due, unless another input comes first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    fn situation(&self, now: Time) -> Situation {
        Situation {
            now,
            intent: self.intent,
            stage: self.stage,
            write: self.writing.write,
            over: self.writing.over,
            local: self.local,
            gate: self.promotion.gate(),
            assign_from: self.writing.gate.max(self.not_before),
            api_unreadable: self.api_failed_at.is_some_and(|at| at >= self.intent_since) || self.not_before > now,
            heartbeat_interval: self.params.heartbeat_interval,
            verify_interval: self.params.verify_interval,
        }
    }

    // -- Settings

    /// Takes other settings. What is under way goes on, what was verified stays verified.
    fn retune(&mut self, now: Time, params: Params) {
        if params.readiness_interval < self.params.readiness_interval {
            // The election judges a proof's age by the new interval from now on.
            self.proof_due = self.proof_due.min(now);
        }
        self.budget.allow(params.calls_per_minute);
        self.set_gated(params.gated);
        let seed = self.params.seed;
        self.params = Params { seed, ..params };
    }

    /// What the old token was refused, the new one may be granted; whether it works is shown by a proof.
    fn forget_credentials(&mut self, now: Time) {
        self.reads.forget_failures();
        self.writing.forget_failures();
        self.look_at_once();
        self.proof_due = self.proof_due.min(now);
    }

    // -- Intents

    fn take_intent(&mut self, now: Time, intent: Intent) {
        match (self.intent, intent) {
            // A changed term or base is the same mastership (the winner of a duel
            // raises its term): what was verified in it stays so.
            (Intent::Hold(old), Intent::Hold(new)) if old.since == new.since => self.hold_again(old, new),
            (_, Intent::Hold(hold)) => self.hold(now, hold),
            (Intent::Yield, Intent::Yield) | (Intent::Warm, Intent::Warm) | (Intent::Watch, Intent::Watch) => {}
            // The readiness proof under way stays good.
            (Intent::Warm, Intent::Yield) => self.intent = intent,
            (Intent::Yield, Intent::Warm) => {
                self.intent = intent;
                self.warm();
            }
            (Intent::Watch | Intent::Hold(_), Intent::Warm) => {
                self.let_go(now, intent);
                self.warm();
            }
            (Intent::Watch | Intent::Hold(_), Intent::Yield)
            | (Intent::Yield | Intent::Warm | Intent::Hold(_), Intent::Watch) => self.let_go(now, intent),
        }
    }

    /// A takeover: nothing that was asked before it can verify it.
    fn hold(&mut self, now: Time, hold: Hold) {
        self.let_go(now, Intent::Hold(hold));
        self.stage = Stage::Claiming { since: now, failing_since: None };
        self.reads.forget_failures();
        self.writing.new_hold();
        self.shut_gate(now);
    }

    /// The same mastership, issued again: rule 12's base may be another one,
    /// and a loss that was reported is judged.
    fn hold_again(&mut self, old: Hold, new: Hold) {
        self.intent = Intent::Hold(new);
        let waiting = match &mut self.stage {
            Stage::Lost(loss) => !std::mem::replace(&mut loss.judged, true) || new != old,
            Stage::Claiming { .. } => new != old,
            Stage::Held { .. } | Stage::Idle => false,
        };
        if waiting {
            self.reads.look_soon();
        }
    }

    /// Leaves a hold, or changes what is watched. The address is not
    /// unassigned, and an assign that left is followed to its end.
    fn let_go(&mut self, now: Time, intent: Intent) {
        if self.reads.api_still_asked() {
            // What is cancelled here would have been the readiness proof too.
            self.proof_due = self.proof_due.min(now);
        }
        let cancelled = self.reads.drop_all();
        self.cancel(cancelled);
        self.writing.end_hold(self.verified);
        self.promotion.end_hold();
        (self.intent, self.intent_since) = (intent, now);
        self.stage = Stage::Idle;
        self.local = Local::Unasked;
        self.verified = None;
        self.ever_sent = false;
        self.write_obstacle = None;
        self.reached.clear();
    }

    fn warm(&mut self) {
        if self.warming.is_none() {
            self.warming = Some(self.start(Action::Warm));
        }
    }

    // -- Answers

    fn take_outcome(&mut self, now: Time, ticket: Ticket, outcome: Outcome) {
        if let Some((read, flight)) = self.reads.land(ticket) {
            match read {
                Read::Local => self.local_ended(now, flight, outcome),
                Read::Api => self.api_ended(now, flight, outcome),
            }
        } else if let Some(counts) = self.promotion.land(ticket) {
            self.promotion_ended(now, counts, outcome);
        } else if self.warming == Some(ticket) {
            self.warming = None;
            if let Outcome::Failed(failure) = outcome {
                self.outputs.push_back(Output::Failed(failure));
            }
        } else {
            // The own assign or its poll; or the late answer of something cancelled.
            self.write_ended(now, ticket, outcome);
        }
    }

    fn local_ended(&mut self, now: Time, flight: Flight, outcome: Outcome) {
        let Outcome::Local { mine } = outcome else {
            self.local = Local::Failed;
            self.outputs.push_back(Output::Failed(failure_of(outcome)));
            return;
        };
        if mine && self.local != Local::Mine {
            // It has arrived: what the next poll would tell is known, and need not be waited for.
            self.writing.poll_soon(now);
        }
        self.local = if mine { Local::Mine } else { Local::NotMine };
        let situation = self.situation(now);
        self.local_look = mine.then_some(Look {
            source: Source::Metadata,
            begun: flight.begun,
            ended: now,
            holder: Holder::Mine,
            settled: situation.api_unreadable,
        });
        match plan::judge_local(&situation, flight.begun, mine) {
            LocalVerdict::Verified => self.verify(flight.begun, Source::Metadata),
            LocalVerdict::Nothing => {}
            LocalVerdict::Absent => self.stage = Stage::Held { trusted: true, absent_since: Some(flight.begun) },
            LocalVerdict::Distrust => self.stage = Stage::Held { trusted: false, absent_since: None },
            LocalVerdict::Lost => self.lose(now, true),
        }
    }

    fn api_ended(&mut self, now: Time, flight: Flight, outcome: Outcome) {
        let Outcome::Api { holder, locked } = outcome else {
            self.look_failed(now, flight, failure_of(outcome));
            return;
        };
        let twin = self.reads.drop_api();
        self.cancel(twin);
        self.reads.api_answered(flight.begun);
        let look = Look { source: Source::Api, begun: flight.begun, ended: now, holder, settled: !locked };
        if holder == Holder::Unknown {
            // It answers, and is of no more use than if it did not.
            self.api_failed_at = Some(now);
            self.read_obstacle = Some(Arc::from(HOLDER_HIDDEN));
        } else {
            self.api_failed_at = None;
            self.read_obstacle = None;
            self.api_look = Some(look);
            self.proof = Some(now);
        }
        self.settle(now, look);
    }

    fn look_failed(&mut self, now: Time, flight: Flight, failure: Failure) {
        let nth = self.reads.failures();
        let wait = match failure.class {
            FailureClass::NotBefore(asked) => {
                self.not_before = now + self.jitter.not_before(asked, nth);
                Duration::ZERO
            }
            FailureClass::Never => self.jitter.slow(),
            // The last three are answers to an assign, not to a look: they say nothing here.
            FailureClass::Again
            | FailureClass::Unanswered
            | FailureClass::PendingEvent
            | FailureClass::AlreadyAssigned
            | FailureClass::Refused => self.jitter.again(nth),
        };
        if !self.reads.api_still_asked() {
            self.reads.api_failed(flight.begun, now + wait);
            self.api_failed_at = Some(now);
            self.read_obstacle = Some(match self.not_before - now {
                Duration::ZERO => Arc::clone(&failure.text),
                pause => {
                    format!("{}; it is not asked again for {} s from then", failure.text, pause.as_secs_f32().ceil())
                        .into()
                }
            });
            // "Not ready" must not outlast a passing fault by a whole interval.
            self.proof_due = self.proof_due.min(now + self.jitter.proof(nth, self.params.readiness_interval));
            if failure.class == FailureClass::Never {
                self.fail(now);
            }
        }
        self.outputs.push_back(Output::Failed(failure));
    }

    /// Does what a look of the API permits or demands.
    fn settle(&mut self, now: Time, look: Look) {
        match plan::judge_api(&self.situation(now), &look) {
            Verdict::LookAgain => {}
            Verdict::Verified => self.verify(look.begun, Source::Api),
            Verdict::Assign => self.assign(now, look.holder),
            Verdict::Promote => self.promote_first(),
            // Each of these two leaves less to judge, so this ends.
            Verdict::Lost => {
                self.lose(now, false);
                self.report(now); // Also where the next line claims at once: rule 13, Nobody.
                self.settle(now, look);
            }
            Verdict::Undone => {
                self.writing.write = Write::None;
                self.settle(now, look);
            }
            Verdict::Refused => self.believe_refusal(now),
        }
    }

    fn verify(&mut self, begun: Time, source: Source) {
        let cancelled = self.writing.verified(begun);
        self.cancel(cancelled);
        let here = self.local == Local::Mine;
        self.stage = match (self.stage, source) {
            (_, Source::Metadata) => Stage::Held { trusted: true, absent_since: None },
            // The API's word does not unsay what metadata began to doubt.
            (held @ Stage::Held { .. }, Source::Api) => held,
            (Stage::Lost(_), Source::Api) => Stage::Held { trusted: here, absent_since: None },
            (Stage::Idle | Stage::Claiming { .. }, Source::Api) => Stage::Held { trusted: false, absent_since: None },
        };
        self.write_obstacle = None;
        self.verified = self.verified.max(Some(begun));
        self.reach(Milestone::Verified);
    }

    fn lose(&mut self, now: Time, by_local: bool) {
        let since = match self.stage {
            Stage::Claiming { since, .. } => since,
            Stage::Lost(loss) => loss.since,
            Stage::Held { .. } | Stage::Idle => now,
        };
        self.stage = Stage::Lost(Loss { at: now, by_local, judged: false, since });
        // The way back has steps of its own.
        self.reached.retain(|step| *step == Milestone::Promoted);
        self.writing.write = Write::None;
        self.local_look = None;
    }

    /// What stands against the claim does not pass by itself, or has lasted, since then.
    fn fail(&mut self, since: Time) {
        if let Stage::Claiming { failing_since, .. } = &mut self.stage {
            failing_since.get_or_insert(since);
        }
    }

    // -- Time

    fn expire(&mut self, now: Time) {
        self.expire_write(now);
        if let Stage::Claiming { since, .. } = self.stage
            && self.claim_end().is_some_and(|end| end <= now)
        {
            // It has failed for claim_timeout already: rule 14 must not wait for it once more.
            self.fail(since);
        }
    }

    /// When the claim will have gone unverified for too long.
    fn claim_end(&self) -> Option<Time> {
        match self.stage {
            Stage::Claiming { since, failing_since: None } => Some(since + self.params.claim_timeout),
            Stage::Claiming { failing_since: Some(_), .. } | Stage::Idle | Stage::Held { .. } | Stage::Lost(_) => None,
        }
    }

    /// Starts all that the plan wants and that is due; the time of what is due next.
    fn start_due(&mut self, now: Time) -> Option<Time> {
        let plan = plan::plan(&self.situation(now));
        let local = plan.local.and_then(|interval| self.reads.local_due(interval));
        let local = self.start_or_wait(now, local, Self::look_local);
        let (api, second) = match plan.api {
            None => {
                self.reads.rest();
                (None, None)
            }
            Some(pace) => {
                let due = self.reads.api_due(now, pace, self.proof_due);
                let due = due.map(|due| self.allowed_at(now, due, pace.need()));
                let api = self.start_or_wait(now, due, |this, now| this.look_api(now, false, pace.need()));
                let due = self.reads.second_due(pace).map(|due| self.allowed_at(now, due, pace.need()));
                (api, self.start_or_wait(now, due, |this, now| this.look_api(now, true, pace.need())))
            }
        };
        let due = self.writing.poll_due().map(|due| self.allowed_at(now, due, Need::Write));
        let poll = self.start_or_wait(now, due, Self::poll);
        let due = plan::promotion_due(&self.situation(now));
        let promotion = self.start_or_wait(now, due, |this, _| this.promote());
        let write = self.write_end().filter(|end| *end > now);
        [local, api, second, poll, promotion, write, self.claim_end()].into_iter().flatten().min()
    }

    fn start_or_wait(&mut self, now: Time, due: Option<Time>, start: impl FnOnce(&mut Self, Time)) -> Option<Time> {
        let due = due?;
        if due > now {
            return Some(due);
        }
        start(self, now);
        None
    }

    /// When a request that is due at `due` may leave.
    fn allowed_at(&self, now: Time, due: Time, need: Need) -> Time {
        let due = due.max(self.not_before);
        if due > now { due } else { self.budget.free_at(now, need) }
    }

    fn look_local(&mut self, now: Time) {
        let ticket = self.start(Action::LookLocal);
        self.reads.local_started(Flight { ticket, begun: now });
    }

    fn look_api(&mut self, now: Time, fresh: bool, need: Need) {
        if !self.budget.spend(now, need) {
            return;
        }
        let ticket = self.start(Action::LookApi { fresh });
        let flight = Flight { ticket, begun: now };
        if fresh {
            self.reads.second_started(flight);
        } else {
            self.reads.api_started(flight);
        }
        // Any answered look proves what the readiness proof would.
        self.proof_due = now + self.jitter.readiness(self.params.readiness_interval);
    }

    /// What was just done changes what a look says: look now, on both sides.
    fn look_at_once(&mut self) {
        let cancelled = self.reads.drop_api();
        self.cancel(cancelled);
        self.reads.look_soon();
    }

    // -- Outputs

    fn start(&mut self, action: Action) -> Ticket {
        self.last_ticket = Ticket(self.last_ticket.0.saturating_add(1));
        self.outputs.push_back(Output::Start { ticket: self.last_ticket, action });
        self.last_ticket
    }

    fn cancel(&mut self, tickets: impl IntoIterator<Item = Ticket>) {
        self.outputs.extend(tickets.into_iter().map(|ticket| Output::Cancel { ticket }));
    }

    /// Tells a milestone once on each way to a held claim, and not after the hold.
    fn reach(&mut self, milestone: Milestone) {
        if matches!(self.intent, Intent::Hold(_)) && !self.reached.contains(&milestone) {
            self.reached.push(milestone);
            self.outputs.push_back(Output::Milestone(milestone));
        }
    }

    /// The newest look. A metadata "mine" does not hide what the API, which
    /// knows more, answered in this intent, unless the claim is held.
    fn look(&self, situation: &Situation) -> Option<Look> {
        let held = matches!(self.stage, Stage::Held { .. });
        let of_intent = self.api_look.filter(|look| look.begun >= self.intent_since);
        match (of_intent, self.api_look, self.local_look) {
            (Some(api), _, _) if !held && !situation.api_unreadable => Some(api),
            (_, Some(api), Some(local)) if api.begun > local.begun => Some(api),
            (_, _, Some(local)) => Some(local),
            (_, api, None) => api,
        }
    }

    /// What stands against the claim. A gate takes no address away: one that is
    /// held is not failing, whatever its promotion does.
    fn obstacle(&self) -> Option<Arc<str>> {
        let promotion = match self.stage {
            Stage::Claiming { .. } | Stage::Lost(_) => self.promotion.obstacle(),
            Stage::Idle | Stage::Held { .. } => None,
        };
        promotion.or_else(|| self.write_obstacle.clone()).or_else(|| self.read_obstacle.clone())
    }

    fn report(&mut self, now: Time) {
        let state = self.stage.claim_state();
        let report = ClaimReport {
            state,
            look: self.look(&self.situation(now)),
            verified: self.verified,
            sent: self.writing.write.sent(now, self.verified),
            ever_sent: self.ever_sent,
            failing_since: match self.stage {
                Stage::Claiming { failing_since, .. } => failing_since,
                Stage::Idle | Stage::Held { .. } | Stage::Lost(_) => None,
            },
            proof: self.proof,
            obstacle: self.obstacle(),
            promoted: self.promotion.opened(&self.intent),
        };
        if report != self.reported {
            self.reported = report.clone();
            self.outputs.push_back(Output::Report(report));
        }
    }
}

/// The failure in an outcome that is not the wished one. An outcome of another
/// action is a mistake of the driver: then nothing is known.
fn failure_of(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Local { .. }
        | Outcome::Api { .. }
        | Outcome::Warmed
        | Outcome::Accepted { .. }
        | Outcome::Progress(_)
        | Outcome::Promoted => Failure {
            class: FailureClass::Unanswered,
            text: Arc::from("the driver answered another question than was asked: report this as a bug"),
        },
    }
}

#[cfg(test)]
mod tests;
