//! A group's probe as the agent keeps it: the task, what is wanted of it, and what it last found.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::types::Probe as Settings;
use crate::probe::{Report, Running};
use crate::proto::election::event::ProbeOutcome;
use crate::view::status::{Probe, Stamp};

/// One group's probe. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct ProbePart {
    /// What is asked, for people.
    pub(super) target: String,
    pub(super) wanted: watch::Sender<bool>,
    /// A takeover is deferred by it, and that was told.
    pub(super) defers: bool,
    seen: Option<Seen>,
    _running: Running,
}

#[derive(Debug)]
struct Seen {
    outcome: ProbeOutcome,
    since: Stamp,
    detail: Arc<str>,
}

impl ProbePart {
    pub(super) fn new(settings: &Settings, wanted: watch::Sender<bool>, running: Running) -> Self {
        Self { target: settings.target.to_string(), wanted, defers: false, seen: None, _running: running }
    }

    /// Takes in a report; whether it is news: another outcome than before. A first answer is none.
    pub(super) fn see(&mut self, report: &Report, now: Stamp) -> bool {
        let outcome = report.result.outcome;
        match &mut self.seen {
            Some(seen) if seen.outcome == outcome => {
                seen.detail = Arc::clone(&report.detail);
                false
            }
            seen => {
                let news = seen.is_some() || outcome != ProbeOutcome::Answered;
                *seen = Some(Seen { outcome, since: now, detail: Arc::clone(&report.detail) });
                news
            }
        }
    }

    /// As `status` shows it.
    pub(super) fn shown(&self) -> Probe {
        Probe {
            target: self.target.clone(),
            answered: self.seen.as_ref().and_then(|seen| match seen.outcome {
                ProbeOutcome::Answered => Some(true),
                ProbeOutcome::Failed => Some(false),
                ProbeOutcome::CouldNotAsk => None,
            }),
            since: self.seen.as_ref().map(|seen| seen.since),
            detail: self.seen.as_ref().map(|seen| seen.detail.to_string()),
            probing: *self.wanted.borrow(),
            defers: self.defers,
        }
    }
}
