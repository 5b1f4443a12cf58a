//! Reloads: one at a time, begun by a command or SIGHUP, ended by the swap or a refusal.

use std::future::pending;

use tokio::sync::oneshot;

use super::Brain;
use crate::agent::acts;
use crate::agent::reload::{Prepared, Reading, Refused};
use crate::agent::stamp;
use crate::control::wire::Response;
use crate::heart::{HeartStuck, ToHeart};
use crate::proto::node::GroupIndex;
use crate::view::history::{ActChange, Event as HistoryEvent};
use crate::view::status::ActKind;

/// Who asks where a signal does.
const SIGNAL: &str = "SIGHUP";

/// Who asked for a reload.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) by: String,
    pub(super) reason: Option<String>,
    /// Nobody waits for the answer to a signal.
    pub(super) answer: Option<oneshot::Sender<Response>>,
}

impl Asker {
    /// SIGHUP.
    pub(super) fn signal() -> Self {
        Self { by: SIGNAL.to_owned(), reason: None, answer: None }
    }

    fn tell(self, response: Response) {
        if let Some(answer) = self.answer {
            // Whoever asked may be gone by now.
            let _ = answer.send(response);
        }
    }
}

/// What of reloads is going on.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    under_way: Option<(Reading, Asker)>,
    /// A signal came meanwhile. It cannot be refused, and the file may be another one since.
    again: bool,
    /// One that was given up, and whose thread may hang for ever.
    stuck: Option<Reading>,
}

impl Reloads {
    /// The end of the one under way; for ever where there is none. Cancel safe.
    pub(super) async fn ended(&mut self) -> Result<Box<Prepared>, Refused> {
        match &mut self.under_way {
            Some((reading, _)) => reading.ended().await,
            None => pending().await,
        }
    }

    /// Why another one cannot begin.
    fn obstacle(&mut self) -> Option<Refused> {
        if self.under_way.is_some() {
            return Some(Refused::Busy);
        }
        if self.stuck.as_mut().is_some_and(Reading::hangs) {
            return Some(Refused::StillHangs);
        }
        self.stuck = None;
        None
    }
}

impl Brain {
    /// Begins to read the file, unless that goes on already.
    pub(super) fn begin_reload(&mut self, asker: Asker) {
        let obstacle = self.reloads.obstacle();
        if matches!(obstacle, Some(Refused::Busy)) && asker.answer.is_none() {
            self.reloads.again = true;
            return;
        }
        let begun = match obstacle {
            Some(refused) => Err(refused),
            None => self.know.configuration.begin(&self.know.identity).map_err(Refused::Thread),
        };
        match begun {
            Ok(reading) => {
                if self.ready
                    && let Err(error) = self.notifier.reloading()
                {
                    tracing::warn!("{}", crate::agent::explained(&error));
                }
                self.reloads.under_way = Some((reading, asker));
            }
            Err(refused) => self.refuse_reload(&refused, asker),
        }
    }

    /// The file was read, or could not be.
    pub(super) fn end_reload(&mut self, outcome: Result<Box<Prepared>, Refused>) -> Result<(), HeartStuck> {
        let Some((reading, asker)) = self.reloads.under_way.take() else { return Ok(()) };
        let word = match outcome {
            Ok(prepared) => {
                self.swap(*prepared, asker)?;
                "the configuration was read again"
            }
            Err(refused) => {
                if matches!(refused, Refused::Hangs) {
                    self.reloads.stuck = Some(reading);
                }
                self.refuse_reload(&refused, asker);
                "a reload was refused: the old configuration goes on"
            }
        };
        // Refused or not, it is over.
        if self.ready
            && let Err(error) = self.notifier.ready(word)
        {
            tracing::warn!("{}", crate::agent::explained(&error));
        }
        if std::mem::take(&mut self.reloads.again) {
            self.begin_reload(Asker::signal());
        }
        Ok(())
    }

    fn swap(&mut self, prepared: Prepared, asker: Asker) -> Result<(), HeartStuck> {
        let (told, now) = (prepared.told(), stamp());
        self.know.identity.on_stop = prepared.on_stop();
        let reload = self.know.configuration.swap(prepared, &mut self.know.groups, now);
        self.heart.sender.send(ToHeart::Reload(Box::new(reload)))?;
        for group in (0..self.know.groups.len()).map(GroupIndex) {
            self.tell_health(group)?;
        }
        for line in &told.warnings {
            tracing::warn!("{line}");
        }
        let summary = told.summary();
        tracing::info!("{} reloaded the configuration: {summary}", asker.by);
        // The history is bounded: whoever reloads by the hour must not push the moves out of it.
        if told.changed() {
            let (name, kind) = (&self.know.identity.name, ActKind::Reload);
            let act = acts::act(kind, name, &asker.by, asker.reason.clone(), now, None);
            for group in (0..self.know.groups.len()).map(GroupIndex) {
                let change = ActChange { detail: Some(summary.clone()), ..ActChange::new(now, true, act.clone()) };
                self.record(group, HistoryEvent::Act(change));
            }
        }
        self.stale = true;
        let (applied, restart_needed, warnings) = (told.applied, told.restart_needed, told.warnings);
        asker.tell(Response::Reloaded { applied, restart_needed, warnings });
        Ok(())
    }

    fn refuse_reload(&mut self, refused: &Refused, asker: Asker) {
        for line in refused.lines() {
            tracing::error!("{line}");
        }
        tracing::error!("the reload that {} asked for is refused; the old configuration goes on", asker.by);
        if refused.is_about_the_file() {
            self.know.configuration.refuse(refused, stamp());
        }
        self.stale = true;
        asker.tell(refused.answer());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    fn nobody() -> Asker {
        Asker { by: "root".to_owned(), reason: None, answer: None }
    }

    #[test]
    fn one_at_a_time_and_none_beside_a_thread_that_hangs() {
        let mut reloads = Reloads::default();
        assert!(reloads.obstacle().is_none());
        let (thread, reading) = Reading::of_a_test(clock::now());
        reloads.under_way = Some((reading, nobody()));
        assert!(matches!(reloads.obstacle(), Some(Refused::Busy)));
        reloads.stuck = reloads.under_way.take().map(|(reading, _)| reading);
        assert!(matches!(reloads.obstacle(), Some(Refused::StillHangs)));
        drop(thread);
        assert!(reloads.obstacle().is_none(), "it hangs no more");
    }
}
