//! Check results become a candidacy: rise and fall, staleness, weights.
//!
//! A check is not ok until its first result, and that one decides at once: a node
//! that comes up neither claims on trust nor waits `rise` looks for what it can
//! see. After that `fall` failed results in a row take a check down and `rise` good
//! ones bring it back. What could not be asked, or not in time, is not ok.
//!
//! Results may come more often than `interval`, since an event makes a check look at
//! once. Such a result can begin a row or break it, but a row grows by one per
//! `interval` only: ten containers that restart together are not ten failures.
//!
//! A check that falls silent is not ok either: a hung check must not keep a node
//! master by its last good word.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::proto::election::event::Candidacy;
use crate::proto::ids::Priority;
use crate::proto::time::{Duration, Time};

/// How late a result may be, beyond what its own [`Pace`] allows, before its check
/// counts as silent: a busy host is no failed service.
pub const STALE_GRACE: Duration = Duration::from_secs(1);

/// A deadline that is kept so much too late was missed because nothing ran here, and
/// then no check could look either: its silence is counted anew.
const OWN_LATENESS: Duration = Duration::from_millis(250);

/// How often a check looks, and what its results mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the beginning of one look to that of the next.
    pub interval: Duration,
    /// A look that takes longer has failed.
    pub timeout: Duration,
    /// So many good results in a row bring a failed check back.
    pub rise: NonZeroU32,
    /// So many failed results in a row take a good check down.
    pub fall: NonZeroU32,
    /// So long after the start a check that was not good yet is "starting", not failed.
    /// It makes nobody a candidate; it only says the right word. Ended by the first good result.
    pub start_period: Duration,
    /// None: while the check fails the node is no candidate. Otherwise, as in
    /// keepalived: a negative weight is added to the priority while the check fails,
    /// a positive one while it is ok.
    pub weight: Option<i32>,
}

impl Pace {
    /// After so long without a result a check counts as silent.
    #[must_use]
    pub fn stale_after(&self) -> Duration {
        self.interval.saturating_mul(self.fall.get()).saturating_add(self.timeout).saturating_add(STALE_GRACE)
    }
}

impl Default for Pace {
    fn default() -> Self {
        let twice = NonZeroU32::MIN.saturating_add(1);
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            rise: twice,
            fall: twice,
            start_period: Duration::ZERO,
            weight: None,
        }
    }
}

/// What one look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Asked and answered: not as it should be.
    Failed,
    /// No answer within the timeout.
    TimedOut,
    /// The question could not be put, or the answer not be understood.
    CouldNotRun,
}

/// One look at one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What it came to.
    pub verdict: Verdict,
    /// What was seen, for people; one line.
    pub detail: Arc<str>,
    /// When the look was begun: what it saw is not older.
    pub at: Time,
}

/// What the results of one check amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// No result yet, or none that counts within the start period.
    Starting,
    /// Ok.
    Up,
    /// Not ok.
    Down,
    /// Silent for longer than its pace allows.
    Stale,
}

impl Condition {
    /// Whether a node may rely on the check. Not known is not ok.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        match self {
            Self::Up => true,
            Self::Starting | Self::Down | Self::Stale => false,
        }
    }
}

/// One check as status shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckStatus {
    /// The check's name, unique in its group.
    pub name: Arc<str>,
    /// What its results amount to.
    pub condition: Condition,
    /// Since when it is in this condition.
    pub since: Time,
    /// What the last look came to, which need not have turned the check yet.
    pub verdict: Option<Verdict>,
    /// What the last look saw, or why there is none.
    pub detail: Arc<str>,
}

/// The place of a check in the list that [`Health::new`] was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckIndex(pub usize);

/// The only way in. After any of them drain [`Health::poll_output`].
#[derive(Clone, Debug)]
pub enum Input {
    /// A check has looked.
    Sample { check: CheckIndex, sample: Sample },
    /// A deadline has come.
    Timer,
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A check is in another condition than before.
    Turned(CheckStatus),
    /// Whether this node may be master, by its own checks, is another than before.
    Candidacy(Candidacy),
}

/// The health of this node in one group.
#[derive(Clone, Debug)]
pub struct Health {
    base: Priority,
    checks: Vec<Watched>,
    candidacy: Candidacy,
    outputs: VecDeque<Output>,
}

