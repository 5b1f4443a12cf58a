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
//!
//! The checks may be replaced while they run ([`Input::Params`]). The replacement alone
//! says nothing about the service, so it decides nothing: a new check counts for nothing,
//! and a changed one for what it counted before, until its own results have a verdict.
//! Its first good result is one. A bad one needs its whole row of `fall`: the
//! one look that meets an engine just asked anew must not move the address.

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

/// The number of a check: its place in the list that [`Health::new`] was given, or what
/// [`Next::index`] says. A number that a check once had is not given to another, so that a late
/// result of one that is gone is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckIndex(pub usize);

/// The only way in. After any of them drain [`Health::poll_output`].
#[derive(Clone, Debug)]
pub enum Input {
    /// A check has looked.
    Sample { check: CheckIndex, sample: Sample },
    /// A deadline has come.
    Timer,
    /// Another priority, and other checks in the place of all that there are.
    Params { base: Priority, checks: Vec<Next> },
}

/// A check that takes the place of another, or comes anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// Its number from now on. The same as before only if it is [`From::Same`].
    pub index: CheckIndex,
    /// Its name, unique among the checks.
    pub name: Arc<str>,
    /// How often it looks, and what its results mean.
    pub pace: Pace,
    /// What it was before.
    pub from: From,
}

/// What a check was before the checks were replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Itself: it goes on, with its condition and its row of results.
    Same,
    /// This one, with other settings.
    Changed(CheckIndex),
    /// Nothing.
    New,
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
        let checks: Vec<_> = (0..)
            .map(CheckIndex)
            .zip(checks)
            .map(|(index, (name, pace))| Watched::new(now, index, name, pace, None))
            .collect();
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
        match input {
            Input::Sample { check, sample } => {
                if let Some(check) = self.checks.iter_mut().find(|watched| watched.index == check)
                    && check.sample(sample)
                {
                    self.outputs.push_back(Output::Turned(check.status()));
                }
            }
            Input::Timer => {}
            Input::Params { base, checks } => self.replace(now, base, checks),
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

    fn replace(&mut self, now: Time, base: Priority, checks: Vec<Next>) {
        self.base = base;
        let mut before = std::mem::take(&mut self.checks);
        let mut take = |index| {
            let place = before.iter().position(|watched| watched.index == index)?;
            Some(before.swap_remove(place))
        };
        for Next { index, name, pace, from } in checks {
            let anew = |says| Watched::new(now, index, Arc::clone(&name), pace, Some(says));
            self.checks.push(match from {
                From::Same => take(index).unwrap_or_else(|| anew(Says::default())),
                From::Changed(earlier) => anew(take(earlier).map(|earlier| earlier.says()).unwrap_or_default()),
                From::New => anew(Says::default()),
            });
        }
    }

    /// Every check, in the order in which they were given.
    pub fn checks(&self) -> impl Iterator<Item = CheckStatus> + '_ {
        self.checks.iter().map(Watched::status)
    }
}

/// The checks without weight say whether, those with a weight how much.
fn candidacy(base: Priority, checks: &[Watched]) -> Candidacy {
    let mut whole = Says::default();
    for says in checks.iter().map(Watched::says) {
        whole.weight = whole.weight.saturating_add(says.weight);
        whole.fault = whole.fault.or(says.fault);
    }
    let (because, since) = whole.fault.unzip();
    Candidacy { healthy: because.is_none(), priority: base.weighted(whole.weight), because, since }
}

/// What one check says of the node.
#[derive(Clone, Debug, Default)]
struct Says {
    /// Why the node is no candidate, if this is why, and since when.
    fault: Option<(Arc<str>, Time)>,
    /// What is added to the priority.
    weight: i32,
}

/// One check and its row of equal results.
#[derive(Clone, Debug)]
struct Watched {
    index: CheckIndex,
    name: Arc<str>,
    pace: Pace,
    began: Time,
    /// The end of the last gap in this node's own time: nobody could look before.
    excused: Time,
    condition: Condition,
    since: Time,
    last: Option<Sample>,
    row: Option<Row>,
    /// The check came while others ran: this is what counts until its own results have a verdict.
    until_verdict: Option<Says>,
}

/// Results in a row that say the same.
#[derive(Clone, Copy, Debug)]
struct Row {
    ok: bool,
    length: u32,
    /// When its first result was begun.
    began: Time,
    /// When the last result that made the row longer was begun.
    grown: Time,
}

impl Watched {
    fn new(now: Time, index: CheckIndex, name: Arc<str>, pace: Pace, until_verdict: Option<Says>) -> Self {
        Self {
            index,
            name,
            pace,
            began: now,
            excused: now,
            condition: Condition::Starting,
            since: now,
            last: None,
            row: None,
            until_verdict,
        }
    }

    /// Whether the condition changed.
    fn sample(&mut self, sample: Sample) -> bool {
        let ok = sample.verdict == Verdict::Ok;
        let at = sample.at;
        let length = self.grow_row(ok, at);
        let next = match (self.condition, ok) {
            (Condition::Starting | Condition::Up, true) => Condition::Up,
            (Condition::Starting, false) if at.since(self.began) < self.pace.start_period => Condition::Starting,
            (Condition::Starting, false) if self.until_verdict.is_some() && length < self.pace.fall.get() => {
                Condition::Starting
            }
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
            Some(_) | None => Row { ok, length: 1, began: at, grown: at },
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
            self.until_verdict = None;
        }
        turned
    }

    /// When silence becomes a fault, if it is none already.
    fn deadline(&self) -> Option<Time> {
        let heard = self.last.as_ref().map_or(self.began, |sample| sample.at);
        (self.condition != Condition::Stale).then(|| heard.max(self.excused) + self.pace.stale_after())
    }

    /// What the check says of the node now.
    fn says(&self) -> Says {
        match (&self.until_verdict, self.pace.weight) {
            (Some(says), _) => says.clone(),
            (None, Some(weight)) => {
                Says { fault: None, weight: if self.condition.is_ok() == (weight > 0) { weight } else { 0 } }
            }
            (None, None) => Says {
                fault: (!self.condition.is_ok()).then(|| (Arc::from(self.complaint()), self.bad_since())),
                weight: 0,
            },
        }
    }

    /// When the results in a row that made it bad began.
    fn bad_since(&self) -> Time {
        match (self.condition, self.row) {
            (Condition::Down, Some(Row { ok: false, began, .. })) => began.min(self.since),
            _ => self.since,
        }
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
mod tests;
