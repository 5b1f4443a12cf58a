//! The own assign: at most one at a time, from the request to its proven end.
//!
//! Whatever comes back, the address itself is the truth: an action that
//! errored, is unknown or does not end, and a request whose answer is lost, all
//! lead to a look, never to a second request on trust.

use std::sync::Arc;

use crate::proto::claim::event::{
    Action, CloudActionId, Failure, FailureClass, Holder, Intent, Milestone, Outcome, Output, Progress, Ticket,
};
use crate::proto::claim::plan::{STALE_READ, Stage, Write};
use crate::proto::claim::retry::{self, Need};
use crate::proto::claim::{Reconciler, failure_of};
use crate::proto::time::{Duration, Time};

/// How long an action is polled. Evidence for an assign's length is 1 to 11 s;
/// one that takes longer is watched by the address itself.
const POLL_LIMIT: Duration = Duration::from_secs(20);

/// What is kept of the own assign.
#[derive(Clone, Debug)]
pub(super) struct Writing {
    pub(super) write: Write,
    /// Who held the address when the last assign was sent.
    pub(super) over: Holder,
    /// No assign before this: the backoff of failed ones.
    pub(super) gate: Time,
    asked_at: Time,
    asking: Option<Ticket>,
    action: CloudActionId,
    polling: Option<Ticket>,
    poll_due: Time,
    polls: u32,
    failures: u32,
    pending_events: u32,
}

impl Default for Writing {
    fn default() -> Self {
        Self {
            write: Write::None,
            over: Holder::Unknown,
            gate: Time::ORIGIN,
            asked_at: Time::ORIGIN,
            asking: None,
            action: CloudActionId(0),
            polling: None,
            poll_due: Time::ORIGIN,
            polls: 0,
            failures: 0,
            pending_events: 0,
        }
    }
}

impl Writing {
    /// A takeover waits for no backoff of an earlier one.
    pub(super) fn new_hold(&mut self) {
        self.forget_failures();
        if self.write == Write::Refused {
            self.write = Write::None;
        }
    }

    /// `verified` as of the hold that ends: what landed and was verified is no longer "sent".
    pub(super) fn end_hold(&mut self, verified: Option<Time>) {
        if let Write::Landed { at, .. } = self.write
            && verified >= Some(at)
        {
            self.write = Write::None;
        }
    }

    /// A look begun at `begun` showed the address here, which settles any
    /// assign. The poll that need not go on, if there is one.
    pub(super) fn verified(&mut self, begun: Time) -> Option<Ticket> {
        self.forget_failures();
        match self.write {
            Write::None | Write::Asking | Write::Landed { .. } => None,
            Write::Refused => {
                self.write = Write::None;
                None
            }
            Write::Accepted { .. } | Write::Unanswered { .. } => {
                self.write = Write::Landed { at: begun, already: false };
                self.polling.take()
            }
        }
    }

    /// The next poll is worth while now.
    pub(super) fn poll_soon(&mut self, now: Time) {
        self.poll_due = self.poll_due.min(now);
    }

    /// When the accepted action is polled next; `None` while a poll is under way.
    pub(super) fn poll_due(&self) -> Option<Time> {
        match self.write {
            Write::Accepted { .. } if self.polling.is_none() => Some(self.poll_due),
            Write::Accepted { .. }
            | Write::None
            | Write::Asking
            | Write::Unanswered { .. }
            | Write::Landed { .. }
            | Write::Refused => None,
        }
    }

    /// The next assign waits for none that failed before.
    pub(super) fn forget_failures(&mut self) {
        (self.gate, self.failures, self.pending_events) = (Time::ORIGIN, 0, 0);
    }
}

impl Reconciler {
    /// Asks for the address over `over`, if the budget has room for it.
    pub(super) fn assign(&mut self, now: Time, over: Holder) {
        if !self.budget.spend(now, Need::Write) {
            self.writing.gate = self.budget.free_at(now, Need::Write);
            return;
        }
        let ticket = self.start(Action::Assign);
        self.writing.write = Write::Asking;
        self.writing.asking = Some(ticket);
        self.writing.over = over;
        self.writing.asked_at = now;
        self.ever_sent = true;
        self.claim_again();
        self.reach(Milestone::AssignSent);
    }

    /// What was lost is wanted back.
    pub(super) fn claim_again(&mut self) {
        if let Stage::Lost(loss) = self.stage {
            self.stage = Stage::Claiming { since: loss.since, failing_since: None };
        }
    }

    pub(super) fn poll(&mut self, now: Time) {
        if self.budget.spend(now, Need::Write) {
            let ticket = self.start(Action::Poll { action: self.writing.action });
            self.writing.polling = Some(ticket);
        }
    }

    /// The answer to the own assign, or to a poll of its action.
    pub(super) fn write_ended(&mut self, now: Time, ticket: Ticket, outcome: Outcome) {
        if self.writing.asking.take_if(|asking| *asking == ticket).is_some() {
            match outcome {
                Outcome::Accepted { action } => self.accepted(now, action),
                other => self.assign_failed(now, failure_of(other)),
            }
        } else if self.writing.polling.take_if(|polling| *polling == ticket).is_some() {
            self.writing.polls = self.writing.polls.saturating_add(1);
            self.writing.poll_due = now + retry::poll_wait(self.writing.polls);
            match outcome {
                Outcome::Progress(progress) => self.progressed(now, progress),
                other => self.poll_failed(now, failure_of(other)),
            }
        }
    }