impl Health {
    /// A node of this priority whose checks have not looked yet. Its first candidacy
    /// waits in [`Self::poll_output`]. Without checks it is healthy.
    #[must_use]
    pub fn new(now: Time, base: Priority, checks: impl IntoIterator<Item = (Arc<str>, Pace)>) -> Self {
        let checks: Vec<_> = checks.into_iter().map(|(name, pace)| Watched::new(now, name, pace)).collect();
        let candidacy = candidacy(base, &checks);
        let outputs = VecDeque::from([Output::Candidacy(candidacy.clone())]);
        Self { base, checks, candidacy, outputs }
    }

    /// Takes one input. A sample of a check that is not in the list is ignored.
    pub fn handle(&mut self, now: Time, input: Input) {
        if self.next_deadline().is_some_and(|deadline| now.since(deadline) > OWN_LATENESS) {
            for check in &mut self.checks {
                check.excused = now;
            }
        }
        if let Input::Sample { check, sample } = input
            && let Some(check) = self.checks.get_mut(check.0)
            && check.sample(sample)
        {
            self.outputs.push_back(Output::Turned(check.status()));
        }
        // After the sample: one that waited in the queue while we were late is not silence.
        for check in &mut self.checks {
            if check.expire(now) {
                self.outputs.push_back(Output::Turned(check.status()));
            }
        }
        let candidacy = candidacy(self.base, &self.checks);
        if candidacy != self.candidacy {
            self.candidacy = candidacy.clone();
            self.outputs.push_back(Output::Candidacy(candidacy));
        }
    }

    /// The next output, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timer`] is due: the earliest moment at which silence becomes a fault.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.checks.iter().filter_map(Watched::deadline).min()
    }

    /// Whether this node may be master, by its own checks.
    #[must_use]
    pub fn candidacy(&self) -> &Candidacy {
        &self.candidacy
    }

    /// Every check, in the order given to [`Self::new`].
    pub fn checks(&self) -> impl Iterator<Item = CheckStatus> + '_ {
        self.checks.iter().map(Watched::status)
    }
}

/// The checks without weight say whether, those with a weight how much.
fn candidacy(base: Priority, checks: &[Watched]) -> Candidacy {
    let fault = checks.iter().find(|check| check.pace.weight.is_none() && !check.condition.is_ok());
    let weight = checks.iter().filter_map(Watched::weight).fold(0, i32::saturating_add);
    Candidacy {
        healthy: fault.is_none(),
        priority: base.weighted(weight),
        because: fault.map(|check| Arc::from(check.complaint())),
    }
}

/// One check and its row of equal results.
#[derive(Clone, Debug)]
struct Watched {
    name: Arc<str>,
    pace: Pace,
    began: Time,
    /// The end of the last gap in this node's own time: nobody could look before.
    excused: Time,
    condition: Condition,
    since: Time,
    last: Option<Sample>,
    row: Option<Row>,
}

/// Results in a row that say the same.
#[derive(Clone, Copy, Debug)]
struct Row {
    ok: bool,
    length: u32,
    /// When the last result that made the row longer was begun.
    grown: Time,
}

impl Watched {
    fn new(now: Time, name: Arc<str>, pace: Pace) -> Self {
        Self { name, pace, began: now, excused: now, condition: Condition::Starting, since: now, last: None, row: None }
    }

    /// Whether the condition changed.
    fn sample(&mut self, sample: Sample) -> bool {
        let ok = sample.verdict == Verdict::Ok;
        let at = sample.at;
        let length = self.grow_row(ok, at);
        let next = match (self.condition, ok) {
            (Condition::Starting | Condition::Up, true) => Condition::Up,
            (Condition::Starting, false) if at.since(self.began) < self.pace.start_period => Condition::Starting,
            (Condition::Starting, false) => Condition::Down,
            (Condition::Up, false) if length < self.pace.fall.get() => Condition::Up,
            (Condition::Up | Condition::Down | Condition::Stale, false) => Condition::Down,
            (Condition::Down | Condition::Stale, true) if length >= self.pace.rise.get() => Condition::Up,
            (Condition::Down | Condition::Stale, true) => Condition::Down,
        };
        self.last = Some(sample);
        self.turn(next, at)
    }

    fn grow_row(&mut self, ok: bool, at: Time) -> u32 {
        let row = match self.row {
            Some(row) if row.ok == ok && at.since(row.grown) < self.pace.interval => row,
            Some(row) if row.ok == ok => Row { length: row.length.saturating_add(1), grown: at, ..row },
            Some(_) | None => Row { ok, length: 1, grown: at },
        };
        self.row = Some(row);
        row.length
    }

    /// Whether the condition changed.
    fn expire(&mut self, now: Time) -> bool {
        match self.deadline() {
            Some(deadline) if deadline <= now => {
                self.row = None;
                self.turn(Condition::Stale, deadline)
            }
            Some(_) | None => false,
        }
    }

