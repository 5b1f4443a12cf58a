//! Checks: what this node knows of its own service.
//!
//! Each check is one task that looks, reports and waits. It looks every `interval`
//! and, where something tells it of a change, at once. It has one look under way at
//! most, and each ends within `timeout`. What the looks amount to is decided by
//! [`crate::proto::health`]; nothing is decided here.
//!
//! A check's task is cancelled by dropping its [`Running`]: a look changes nothing in
//! the world, so it may be cut off anywhere.

pub mod docker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::checks::docker::{Docker, DockerSettings};
use crate::proto::health::{CheckIndex, Pace, Sample, Verdict};
use crate::proto::time::Time;
use crate::sys::clock;

/// Reports on their way from the checks of a group to whoever judges them. Full: the
/// check waits, and looks no more until there is room. A reader that is stuck for
/// long sees its checks go silent.
pub const REPORT_QUEUE: usize = 64;

/// However many changes are told, two looks begin at least so far apart: a host whose
/// containers restart in a loop has no time to spare. The first change after a quiet
/// moment is looked at without delay.
const LOOK_SPACING: Duration = Duration::from_millis(20);

/// A detail is one line on a screen; what comes from outside may be longer.
const DETAIL_CHARS: usize = 200;

/// A check as the config means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    /// Unique in its group.
    pub name: Arc<str>,
    /// How often it looks, and what its results mean.
    pub pace: Pace,
    /// What it looks at.
    pub kind: CheckKind,
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Containers of the Docker engine.
    Docker(DockerSettings),
}

impl CheckKind {
    /// The kind as the config and status name it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
        }
    }
}

/// One look of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which check of the group.
    pub check: CheckIndex,
    /// What it saw.
    pub sample: Sample,
}

/// A check that runs; dropped, it stops.
#[derive(Debug)]
pub struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a check. Its first look is at once. It ends when nobody takes its reports any more.
///
/// To be called within a tokio runtime.
#[must_use]
pub fn start(check: CheckIndex, settings: &CheckSettings, reports: mpsc::Sender<Report>) -> Running {
    let pace = settings.pace;
    match &settings.kind {
        CheckKind::Docker(docker) => {
            Running(tokio::spawn(run(Docker::new(docker.clone(), pace.timeout), pace, check, reports)))
        }
    }
}

/// What a kind of check must be able to do.
trait Check: Send + 'static {
    /// Looks once. May be cut off anywhere, when the timeout of the check is over.
    fn look(&mut self) -> impl Future<Output = Look> + Send;

    /// Returns when a look is worth while before the next is due, for ever where nothing
    /// tells. A change during a look is kept. May be cut off, and loses nothing then.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// Who did not answer, when a look took too long.
    fn asked(&self) -> &str;
}

/// What one look came to, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    verdict: Verdict,
    detail: String,
}

async fn run(mut check: impl Check, pace: Pace, index: CheckIndex, reports: mpsc::Sender<Report>) {
    let mut schedule = Schedule::new(pace.interval);
    loop {
        let begun = clock::now();
        let look = timeout(pace.timeout, check.look()).await.unwrap_or_else(|_| Look {
            verdict: Verdict::TimedOut,
            detail: format!("{} did not answer within {:?}", check.asked(), pace.timeout),
        });
        let next = schedule.looked(begun, look.verdict == Verdict::Ok);
        let sample = Sample { verdict: look.verdict, detail: one_line(&look.detail), at: begun };
        if reports.send(Report { check: index, sample }).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            () = reports.closed() => return,
            () = sleep(next.since(clock::now())) => {}
            () = check.changed() => sleep((begun + LOOK_SPACING).since(clock::now())).await,
        }
    }
}

/// When the next look is due if nothing tells of a change. A look that saw the same as
/// the one before does not put it off, one that saw the opposite does: a row of equal
/// results grows by one per interval, from its first result on (see `proto::health`).
#[derive(Debug)]
struct Schedule {
    interval: Duration,
    due: Time,
    last_ok: Option<bool>,
}

impl Schedule {
    fn new(interval: Duration) -> Self {
        Self { interval, due: Time::ORIGIN, last_ok: None }
    }

    fn looked(&mut self, begun: Time, ok: bool) -> Time {
        if begun >= self.due || self.last_ok != Some(ok) {
            self.due = begun + self.interval;
            self.last_ok = Some(ok);
        }
        self.due
    }
}

