//! The lane of the `on_*` hooks: which one runs now, and which is repeated when. Pure.
//!
//! A level, not an edge: the hook of the present state is wanted until it has succeeded
//! once in that state. One runs at a time. A state that begins while another state's
//! hook runs waits for its end; one that has gone again by then is skipped.

use std::time::Duration;

use super::Hook;
use crate::proto::time::Time;

/// The first and the longest wait after a failed run.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A hook and the stay in a state that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) hook: Hook,
    /// The number of the state change that the stay began with.
    pub(super) turn: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    wanted: Option<Level>,
    running: Option<Level>,
    succeeded: Option<Level>,
    /// Of the level that is wanted.
    failures: u32,
    due: Time,
    /// What runs was begun with settings that are others by now.
    outdated: bool,
}

impl Lane {
    /// The node is in this state now. The level that nothing was run for, if there was one.
    pub(super) fn want(&mut self, now: Time, level: Option<Level>) -> Option<Level> {
        if self.wanted == level {
            return None;
        }
        let before = std::mem::replace(&mut self.wanted, level);
        let tried = self.failures > 0;
        (self.failures, self.due) = (0, now);
        before.filter(|before| !tried && self.running != Some(*before) && self.succeeded != Some(*before))
    }

    /// What failed may work now: other settings.
    pub(super) fn try_again(&mut self, now: Time) {
        self.due = now;
        self.outdated = self.running.is_some();
    }

    /// What is to be started now, and the how manieth attempt that is; `given` knows which hooks there are.
    pub(super) fn start(&mut self, now: Time, given: impl Fn(Hook) -> bool) -> Option<(Level, u32)> {
        let level = self.next(given).filter(|_| self.due <= now)?;
        self.running = Some(level);
        Some((level, self.failures.saturating_add(1)))
    }

    /// When something is to be started, while nothing runs.
    pub(super) fn due(&self, given: impl Fn(Hook) -> bool) -> Option<Time> {
        self.next(given).map(|_| self.due)
    }

    fn next(&self, given: impl Fn(Hook) -> bool) -> Option<Level> {
        let level = self.wanted.filter(|level| given(level.hook))?;
        (self.running.is_none() && self.succeeded != Some(level)).then_some(level)
    }

    /// What runs.
    pub(super) fn running(&self) -> Option<Hook> {
        self.running.map(|level| level.hook)
    }

    /// What ran has ended. `share`, 0 to 1, spreads the waits: half of one is always kept.
    pub(super) fn ended(&mut self, now: Time, well: bool, share: f64) {
        let Some(level) = self.running.take() else { return };
        let outdated = std::mem::take(&mut self.outdated);
        if well {
            self.succeeded = Some(level);
        }
        if self.wanted != Some(level) {
            return;
        }
        if well {
            self.failures = 0;
        } else {
            let (first, most) = AGAIN;
            let wait = first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(most);
            self.due = if outdated { now } else { now + wait.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0) };
            self.failures = self.failures.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKUP: Level = Level { hook: Hook::OnBackup, turn: 1 };
    const MASTER: Level = Level { hook: Hook::OnMaster, turn: 2 };
    const FAULT: Level = Level { hook: Hook::OnFault, turn: 3 };

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn all(_: Hook) -> bool {
        true
    }

    #[test]
    fn the_hook_of_a_state_is_run_once_it_succeeds() {
        let mut lane = Lane::default();
        assert_eq!(lane.start(at(1), all), None);
        assert_eq!(lane.want(at(1), Some(BACKUP)), None);
        assert_eq!(lane.start(at(1), all), Some((BACKUP, 1)));
        assert_eq!((lane.start(at(1), all), lane.due(all)), (None, None), "one at a time");
        lane.ended(at(2), true, 0.0);
        assert_eq!((lane.start(at(900), all), lane.due(all)), (None, None));
        assert_eq!(lane.want(at(900), Some(BACKUP)), None, "the same stay");
        assert_eq!(lane.start(at(900), all), None);
        let again = Level { turn: 9, ..BACKUP };
        lane.want(at(901), Some(again));
        assert_eq!(lane.start(at(901), all), Some((again, 1)), "another stay in the same state");
    }

    #[test]
    fn a_failed_hook_is_repeated_after_1_s_doubling_to_60_s_while_its_state_lasts() {
        let mut lane = Lane::default();
        lane.want(at(0), Some(MASTER));
        let mut now = at(0);
        let mut waits = Vec::new();
        for attempt in 1..=9 {
            assert_eq!(lane.start(now, all), Some((MASTER, attempt)));
            lane.ended(now, false, 1.0);
            let due = lane.due(all).unwrap();
            waits.push((due - now).as_secs());
            assert_eq!(lane.start(due.before(Duration::from_millis(1)), all), None);
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(lane.start(now, all), Some((MASTER, 10)));
        lane.ended(now, false, 0.0);
        assert_eq!(lane.due(all), Some(now + Duration::from_secs(30)), "half of a wait is always kept");
        assert_eq!(lane.want(now, Some(BACKUP)), None, "it was tried: not skipped");
        assert_eq!(lane.start(now, all), Some((BACKUP, 1)), "a new state does not wait for the old one's backoff");
    }

    #[test]
    fn a_newer_state_waits_for_what_runs_and_those_in_between_are_skipped() {
        let mut lane = Lane::default();
        lane.want(at(1), Some(BACKUP));
        lane.start(at(1), all);
        assert_eq!(lane.want(at(2), Some(MASTER)), None, "the one that runs is not skipped");
        assert_eq!(lane.start(at(2), all), None);
        assert_eq!(lane.want(at(3), Some(FAULT)), Some(MASTER));
        lane.ended(at(4), false, 0.0);
        assert_eq!(lane.start(at(4), all), Some((FAULT, 1)), "what failed for a state that is over is not repeated");
    }

    #[test]
    fn no_hook_is_wanted_while_a_gate_is_shut() {
        let mut lane = Lane::default();
        lane.want(at(1), Some(BACKUP));
        lane.start(at(1), all);
        lane.ended(at(1), false, 0.0);
        assert_eq!(lane.want(at(2), None), None);
        assert_eq!((lane.start(at(99), all), lane.due(all)), (None, None));
    }

    #[test]
    fn other_settings_run_nothing_again_that_has_succeeded_and_at_once_what_has_not() {
        let mut lane = Lane::default();
        lane.want(at(1), Some(BACKUP));
        lane.start(at(1), all);
        lane.ended(at(1), true, 0.0);
        lane.try_again(at(2));
        assert_eq!(lane.start(at(2), all), None);
        lane.want(at(3), Some(MASTER));
        assert_eq!(lane.start(at(3), |hook| hook != Hook::OnMaster), None, "there is none");
        assert_eq!(lane.start(at(4), all), Some((MASTER, 1)), "now there is one");
        lane.ended(at(4), false, 1.0);
        lane.try_again(at(4));
        assert_eq!(lane.start(at(4), all), Some((MASTER, 2)));
    }

    #[test]
    fn what_fails_with_settings_that_were_changed_while_it_ran_is_tried_at_once_with_the_new_ones() {
        let mut lane = Lane::default();
        lane.want(at(1), Some(MASTER));
        lane.start(at(1), all);
        lane.try_again(at(2));
        assert_eq!((lane.start(at(2), all), lane.due(all)), (None, None), "it runs");
        lane.ended(at(3), false, 1.0);
        assert_eq!(lane.start(at(3), all), Some((MASTER, 2)));
        lane.ended(at(3), false, 1.0);
        assert_eq!(lane.due(all), Some(at(5)), "the new ones fail as any do");
    }
}