    fn turn(&mut self, next: Condition, at: Time) -> bool {
        let turned = next != self.condition;
        if turned {
            self.condition = next;
            self.since = at;
        }
        turned
    }

    /// When silence becomes a fault, if it is none already.
    fn deadline(&self) -> Option<Time> {
        let heard = self.last.as_ref().map_or(self.began, |sample| sample.at);
        (self.condition != Condition::Stale).then(|| heard.max(self.excused) + self.pace.stale_after())
    }

    /// What the check adds to the priority now.
    fn weight(&self) -> Option<i32> {
        self.pace.weight.filter(|weight| self.condition.is_ok() == (*weight > 0))
    }

    fn status(&self) -> CheckStatus {
        CheckStatus {
            name: Arc::clone(&self.name),
            condition: self.condition,
            since: self.since,
            verdict: self.last.as_ref().map(|sample| sample.verdict),
            detail: match (self.condition, &self.last) {
                (Condition::Stale, _) => Arc::from(format!("no result for {:?}", self.pace.stale_after())),
                (Condition::Starting | Condition::Up | Condition::Down, Some(sample)) => Arc::clone(&sample.detail),
                (Condition::Starting | Condition::Up | Condition::Down, None) => Arc::from("no result yet"),
            },
        }
    }

    /// Why the node is no candidate, if this is why.
    fn complaint(&self) -> String {
        let status = self.status();
        let word = match (status.condition, status.verdict) {
            (Condition::Starting, _) => "is starting",
            (Condition::Stale, _) => "is silent",
            (Condition::Up | Condition::Down, Some(Verdict::Ok)) => "is recovering",
            (Condition::Up | Condition::Down, Some(Verdict::Failed) | None) => "failed",
            (Condition::Up | Condition::Down, Some(Verdict::TimedOut)) => "timed out",
            (Condition::Up | Condition::Down, Some(Verdict::CouldNotRun)) => "could not be run",
        };
        format!("check {} {word}: {}", status.name, status.detail)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(rise: u32, fall: u32) -> Pace {
        Pace { rise: NonZeroU32::new(rise).unwrap(), fall: NonZeroU32::new(fall).unwrap(), ..Pace::default() }
    }

    fn health(checks: &[Pace]) -> Health {
        let named = checks.iter().enumerate().map(|(i, pace)| (Arc::from(format!("c{i}")), *pace));
        Health::new(Time::ORIGIN, Priority::DEFAULT, named.collect::<Vec<_>>())
    }

    fn feed(health: &mut Health, check: usize, verdict: Verdict, at: Time) {
        let sample = Sample { verdict, detail: Arc::from("9 of 10 running"), at };
        health.handle(at, Input::Sample { check: CheckIndex(check), sample });
    }

    fn condition(health: &Health) -> Condition {
        health.checks().next().unwrap().condition
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn before_the_first_result_the_node_is_no_candidate_and_says_why() {
        let mut health = health(&[pace(2, 2)]);
        let Some(Output::Candidacy(first)) = health.poll_output() else { panic!("no first candidacy") };
        assert!(!first.healthy);
        assert_eq!(first.because.as_deref(), Some("check c0 is starting: no result yet"));
    }

    #[test]
    fn the_first_result_decides_at_once() {
        for (verdict, expected) in [
            (Verdict::Ok, Condition::Up),
            (Verdict::Failed, Condition::Down),
            (Verdict::TimedOut, Condition::Down),
            (Verdict::CouldNotRun, Condition::Down),
        ] {
            let mut health = health(&[pace(3, 3)]);
            feed(&mut health, 0, verdict, at(5));
            assert_eq!(condition(&health), expected, "{verdict:?}");
        }
    }

    #[test]
    fn the_reason_names_the_check_and_tells_failed_timed_out_and_could_not_run_apart() {
        for (verdict, expected) in [
            (Verdict::Failed, "check c0 failed: 9 of 10 running"),
            (Verdict::TimedOut, "check c0 timed out: 9 of 10 running"),
            (Verdict::CouldNotRun, "check c0 could not be run: 9 of 10 running"),
        ] {
            let mut health = health(&[pace(1, 1)]);
            feed(&mut health, 0, verdict, at(5));
            assert_eq!(health.candidacy().because.as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_burst_of_failed_looks_is_one_failure() {
        let mut health = health(&[pace(2, 2)]);
        feed(&mut health, 0, Verdict::Ok, at(0));
        for millis in [500, 501, 600, 1_499] {
            feed(&mut health, 0, Verdict::Failed, at(millis));
            assert_eq!(condition(&health), Condition::Up, "{millis}");
        }
        feed(&mut health, 0, Verdict::Failed, at(1_500));
        assert_eq!(condition(&health), Condition::Down);
    }

    #[test]
    fn recreating_a_container_within_an_interval_moves_nothing_at_the_defaults() {
        let mut health = health(&[Pace::default()]);
        while health.poll_output().is_some() {}
        feed(&mut health, 0, Verdict::Ok, at(0));
        while health.poll_output().is_some() {}
        feed(&mut health, 0, Verdict::Failed, at(950));
        feed(&mut health, 0, Verdict::Ok, at(1_750));
        feed(&mut health, 0, Verdict::Ok, at(2_750));
        assert_eq!(health.poll_output(), None);
    }

    #[test]
    fn with_a_fall_of_one_the_first_failed_look_counts() {
        let mut health = health(&[pace(2, 1)]);
        feed(&mut health, 0, Verdict::Ok, at(0));
        feed(&mut health, 0, Verdict::Failed, at(3));
        assert!(!health.candidacy().healthy);
    }

    #[test]
    fn failures_of_the_start_period_are_starting_and_the_first_good_result_ends_it() {
        let mut health = health(&[Pace { start_period: 10 * SECOND, ..pace(2, 1) }]);
        feed(&mut health, 0, Verdict::Failed, at(1_000));
        assert_eq!(condition(&health), Condition::Starting);
        assert!(!health.candidacy().healthy, "not known is not ok");
        feed(&mut health, 0, Verdict::Ok, at(2_000));
        assert_eq!(condition(&health), Condition::Up);
        feed(&mut health, 0, Verdict::Failed, at(3_000));
        assert_eq!(condition(&health), Condition::Down);
    }

    #[test]
    fn the_start_period_ends() {
        let mut health = health(&[Pace { start_period: SECOND, ..pace(2, 2) }]);
        feed(&mut health, 0, Verdict::Failed, at(1_000));
        assert_eq!(condition(&health), Condition::Down);
    }

    #[test]
    fn a_silent_check_is_not_ok_from_its_deadline_on_and_must_rise_again() {
        let mut health = health(&[pace(2, 2)]);
        feed(&mut health, 0, Verdict::Ok, at(1_000));
        let deadline = at(1_000) + 2 * SECOND + 2 * SECOND + STALE_GRACE;
        assert_eq!(health.next_deadline(), Some(deadline));
        health.handle(deadline.before(Duration::from_nanos(1)), Input::Timer);
        assert!(health.candidacy().healthy);
        health.handle(deadline, Input::Timer);
        assert_eq!(health.candidacy().because.as_deref(), Some("check c0 is silent: no result for 5s"));
        assert_eq!(health.next_deadline(), None);
        feed(&mut health, 0, Verdict::Ok, at(10_000));
        assert!(!health.candidacy().healthy);
        feed(&mut health, 0, Verdict::Ok, at(11_000));
        assert!(health.candidacy().healthy);
    }

    #[test]
    fn this_nodes_own_gap_is_no_silence_of_its_checks() {
        let mut health = health(&[pace(2, 2)]);
        feed(&mut health, 0, Verdict::Ok, at(1_000));
        health.handle(at(13_000), Input::Timer);
        assert!(health.candidacy().healthy, "nobody could look");
        let deadline = health.next_deadline().unwrap();
        assert_eq!(deadline, at(13_000) + pace(2, 2).stale_after());
        health.handle(deadline, Input::Timer);
        assert!(!health.candidacy().healthy, "now somebody could");
    }

    #[test]
    fn a_check_that_never_reports_goes_silent() {
        let mut health = health(&[pace(2, 2)]);
        health.handle(at(5_000), Input::Timer);
        assert_eq!(condition(&health), Condition::Stale);
    }

    #[test]
    fn a_result_that_waited_in_the_queue_is_not_silence() {
        let mut health = health(&[pace(2, 2)]);
        feed(&mut health, 0, Verdict::Ok, at(0));
        let sample = Sample { verdict: Verdict::Ok, detail: Arc::from(""), at: at(8_000) };
        health.handle(at(9_000), Input::Sample { check: CheckIndex(0), sample });
        assert_eq!(condition(&health), Condition::Up);
    }

    #[test]
    fn a_weighted_check_changes_the_priority_and_never_the_candidacy() {
        let weighed = |weight| Pace { weight: Some(weight), ..pace(1, 1) };
        let mut health = health(&[weighed(-20), weighed(5)]);
        assert_eq!(health.candidacy().priority.get(), 80, "not known is not ok");
        feed(&mut health, 0, Verdict::Ok, at(0));
        feed(&mut health, 1, Verdict::Ok, at(0));
        assert_eq!(health.candidacy().priority.get(), 105);
        feed(&mut health, 0, Verdict::Failed, at(1_000));
        feed(&mut health, 1, Verdict::Failed, at(1_000));
        assert_eq!((health.candidacy().priority.get(), health.candidacy().healthy), (80, true));
    }

    #[test]
    fn what_does_not_change_is_not_told() {
        let mut health = health(&[pace(2, 2)]);
        feed(&mut health, 0, Verdict::Ok, at(0));
        while health.poll_output().is_some() {}
        feed(&mut health, 0, Verdict::Ok, at(1_000));
        assert_eq!(health.poll_output(), None);
        feed(&mut health, 7, Verdict::Failed, at(2_000));
        assert_eq!(health.poll_output(), None, "a check that nobody knows");
    }

    fn verdicts() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            4 => Just(Verdict::Ok),
            2 => Just(Verdict::Failed),
            1 => Just(Verdict::TimedOut),
            1 => Just(Verdict::CouldNotRun),
        ]
    }

    proptest! {
        /// The model keeps everything and looks at the end of it.
        #[test]
        fn rise_and_fall_agree_with_a_model_that_keeps_every_result(
            rise in 1_u32..5, fall in 1_u32..5, results in prop::collection::vec(verdicts(), 1..60),
        ) {
            let mut health = health(&[pace(rise, fall)]);
            let mut model = false;
            for (i, verdict) in results.iter().enumerate() {
                feed(&mut health, 0, *verdict, at(1_000 * i as u64));
                let past = &results[..=i];
                let all = |n: u32, ok: bool| {
                    past.len() >= n as usize && past.iter().rev().take(n as usize).all(|v| (*v == Verdict::Ok) == ok)
                };
                if i == 0 {
                    model = *verdict == Verdict::Ok;
                } else if model && all(fall, false) {
                    model = false;
                } else if !model && all(rise, true) {
                    model = true;
                }
                prop_assert_eq!(health.candidacy().healthy, model, "after {:?}", past);
            }
        }

        /// Looks between two ticks that see the same as the tick before change nothing.
        #[test]
        fn extra_looks_that_see_the_same_change_nothing(
            rise in 1_u32..4, fall in 1_u32..4,
            results in prop::collection::vec((verdicts(), prop::collection::vec(1_u64..1_000, 0..4)), 1..30),
        ) {
            let (mut plain, mut eager) = (health(&[pace(rise, fall)]), health(&[pace(rise, fall)]));
            for (i, (verdict, extra)) in results.iter().enumerate() {
                let tick = 1_000 * i as u64;
                feed(&mut plain, 0, *verdict, at(tick));
                feed(&mut eager, 0, *verdict, at(tick));
                let mut extra = extra.clone();
                extra.sort_unstable();
                for millis in extra {
                    feed(&mut eager, 0, *verdict, at(tick + millis));
                }
                prop_assert_eq!(condition(&plain), condition(&eager));
            }
        }

        #[test]
        fn no_candidate_while_a_check_without_weight_is_down_and_the_priority_stays_in_range(
            weights in prop::collection::vec(prop::option::of(any::<i32>()), 1..5),
            base in 1_i64..=254,
            events in prop::collection::vec((0_usize..5, verdicts(), 1_u64..9_000), 0..60),
        ) {
            let paces: Vec<_> = weights.iter().map(|weight| Pace { weight: *weight, ..pace(2, 2) }).collect();
            let named = paces.iter().map(|pace| (Arc::from("c"), *pace)).collect::<Vec<_>>();
            let mut health = Health::new(Time::ORIGIN, Priority::new(base).unwrap(), named);
            let mut now = 0;
            for (check, verdict, wait) in events {
                now += wait;
                feed(&mut health, check, verdict, at(now));
                let faulty = health.checks().zip(&weights).any(|(check, w)| w.is_none() && !check.condition.is_ok());
                prop_assert_eq!(health.candidacy().healthy, !faulty);
                prop_assert_eq!(health.candidacy().because.is_some(), faulty);
                prop_assert!((1..=254).contains(&health.candidacy().priority.get()));
                prop_assert!(health.next_deadline().is_none_or(|deadline| deadline > at(now)));
            }
        }
    }
}