    fn accepted(&mut self, now: Time, action: CloudActionId) {
        self.writing.write = Write::Accepted { at: now, doubtful: false };
        self.writing.action = action;
        self.writing.polls = 0;
        self.writing.poll_due = now + retry::poll_wait(0);
        self.writing.pending_events = 0;
        self.write_obstacle = None;
    }

    fn assign_failed(&mut self, now: Time, failure: Failure) {
        let text = Arc::clone(&failure.text);
        self.writing.write = Write::None;
        match failure.class {
            FailureClass::Again => self.back_off(now),
            FailureClass::Unanswered => {
                self.back_off(now);
                self.writing.write = Write::Unanswered { at: now };
                self.look_at_once();
            }
            FailureClass::NotBefore(asked) => {
                self.not_before = now + self.jitter.not_before(asked, self.writing.failures);
                self.writing.failures = self.writing.failures.saturating_add(1);
            }
            FailureClass::PendingEvent => {
                self.writing.gate = now + self.jitter.pending(self.writing.pending_events);
                self.writing.pending_events = self.writing.pending_events.saturating_add(1);
            }
            FailureClass::AlreadyAssigned => {
                self.writing.write = Write::Landed { at: now, already: true };
                self.look_at_once();
            }
            FailureClass::Refused => {
                self.writing.write = Write::Refused;
                self.look_at_once();
            }
            FailureClass::Never => {
                self.writing.gate = now + self.jitter.slow();
                self.fail(now);
            }
        }
        self.outputs.push_back(Output::Failed(failure));
        // Out of a hold nothing waits for the assign, so nothing stands against it.
        self.write_obstacle = matches!(self.intent, Intent::Hold(_)).then_some(text);
    }

    /// A look has shown that what refused the assign was right; its text stays the obstacle.
    pub(super) fn believe_refusal(&mut self, now: Time) {
        self.writing.write = Write::None;
        self.writing.gate = now + self.jitter.slow();
        self.fail(now);
    }

    fn progressed(&mut self, now: Time, progress: Progress) {
        match progress {
            Progress::Pending => self.doubt_action(false),
            // 404: not visible yet, or (BYOIP) never.
            Progress::Unknown => self.doubt_action(true),
            Progress::Completed => {
                self.writing.write = Write::Landed { at: now, already: false };
                self.reach(Milestone::ActionCompleted);
                self.look_at_once();
            }
            Progress::Errored => {
                self.writing.write = Write::None;
                self.back_off(now);
                self.action_failed(format!("the provider's action {} ended \"errored\"", self.writing.action.0));
            }
        }
    }

    fn poll_failed(&mut self, now: Time, failure: Failure) {
        if let FailureClass::NotBefore(asked) = failure.class {
            self.not_before = now + self.jitter.not_before(asked, self.writing.polls);
        }
        self.doubt_action(true);
        self.outputs.push_back(Output::Failed(failure));
    }

    fn doubt_action(&mut self, doubtful: bool) {
        if let Write::Accepted { doubtful: doubted, .. } = &mut self.writing.write {
            *doubted = doubtful;
        }
    }

    fn back_off(&mut self, now: Time) {
        self.writing.gate = now + self.jitter.again(self.writing.failures);
        self.writing.failures = self.writing.failures.saturating_add(1);
    }

    fn action_failed(&mut self, what: String) {
        let text: Arc<str> = Arc::from(format!("{what}; looking at the address itself, then trying again"));
        if matches!(self.intent, Intent::Hold(_)) {
            self.write_obstacle = Some(Arc::clone(&text));
        }
        self.outputs.push_back(Output::Failed(Failure { class: FailureClass::Again, text }));
    }

    /// When what is known of the own assign ages into something else.
    pub(super) fn write_end(&self) -> Option<Time> {
        match self.writing.write {
            Write::None | Write::Asking | Write::Refused => None,
            Write::Accepted { at, .. } => Some(at + POLL_LIMIT),
            Write::Landed { at, .. } => Some(at + STALE_READ),
            Write::Unanswered { at } => Some(match self.intent {
                // While nothing can be read, it counts as sent for as long as a claim may take.
                Intent::Hold(_) => (at + STALE_READ).max(self.writing.asked_at + self.params.claim_timeout),
                Intent::Yield | Intent::Warm | Intent::Watch => at + STALE_READ,
            }),
        }
    }

    pub(super) fn expire_write(&mut self, now: Time) {
        if self.write_end().is_none_or(|end| end > now) {
            return;
        }
        match self.writing.write {
            Write::None | Write::Asking | Write::Refused => {}
            Write::Accepted { .. } => {
                self.writing.write = Write::Unanswered { at: now };
                let poll = self.writing.polling.take();
                self.cancel(poll);
                let (action, limit) = (self.writing.action.0, POLL_LIMIT.as_secs());
                self.action_failed(format!("the provider's action {action} has not ended within {limit} s"));
                self.look_at_once();
            }
            Write::Unanswered { .. } => self.writing.write = Write::None,
            // What a claim has not verified yet is for the next look to judge.
            Write::Landed { .. } => match self.stage {
                Stage::Claiming { .. } | Stage::Lost(_) => {}
                Stage::Idle | Stage::Held { .. } => self.writing.write = Write::None,
            },
        }
    }
}
