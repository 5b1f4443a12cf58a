//! Whether this node reaches the API's host, from attempts that somebody else makes
//! ("Reach" in `docs/design.md`). Heartbeats carry the answer; a master that is
//! unreachable offers to one that is not.

use crate::proto::time::Duration;

/// From one attempt to the next, while all is well.
pub const PERIOD: Duration = Duration::from_secs(5);
/// From one attempt to the next, after a failure.
pub const RETRY: Duration = Duration::from_secs(1);
/// Failures in a row that make a host unreachable.
pub const FAILURES: u8 = 3;

/// What the attempts say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Reach {
    /// No attempt has ended, or only failed ones, and fewer than [`FAILURES`].
    #[default]
    Unknown,
    /// The last success is newer than [`FAILURES`] failures.
    Reachable,
    /// [`FAILURES`] failures in a row.
    Unreachable,
}

/// Attempts in, reach out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judge {
    reach: Reach,
    failures: u8,
}

impl Judge {
    /// Counts one attempt.
    pub fn record(&mut self, connected: bool) -> Reach {
        if connected {
            *self = Self { reach: Reach::Reachable, failures: 0 };
        } else {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= FAILURES {
                self.reach = Reach::Unreachable;
            }
        }
        self.reach
    }

    /// From the beginning of the last attempt to that of the next.
    #[must_use]
    pub const fn period(&self) -> Duration {
        if self.failures == 0 { PERIOD } else { RETRY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_are_unreachable_and_one_success_ends_it() {
        let mut judge = Judge::default();
        assert_eq!(judge.period(), PERIOD);
        let (up, down, unknown) = (Reach::Reachable, Reach::Unreachable, Reach::Unknown);
        for (connected, reach) in [
            (false, unknown),
            (true, up),
            (false, up),
            (false, up),
            (true, up),
            (false, up),
            (false, up),
            (false, down),
            (false, down),
            (true, up),
        ] {
            assert_eq!(judge.record(connected), reach);
            assert_eq!(judge.period(), if connected { PERIOD } else { RETRY });
        }
        for _ in 0..1_000 {
            judge.record(false);
        }
        assert_eq!(judge.record(false), down, "a count that is full stays full");
    }
}
