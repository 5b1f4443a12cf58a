//! Rule 9's `probe`: what the service, asked through the claimed address, has said within this silence.
//!
//! An answer hinders at once. Failures are evidence only together: without a break for [`FAILING`], with
//! no answer in between, the newest of them [`FRESH`], and only while the provider's API answers this
//! node ([`Uplink`]): who is cut off hears no service either, however well it serves the others.
//!
//! What was begun before the silence, before this node last woke late, or took twice its time limit,
//! says nothing: it tells of another time or of this node. A result that never comes completes nothing.

use crate::proto::election::event::{ProbeEvidence, ProbeOutcome, ProbeResult};
use crate::proto::time::{Duration, Time};

/// For how long all probes must have failed.
pub(super) const FAILING: Duration = Duration::from_millis(500);

/// A probe begins every few tenths of a second and each ends: results that are older than this are
/// those of an asker that is stuck.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// Once the API has answered, a service that lives would have answered too within this: a probe begins
/// more often, and is no slower than an API call.
pub(super) const WOULD_ANSWER: Duration = Duration::from_millis(250);

/// Rule 8: for how long the probe must have failed to give a deposed node its first chance. Longer than
/// the provider's network takes to send traffic to a new holder.
pub(super) const CHANCE: Duration = Duration::from_secs(25);

/// The API is asked every 2 s in a silence, and a call ends after 5 s: a longer pause is an outage of it,
/// or of the way to it.
const UPLINK_PAUSE: Duration = Duration::from_secs(10);

/// Since when the API answers this node without a long pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uplink {
    since: Time,
    newest: Time,
}

impl Uplink {
    /// The API answered `at`.
    pub(super) fn answered(before: Option<Self>, at: Time) -> Self {
        match before {
            Some(before) if at - before.newest <= UPLINK_PAUSE => {
                Self { since: before.since, newest: before.newest.max(at) }
            }
            Some(_) | None => Self { since: at, newest: at },
        }
    }

    fn answers(&self, now: Time) -> bool {
        now - self.newest <= UPLINK_PAUSE
    }
}

/// The probes of one silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probing {
    /// The silence that they are evidence of.
    began: Time,
    /// What was begun earlier and failed counts nothing.
    trusted_from: Time,
    answered: Option<Time>,
    failing: Option<Failing>,
}

/// An unbroken run of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failing {
    /// The first of them was begun.
    since: Time,
    /// The newest of them has ended.
    newest: Time,
    /// The API has answered since then, and when first.
    vouched: Option<Time>,
}

/// What the probes say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// None is configured: silence is enough.
    NotConfigured,
    /// The newest word is an answer.
    Answers,
    /// Nothing has ended yet, or no failure has lasted.
    Incomplete,
    /// They fail, and the API has not answered this node meanwhile: it may be this node's own uplink.
    NoUplink,
    /// They fail, and it is the service.
    Failing {
        /// From when on this was enough for rule 7.
        complete: Time,
        /// From when on they have failed while the API answered (rule 8).
        since: Time,
    },
}

impl Probing {
    pub(super) fn begin(now: Time) -> Self {
        Self { began: now, trusted_from: now, answered: None, failing: None }
    }

    pub(super) fn began(&self) -> Time {
        self.began
    }

    /// This node woke late: what was under way may have failed for that.
    pub(super) fn note_lateness(&mut self, now: Time) {
        self.trusted_from = now;
    }

    /// Takes in one result. `limit` is the time limit of a probe.
    pub(super) fn record(&mut self, result: ProbeResult, limit: Duration) {
        let ProbeResult { begun, ended, outcome } = result;
        if begun < self.began {
            return;
        }
        match outcome {
            ProbeOutcome::CouldNotAsk => {}
            ProbeOutcome::Answered => {
                self.answered = self.answered.max(Some(ended));
                self.failing = self.failing.filter(|failing| failing.since >= ended);
            }
            ProbeOutcome::Failed => {
                let late = ended - begun > limit * 2;
                if late || begun < self.trusted_from || self.answered.is_some_and(|answered| begun < answered) {
                    return;
                }
                self.failing = Some(match self.failing {
                    Some(run) if begun - run.newest <= FRESH => {
                        Failing { since: run.since.min(begun), newest: run.newest.max(ended), ..run }
                    }
                    Some(_) | None => Failing { since: begun, newest: ended, vouched: None },
                });
            }
        }
    }

    /// The API's newest answer vouches for this node's own uplink.
    pub(super) fn note_uplink(&mut self, uplink: Option<Uplink>) {
        let Some(failing) = &mut self.failing else { return };
        match uplink {
            None => failing.vouched = None,
            Some(uplink) if uplink.newest >= failing.since => {
                let first = failing.vouched.unwrap_or(uplink.newest);
                failing.vouched = Some(first.max(uplink.since));
            }
            Some(_) => {}
        }
    }

    pub(super) fn fails(&self) -> bool {
        self.failing.is_some()
    }

