//! The promotion gate: what must succeed on this node before the address may come.
//!
//! Each hold has its own gate. It opens when a promotion that this hold asked for
//! succeeded; a failed one is repeated with backoff while the hold lasts. One that
//! is under way when its hold ends runs on, counts for nothing, and the next hold's
//! waits for its end: two promotions of one service at a time would be worse.

use std::sync::Arc;

use crate::proto::claim::event::{Action, Hold, Intent, Milestone, Outcome, Output, Ticket};
use crate::proto::claim::plan::{Gate, Stage};
use crate::proto::claim::{Reconciler, failure_of};
use crate::proto::time::Time;

/// A promotion under way.
#[derive(Clone, Copy, Debug)]
struct Running {
    ticket: Ticket,
    /// The present hold asked for it.
    counts: bool,
}

/// What is kept of the promotion.
#[derive(Clone, Debug)]
pub(super) struct Promotion {
    gated: bool,
    /// The gate of the present hold is open.
    open: bool,
    running: Option<Running>,
    /// None is asked for before this.
    not_before: Time,
    failures: u32,
    obstacle: Option<Arc<str>>,
}

impl Promotion {
    pub(super) fn new(gated: bool) -> Self {
        Self { gated, open: false, running: None, not_before: Time::ORIGIN, failures: 0, obstacle: None }
    }

    pub(super) fn gate(&self) -> Gate {
        match (self.open, self.running) {
            (true, _) => Gate::Open,
            (false, Some(_)) => Gate::Promoting,
            (false, None) => Gate::Shut(self.not_before),
        }
    }

    /// The hold whose gate is open.
    pub(super) fn opened(&self, intent: &Intent) -> Option<Time> {
        match intent {
            Intent::Hold(Hold { since, .. }) => self.open.then_some(*since),
            Intent::Yield | Intent::Warm | Intent::Watch => None,
        }
    }

    pub(super) fn obstacle(&self) -> Option<Arc<str>> {
        self.obstacle.clone()
    }

    pub(super) fn end_hold(&mut self) {
        *self =
            Self { running: self.running.map(|running| Running { counts: false, ..running }), ..Self::new(self.gated) };
    }

    /// Takes the promotion of this ticket, if it is the one under way: whether its end counts.
    pub(super) fn land(&mut self, ticket: Ticket) -> Option<bool> {
        self.running.take_if(|running| running.ticket == ticket).map(|running| running.counts)
    }
}

impl Reconciler {
    /// A hold begins.
    pub(super) fn shut_gate(&mut self, now: Time) {
        self.promotion.not_before = now;
        if !self.promotion.gated {
            self.open_gate();
        }
    }

    /// A look permits an assign: the promotion comes before it, and another look between them.
    pub(super) fn promote_first(&mut self) {
        self.promote();
        self.claim_again();
    }

    pub(super) fn promote(&mut self) {
        let ticket = self.start(Action::Promote);
        self.promotion.running = Some(Running { ticket, counts: true });
    }

    pub(super) fn promotion_ended(&mut self, now: Time, counts: bool, outcome: Outcome) {
        let failure = match outcome {
            Outcome::Promoted => None,
            other => Some(failure_of(other)),
        };
        if let Some(failure) = &failure {
            self.outputs.push_back(Output::Failed(failure.clone()));
        }
        if !counts {
            if matches!(self.intent, Intent::Hold(_)) {
                // The present hold waited for it.
                self.look_at_once();
            }
            return;
        }
        match failure {
            None => {
                if let Stage::Claiming { .. } = self.stage {
                    // Promoting is not claiming: rule 14 gives the assign all of its time.
                    self.stage = Stage::Claiming { since: now, failing_since: None };
                }
                self.open_gate();
                self.look_at_once();
            }
            Some(failure) => {
                self.promotion.not_before = now + self.jitter.promotion(self.promotion.failures);
                self.promotion.failures = self.promotion.failures.saturating_add(1);
                self.promotion.obstacle = Some(failure.text);
                self.fail(now);
            }
        }
    }

    /// The operator wants a gate, or none. Settings alone end no failure: what comes of them does.
    pub(super) fn set_gated(&mut self, gated: bool) {
        self.promotion.gated = gated;
        if gated || self.promotion.open || !matches!(self.intent, Intent::Hold(_)) {
            return;
        }
        self.promotion.running = self.promotion.running.map(|running| Running { counts: false, ..running });
        self.open_gate();
        self.look_at_once();
    }

    fn open_gate(&mut self) {
        self.promotion.open = true;
        (self.promotion.failures, self.promotion.obstacle) = (0, None);
        self.reach(Milestone::Promoted);
    }
}
