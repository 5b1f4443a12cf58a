//! Claims: a task around each reconciler, and the driver that does what it asks.
//!
//! The reconciler decides, the driver acts, and the task between them has no
//! opinion: it waits, feeds, executes, again. One task per claim, [`run`]. It
//! ends when nobody sends intents any more, and may be dropped at any point:
//! what is under way is dropped with it, and nothing is ever unassigned by that.
//!
//! Channels: intents, reports and settings are `watch`es, because only the newest counts.
//! Events are a bounded queue ([`EVENTS`]); one that does not fit is logged and
//! dropped, because history must not hold up a failover.

use std::collections::HashMap;
use std::future::Future;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use crate::proto::claim::event::{Action, ClaimReport, Failure, Input, Intent, Milestone, Outcome, Output, Ticket};
use crate::proto::claim::{Params, Reconciler};
use crate::proto::time::{Duration, Time};
use crate::sys::clock;

pub mod digitalocean;

/// Events of one claim that may wait for the agent: a takeover has four
/// milestones, and failures come a few a second at most.
pub const EVENTS: usize = 64;

/// The longest sleep. tokio's clock stands still while the host is suspended,
/// the reconciler's does not: after a resume it must not sleep the rest of its wait.
const NAP: Duration = Duration::from_secs(1);

/// Something to be told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Time,
    /// What happened.
    pub what: Happened,
}

/// What happened to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A step of a failover's timeline was reached.
    Reached(Milestone),
    /// Something failed; the same failure may come again and again.
    Failed(Failure),
}

/// What a reload may change of a running claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// The reconciler's settings.
    pub params: Params,
    /// Another number: the driver has another token.
    pub token: u64,
}

/// The task's ways to the rest of the agent.
#[derive(Debug)]
pub struct Channels {
    /// The settings in force. The reconciler has the first ones.
    pub tunings: watch::Receiver<Tuning>,
    /// What the election wants. The task ends with its sender.
    pub intents: watch::Receiver<Intent>,
    /// What the election and the operator are told.
    pub reports: watch::Sender<ClaimReport>,
    /// What is kept and logged; at least [`EVENTS`] deep.
    pub events: mpsc::Sender<Event>,
}

/// Does what a reconciler asks for. Several actions run at the same time; a read
/// may be dropped at any point. Every action ends: each has a deadline of its own.
pub(crate) trait Driver {
    /// Does it, once.
    fn perform(&self, action: Action) -> impl Future<Output = Outcome>;
}

/// The reconciler's three calls, so that the task can be tested with a script.
trait Core {
    fn handle(&mut self, now: Time, input: Input);
    fn poll_output(&mut self) -> Option<Output>;
    fn next_deadline(&self) -> Option<Time>;
}

impl Core for Reconciler {
    fn handle(&mut self, now: Time, input: Input) {
        Self::handle(self, now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }

    fn next_deadline(&self) -> Option<Time> {
        Self::next_deadline(self)
    }
}

/// Runs one claim of a DigitalOcean reserved IP until nobody sends intents any more.
pub async fn run(reconciler: Reconciler, driver: digitalocean::DigitalOcean, channels: Channels) {
    drive(reconciler, &driver, channels).await;
}

async fn drive(mut core: impl Core, driver: &impl Driver, mut channels: Channels) {
    let mut running = FuturesUnordered::new();
    let mut started: HashMap<Ticket, (Action, AbortHandle)> = HashMap::new();
    channels.intents.mark_changed();
    let mut token = channels.tunings.borrow_and_update().token;
    loop {
        while let Some(output) = core.poll_output() {
            match output {
                Output::Start { ticket, action } => {
                    let (performed, handle) = abortable(driver.perform(action));
                    running.push(async move { (ticket, performed.await) });
                    started.insert(ticket, (action, handle));
                }
                Output::Cancel { ticket } => cancel(ticket, &started),
                Output::Report(report) => {
                    channels.reports.send_replace(report);
                }
                Output::Milestone(milestone) => tell(&channels.events, Happened::Reached(milestone)),
                Output::Failed(failure) => tell(&channels.events, Happened::Failed(failure)),
            }
        }
        let input = tokio::select! {
            changed = channels.intents.changed() => match changed {
                Ok(()) => Input::Intent(*channels.intents.borrow_and_update()),
                Err(_) => return,
            },
            Ok(()) = channels.tunings.changed() => {
                let tuning = channels.tunings.borrow_and_update().clone();
                if std::mem::replace(&mut token, tuning.token) == tuning.token {
                    Input::Params(tuning.params)
                } else {
                    // One input at a time: the settings come in the next round.
                    channels.tunings.mark_changed();
                    Input::Credentials
                }
            }
            Some((ticket, ended)) = running.next() => {
                started.remove(&ticket);
                match ended {
                    Ok(outcome) => Input::Done { ticket, outcome },
                    Err(_aborted) => continue,
                }
            }
            () = until(core.next_deadline()) => Input::Timer,
        };
        core.handle(clock::now(), input);
    }
}

/// Drops a read that nobody waits for. An assign runs to its end whatever is
/// asked: it may be on the wire, and its answer says what became of the address. So
/// does a promotion.
fn cancel(ticket: Ticket, started: &HashMap<Ticket, (Action, AbortHandle)>) {
    match started.get(&ticket) {
        Some((Action::LookLocal | Action::LookApi { .. } | Action::Warm | Action::Poll { .. }, handle)) => {
            handle.abort();
        }
        Some((Action::Assign | Action::Promote, _)) | None => {}
    }
}

fn tell(events: &mpsc::Sender<Event>, what: Happened) {
    let event = Event { at: clock::now(), what };
    if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) {
        tracing::warn!(?event, "more events of a claim than the agent takes: one is not in the history");
    }
}

/// Waits for the deadline by the reconciler's clock; for ever if there is none.
async fn until(deadline: Option<Time>) {
    let Some(deadline) = deadline else { return std::future::pending().await };
    loop {
        let now = clock::now();
        if now >= deadline {
            // Others come first: a deadline that stays in the past must not stop the agent.
            return tokio::task::yield_now().await;
        }
        tokio::time::sleep(deadline.since(now).min(NAP)).await;
    }
}

#[cfg(test)]
mod tests;