    pub(super) fn finding(&self, now: Time, uplink: Option<Uplink>) -> Finding {
        let Some(failing) = self.failing.filter(|failing| now - failing.newest <= FRESH) else {
            let fresh = self.answered.is_some_and(|at| now - at <= FRESH);
            return if fresh { Finding::Answers } else { Finding::Incomplete };
        };
        if failing.newest - failing.since < FAILING {
            return Finding::Incomplete;
        }
        match (uplink.filter(|uplink| uplink.answers(now)), failing.vouched) {
            (Some(uplink), Some(vouched)) => Finding::Failing {
                complete: (failing.since + FAILING).max(vouched + WOULD_ANSWER),
                since: failing.since.max(uplink.since),
            },
            (None, _) | (_, None) => Finding::NoUplink,
        }
    }

    pub(super) fn evidence(&self) -> ProbeEvidence {
        ProbeEvidence { answered: self.answered, failing_since: self.failing.map(|failing| failing.since) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(500);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn result(begun: u64, ended: u64, outcome: ProbeOutcome) -> ProbeResult {
        ProbeResult { begun: at(begun), ended: at(ended), outcome }
    }

    fn of(results: &[(u64, u64, ProbeOutcome)]) -> Probing {
        let mut probing = Probing::begin(at(1_000));
        for (begun, ended, outcome) in results {
            probing.record(result(*begun, *ended, *outcome), LIMIT);
        }
        probing
    }

    #[test]
    fn what_was_begun_before_the_silence_or_the_lateness_or_ended_far_too_late_says_nothing() {
        use ProbeOutcome::{Answered, CouldNotAsk, Failed};
        let empty = Probing::begin(at(1_000));
        assert_eq!(of(&[(900, 1_400, Failed), (999, 1_010, Answered)]), empty);
        assert_eq!(of(&[(1_000, 2_001, Failed), (1_100, 1_101, CouldNotAsk)]), empty);
        let mut late = empty;
        late.note_lateness(at(1_300));
        late.record(result(1_200, 1_700, Failed), LIMIT);
        assert!(!late.fails());
        late.record(result(1_200, 1_301, Answered), LIMIT);
        assert_eq!(late.evidence().answered, Some(at(1_301)), "an answer hinders, however late");
    }

    #[test]
    fn an_answer_ends_a_run_of_failures_in_whatever_order_they_come() {
        use ProbeOutcome::{Answered, Failed};
        assert!(of(&[(1_000, 1_500, Failed)]).fails());
        assert!(!of(&[(1_000, 1_500, Failed), (1_100, 1_110, Answered)]).fails());
        assert!(!of(&[(1_100, 1_110, Answered), (1_000, 1_500, Failed)]).fails());
        let again = of(&[(1_100, 1_110, Answered), (1_200, 1_700, Failed)]);
        assert_eq!(again.evidence().failing_since, Some(at(1_200)));
    }

    #[test]
    fn failures_are_evidence_after_half_a_second_once_the_api_has_answered_and_while_they_are_fresh() {
        use ProbeOutcome::Failed;
        // Refused at once, again and again.
        let refused: Vec<_> = (0..5).map(|n| (1_000 + n * 120, 1_001 + n * 120, Failed)).collect();
        assert_eq!(of(&refused).finding(at(1_490), None), Finding::Incomplete, "481 ms");
        let mut probing = of(&refused);
        probing.record(result(1_600, 1_601, Failed), LIMIT);
        assert_eq!(probing.finding(at(1_601), None), Finding::NoUplink);
        let before = Some(Uplink::answered(None, at(999)));
        probing.note_uplink(before);
        assert_eq!(probing.finding(at(1_601), before), Finding::NoUplink, "an answer from before says nothing");
        let uplink = Some(Uplink::answered(None, at(1_300)));
        probing.note_uplink(uplink);
        let failing = Finding::Failing { complete: at(1_550), since: at(1_300) };
        assert_eq!(probing.finding(at(1_601), uplink), failing);
        assert_eq!(probing.finding(at(2_601), uplink), failing);
        assert_eq!(probing.finding(at(2_602), uplink), Finding::Incomplete, "nothing has ended for a second");
        probing.note_uplink(None);
        assert_eq!(probing.finding(at(1_601), None), Finding::NoUplink);
    }

    #[test]
    fn a_run_with_a_hole_begins_anew() {
        use ProbeOutcome::Failed;
        let probing = of(&[(1_000, 1_500, Failed), (2_600, 3_100, Failed)]);
        assert_eq!(probing.evidence().failing_since, Some(at(2_600)));
    }

    #[test]
    fn an_uplink_with_a_long_pause_counts_from_its_return() {
        let first = Uplink::answered(None, at(1_000));
        let steady = Uplink::answered(Some(first), at(11_000));
        assert_eq!((steady.since, steady.newest), (at(1_000), at(11_000)));
        assert_eq!(Uplink::answered(Some(steady), at(21_001)).since, at(21_001));
        assert!(!steady.answers(at(21_001)));
    }
}
