//! How long to wait before something is tried again, and how many requests a
//! minute may cost. Pure: the jitter comes from a seed that the caller gives.

use std::collections::VecDeque;

use crate::proto::time::{Duration, Time};

/// The shortest wait after an answer that says nothing ("5xx", refused, lost).
const AGAIN_FLOOR: Duration = Duration::from_millis(250);
/// The longest such wait.
const AGAIN_CEILING: Duration = Duration::from_secs(10);
/// The first and the longest wait for somebody's pending event to pass.
const PENDING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// The first and the longest wait after a failed promotion.
const PROMOTION: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The wait after a refusal that does not heal by itself.
const SLOW: Duration = Duration::from_secs(30);
/// A failed readiness proof is repeated at least so often: "not ready" must not outlast a passing fault for long.
const PROOF_CEILING: Duration = Duration::from_secs(60);
/// No `Retry-After` is believed beyond this: it may be garbage or a clock that is off.
const NOT_BEFORE_CAP: Duration = Duration::from_secs(3600);
/// The first and the longest wait between two questions about one action.
const POLL: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// A tiny deterministic generator (splitmix64): spreads retries, guards no secret.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly within `[low, high)`; `low` where the range is empty.
    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_nanos()).unwrap_or(u64::MAX);
        let share = (u128::from(self.draw()) * u128::from(span)) >> 64;
        low + Duration::from_nanos(u64::try_from(share).unwrap_or(0))
    }

    /// The wait after the `nth` (from 0) failure in a row that says nothing:
    /// full jitter between 250 ms and a ceiling that doubles from 500 ms to 10 s.
    pub(super) fn again(&mut self, nth: u32) -> Duration {
        self.between(AGAIN_FLOOR, doubled(AGAIN_FLOOR * 2, nth, AGAIN_CEILING))
    }

    /// The wait after the `nth` (from 0) "pending event" in a row: 1 s growing
    /// to 5 s, a quarter spread, so that two agents do not come back together.
    pub(super) fn pending(&mut self, nth: u32) -> Duration {
        let (first, most) = PENDING;
        let wait = doubled(first, nth, most);
        self.between(wait, wait + wait / 4).min(most)
    }

    /// The wait after the `nth` (from 0) failed promotion in a row: 1 s doubling to 30 s, up to a quarter more before that.
    pub(super) fn promotion(&mut self, nth: u32) -> Duration {
        let (first, most) = PROMOTION;
        let wait = doubled(first, nth, most);
        self.between(wait, wait + wait / 4).min(most)
    }

    /// The wait after a refusal that does not heal by itself: 30 to 33 s.
    pub(super) fn slow(&mut self) -> Duration {
        self.between(SLOW, SLOW + SLOW / 10)
    }

    /// The wait after the `nth` (from 0) failed readiness proof in a row: 30 s, then a minute, or the `interval` where that is shorter.
    pub(super) fn proof(&mut self, nth: u32, interval: Duration) -> Duration {
        let wait = doubled(SLOW, nth, PROOF_CEILING).min(interval);
        self.between(wait, wait + wait / 10)
    }

    /// The wait after a 429 that named `asked`: at most an hour of it, and
    /// never shorter than [`Self::again`], whatever the header said.
    pub(super) fn not_before(&mut self, asked: Duration, nth: u32) -> Duration {
        asked.min(NOT_BEFORE_CAP).max(self.again(nth))
    }

    /// The time to the next readiness proof: `interval` to a tenth more, so
    /// that it is never sooner and the nodes do not ask together.
    pub(super) fn readiness(&mut self, interval: Duration) -> Duration {
        self.between(interval, interval.saturating_add(interval / 10))
    }
}

/// `first`, doubled `times` times, at most `most`.
pub(super) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(most)
}

/// The wait before the question after `polls` answered ones: 250 ms doubling to 2 s.
pub(super) fn poll_wait(polls: u32) -> Duration {
    let (first, most) = POLL;
    doubled(first, polls, most)
}

/// What a request is for; decides how much of the budget it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Readiness proofs and the looks of a node that is not master.
    Status,
    /// The looks of a master that claims or doubts.
    Look,
    /// An assign, and the polls of its action.
    Write,
}

/// The requests of the last 60 s, against the operator's `calls_per_minute`.
///
/// It counts a sliding window, not a bucket: a full bucket that is refilled
/// while it is emptied allows nearly twice its size within one minute.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    calls: VecDeque<Time>,
    limit: usize,
}

impl Budget {
    const WINDOW: Duration = Duration::from_secs(60);

    /// `calls_per_minute` of at least [`super::Params::MIN_CALLS_PER_MINUTE`]; less counts as that.
    pub(super) fn new(calls_per_minute: u32) -> Self {
        Self { calls: VecDeque::new(), limit: Self::limit(calls_per_minute) }
    }