fn one_line(text: &str) -> Arc<str> {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_CHARS).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const HOUR: Duration = Duration::from_secs(3600);

    /// A service that says what it is told to say, at once or never.
    #[derive(Clone, Default)]
    struct Told {
        looks: Arc<AtomicUsize>,
        hangs: bool,
        change: Arc<Notify>,
    }

    impl Check for Told {
        async fn look(&mut self) -> Look {
            let look = self.looks.fetch_add(1, Ordering::Relaxed);
            if self.hangs {
                std::future::pending::<()>().await;
            }
            Look { verdict: Verdict::Ok, detail: format!("look {look}\n{}", "x".repeat(1000)) }
        }

        async fn changed(&self) {
            self.change.notified().await;
        }

        fn asked(&self) -> &str {
            "the service"
        }
    }

    fn every(interval: Duration) -> Pace {
        Pace { interval, timeout: Duration::from_millis(10), ..Pace::default() }
    }

    async fn next(reports: &mut mpsc::Receiver<Report>) -> Report {
        timeout(PATIENCE, reports.recv()).await.expect("a report in time").expect("a check that runs")
    }

    #[tokio::test]
    async fn it_looks_at_once_and_then_every_interval() {
        let (sender, mut reports) = mpsc::channel(REPORT_QUEUE);
        let interval = Duration::from_millis(5);
        let _running = Running(tokio::spawn(run(Told::default(), every(interval), CheckIndex(3), sender)));
        let mut last = next(&mut reports).await;
        for _ in 0..5 {
            let report = next(&mut reports).await;
            assert_eq!(report.check, CheckIndex(3));
            assert!(report.sample.at.since(last.sample.at) >= interval);
            last = report;
        }
    }

    #[tokio::test]
    async fn a_change_is_looked_at_without_waiting_for_the_interval() {
        let (sender, mut reports) = mpsc::channel(REPORT_QUEUE);
        let told = Told::default();
        let _running = Running(tokio::spawn(run(told.clone(), every(HOUR), CheckIndex(0), sender)));
        next(&mut reports).await;
        told.change.notify_one();
        assert!(next(&mut reports).await.sample.detail.starts_with("look 1 x"));
    }

    #[tokio::test]
    async fn a_flood_of_changes_is_looked_at_at_a_bounded_rate() {
        let (sender, mut reports) = mpsc::channel(REPORT_QUEUE);
        let told = Told::default();
        let _running = Running(tokio::spawn(run(told.clone(), every(HOUR), CheckIndex(0), sender)));
        let mut last = next(&mut reports).await;
        for _ in 0..5 {
            told.change.notify_one();
            let report = next(&mut reports).await;
            assert!(report.sample.at.since(last.sample.at) >= LOOK_SPACING);
            last = report;
        }
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off_and_the_next_comes() {
        let (sender, mut reports) = mpsc::channel(REPORT_QUEUE);
        let told = Told { hangs: true, ..Told::default() };
        let _running = Running(tokio::spawn(run(told, every(Duration::from_millis(1)), CheckIndex(0), sender)));
        for _ in 0..3 {
            let sample = next(&mut reports).await.sample;
            assert_eq!(
                (sample.verdict, &*sample.detail),
                (Verdict::TimedOut, "the service did not answer within 10ms")
            );
        }
    }

    #[tokio::test]
    async fn a_reader_that_is_stuck_stops_the_looks_and_piles_up_nothing() {
        let (sender, mut reports) = mpsc::channel(2);
        let told = Told::default();
        let looks = Arc::clone(&told.looks);
        let running = Running(tokio::spawn(run(told, every(Duration::from_nanos(1)), CheckIndex(0), sender)));
        timeout(PATIENCE, async {
            while looks.load(Ordering::Relaxed) < 3 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("three looks");
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(looks.load(Ordering::Relaxed), 3, "two queued, one that waits for room");
        next(&mut reports).await;
        next(&mut reports).await;
        drop(reports);
        timeout(PATIENCE, async {
            while !running.0.is_finished() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("nobody takes its reports any more: it ends");
    }

    #[test]
    fn a_look_that_saw_the_same_does_not_put_off_the_next_and_one_that_saw_the_opposite_does() {
        let at = Time::from_millis;
        let mut schedule = Schedule::new(Duration::from_secs(1));
        assert_eq!(schedule.looked(at(100), true), at(1_100));
        assert_eq!(schedule.looked(at(600), true), at(1_100));
        assert_eq!(schedule.looked(at(950), false), at(1_950));
        assert_eq!(schedule.looked(at(1_100), false), at(1_950));
        assert_eq!(schedule.looked(at(1_951), false), at(2_951));
    }
}
