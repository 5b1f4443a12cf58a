//! A group's probe as the agent keeps it: the task, what is wanted of it, and what it last found.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::knowledge::GroupPart;
use crate::config::NodeGroup;
use crate::config::types::Probe as Settings;
use crate::net::dns::Resolver;
use crate::probe::{ProbeError, Prober, Report, Running};
use crate::proto::election::event::ProbeOutcome;
use crate::view::status::{Probe, Stamp};

/// All that can fail about a group's probe, done.
#[derive(Debug)]
pub(super) struct PreparedProbe {
    plan: Plan,
    prober: Prober,
}

/// What a running probe goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    settings: Settings,
    at_rest: Duration,
}

impl PreparedProbe {
    /// The probe of a group that has one.
    pub(super) fn of(
        group: &NodeGroup,
        ca_file: Option<&Path>,
        resolver: &Resolver,
    ) -> Result<Option<Self>, ProbeError> {
        let Some(settings) = &group.group.probe else { return Ok(None) };
        let plan = Plan { settings: settings.clone(), at_rest: group.group.times.readiness_interval() };
        Ok(Some(Self { prober: Prober::new(settings, ca_file, resolver.clone())?, plan }))
    }
}

/// One group's probe. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct ProbePart {
    plan: Plan,
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
    fn start(prepared: PreparedProbe, wanted: bool, reports: &mpsc::Sender<Report>) -> Self {
        let PreparedProbe { plan, prober } = prepared;
        let (wanted, wishes) = watch::channel(wanted);
        let _running = prober.start(plan.at_rest, wishes, reports.clone());
        Self { plan, wanted, defers: false, seen: None, _running }
    }

    /// What is asked, for people.
    pub(super) fn target(&self) -> String {
        self.plan.settings.target.to_string()
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
            target: self.target(),
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

impl GroupPart {
    /// The probe as it is to be from now on. One that stays the same goes on; another one begins anew,
    /// wanted as the one before was. A first one is wanted by the heart's next word.
    pub(super) fn change_probe(&mut self, next: Option<PreparedProbe>) {
        let same = match (&self.probe, &next) {
            (Some(part), Some(next)) => part.plan == next.plan,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if same {
            return;
        }
        let wanted = self.probe.take().is_some_and(|before| *before.wanted.borrow());
        self.probe = next.map(|next| ProbePart::start(next, wanted, &self.probe_reports));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::{HostPort, ProbeTarget};
    use crate::proto::election::event::ProbeResult;
    use crate::proto::time::Time;

    fn report(outcome: ProbeOutcome, detail: &str) -> Report {
        Report { result: ProbeResult { begun: Time::ORIGIN, ended: Time::ORIGIN, outcome }, detail: detail.into() }
    }

    #[tokio::test]
    async fn an_outcome_is_news_once_and_its_age_counts_from_there() {
        use ProbeOutcome::{Answered, CouldNotAsk, Failed};
        let target = ProbeTarget::Tcp(HostPort::new("127.0.0.1:1").unwrap());
        let settings = Settings { target, timeout: Settings::TIMEOUT };
        let prober = Prober::new(&settings, None, Resolver::default()).unwrap();
        let plan = Plan { settings, at_rest: Duration::from_secs(300) };
        let (reports, _reported) = mpsc::channel(1);
        let mut part = ProbePart::start(PreparedProbe { plan, prober }, false, &reports);
        assert_eq!(part.shown().answered, None);
        let at = Stamp::from_unix_millis;
        for (outcome, detail, now, news, answered, since) in [
            (Answered, "connected", 1, false, Some(true), 1),
            (Answered, "connected", 2, false, Some(true), 1),
            (Failed, "refused", 3, true, Some(false), 3),
            (Failed, "no answer", 4, false, Some(false), 3),
            (CouldNotAsk, "DNS", 5, true, None, 5),
            (Answered, "connected", 6, true, Some(true), 6),
        ] {
            assert_eq!(part.see(&report(outcome, detail), at(now)), news, "{outcome:?}");
            let shown = part.shown();
            assert_eq!((shown.answered, shown.since), (answered, Some(at(since))));
            assert_eq!(shown.detail.as_deref(), Some(detail));
        }
    }
}