    /// Another limit; the calls of the last minute count on.
    pub(super) fn allow(&mut self, calls_per_minute: u32) {
        self.limit = Self::limit(calls_per_minute);
    }

    fn limit(calls_per_minute: u32) -> usize {
        usize::try_from(calls_per_minute.max(super::Params::MIN_CALLS_PER_MINUTE)).unwrap_or(usize::MAX)
    }

    /// How many calls within the window leave room for one of this need. A
    /// quarter is kept for a takeover, half of that for its writes: looks that
    /// ate everything would leave nothing for the assign that they permit.
    fn allowed(&self, need: Need) -> usize {
        let reserve = (self.limit / 4).max(2);
        match need {
            Need::Status => self.limit - reserve,
            Need::Look => self.limit - reserve / 2,
            Need::Write => self.limit,
        }
    }

    /// When a call of this need may be made: `now`, or later.
    pub(super) fn free_at(&self, now: Time, need: Need) -> Time {
        let expired = self.calls.iter().take_while(|call| **call + Self::WINDOW <= now).count();
        let counted = self.calls.len() - expired;
        match counted.checked_sub(self.allowed(need)) {
            None => now,
            Some(excess) => self.calls.get(expired + excess).map_or(now, |call| *call + Self::WINDOW),
        }
    }

    /// Counts a call, if there is room for it.
    #[must_use]
    pub(super) fn spend(&mut self, now: Time, need: Need) -> bool {
        if self.free_at(now, need) > now {
            return false;
        }
        while self.calls.front().is_some_and(|call| *call + Self::WINDOW <= now) {
            self.calls.pop_front();
        }
        self.calls.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_wait_stays_within_its_bounds(seed: u64, nth in 0_u32..80, asked: u32) {
            let mut jitter = Jitter::new(seed);
            let again = jitter.again(nth);
            prop_assert!(again >= AGAIN_FLOOR && again <= doubled(AGAIN_FLOOR * 2, nth, AGAIN_CEILING));
            let pending = jitter.pending(nth);
            prop_assert!(pending >= doubled(PENDING.0, nth, PENDING.1) && pending <= PENDING.1);
            let promotion = jitter.promotion(nth);
            prop_assert!(promotion >= doubled(PROMOTION.0, nth, PROMOTION.1) && promotion <= PROMOTION.1);
            let slow = jitter.slow();
            prop_assert!(slow >= SLOW && slow <= SLOW + SLOW / 10);
            let asked = Duration::from_secs(u64::from(asked));
            let wait = jitter.not_before(asked, nth);
            prop_assert!(wait >= asked.min(NOT_BEFORE_CAP) && wait >= AGAIN_FLOOR && wait <= NOT_BEFORE_CAP);
            let interval = Duration::from_secs(300);
            let readiness = jitter.readiness(interval);
            prop_assert!(readiness >= interval && readiness <= interval + interval / 10);
        }

        #[test]
        fn no_minute_has_more_calls_than_the_budget(
            limit in 0_u32..80,
            steps in prop::collection::vec((0_u64..3_000, 0_u8..3), 1..400),
        ) {
            let mut budget = Budget::new(limit);
            let (mut now, mut made) = (Time::ORIGIN, Vec::new());
            for (millis, need) in steps {
                now += Duration::from_millis(millis);
                let need = [Need::Status, Need::Look, Need::Write][usize::from(need)];
                let free_at = budget.free_at(now, need);
                let spent = budget.spend(now, need);
                prop_assert_eq!(spent, free_at == now, "a refusal names a later time");
                if spent {
                    made.push(now);
                } else {
                    prop_assert!(budget.clone().spend(free_at, need), "the time that it names is right");
                }
            }
            let limit = usize::try_from(limit.max(4)).unwrap();
            for window in made.windows(limit + 1) {
                prop_assert!(window[limit] >= window[0] + Budget::WINDOW);
            }
            prop_assert!(budget.calls.len() <= limit);
        }
    }

    #[test]
    fn the_jitter_spreads_over_the_whole_range() {
        let mut jitter = Jitter::new(1);
        let waits: Vec<_> = (0..200).map(|_| jitter.again(20)).collect();
        assert!(waits.iter().any(|wait| *wait < Duration::from_secs(1)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(9)));
    }

    #[test]
    fn status_reads_leave_room_for_looks_and_looks_for_writes() {
        let mut budget = Budget::new(8);
        let now = Time::from_millis(1);
        let mut made = |need| (0..20).filter(|_| budget.spend(now, need)).count();
        assert_eq!([made(Need::Status), made(Need::Look), made(Need::Write), made(Need::Write)], [6, 1, 1, 0]);
    }

    #[test]
    fn polls_come_after_250_ms_doubling_to_2_s() {
        let waits: Vec<_> = (0..6).map(|polls| poll_wait(polls).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 2_000, 2_000]);
        assert_eq!(poll_wait(u32::MAX), POLL.1);
    }
}
