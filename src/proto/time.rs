//! Time as the cores see it: a number that somebody else read from a clock.
//!
//! [`Time`] counts nanoseconds of one monotonic clock (`CLOCK_BOOTTIME` in
//! production, the simulator's own in tests). Only `sys::clock` makes one from
//! a clock; any test can write one. Arithmetic saturates: it cannot wrap, and
//! a time stamp from the future has the age zero.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

pub use std::time::Duration;

/// A point in monotonic time, in nanoseconds since an arbitrary origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The origin of the clock. No event lies before it.
    pub const ORIGIN: Self = Self(0);

    /// A time from nanoseconds since the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A time from milliseconds since the clock's origin; what tests write.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point `age` before this one, not before the origin.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(age)))
    }
}

/// Saturates at the clock's end, 584 years from its origin.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(nanos(wait)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, wait: Duration) {
        *self = *self + wait;
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000)
    }
}

/// Named timers of which the earliest due one is taken first; equal ones in
/// the order of their names, so that a run can be repeated exactly.
#[derive(Clone, Debug)]
pub struct TimerTable<const N: usize> {
    due: [Option<Time>; N],
}

impl<const N: usize> Default for TimerTable<N> {
    fn default() -> Self {
        Self { due: [None; N] }
    }
}

impl<const N: usize> TimerTable<N> {
    /// Sets the timer, replacing an earlier setting.
    pub fn set(&mut self, timer: usize, due: Time) {
        self.due[timer] = Some(due);
    }

    /// Stops the timer, running or not.
    pub fn stop(&mut self, timer: usize) {
        self.due[timer] = None;
    }

    /// When the timer is due, if it runs.
    #[must_use]
    pub fn get(&self, timer: usize) -> Option<Time> {
        self.due[timer]
    }

    /// The earliest due time of all.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.due.iter().flatten().min().copied()
    }

    /// Takes (and stops) the timer that is due at `now` and was due first.
    pub fn expire(&mut self, now: Time) -> Option<usize> {
        let (timer, _) = self
            .due
            .iter()
            .enumerate()
            .filter_map(|(timer, due)| due.filter(|due| *due <= now).map(|due| (timer, due)))
            .min_by_key(|(timer, due)| (*due, *timer))?;
        self.due[timer] = None;
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let end = Time::from_nanos(u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Time::from_millis(1).since(Time::from_millis(2)), Duration::ZERO);
        assert_eq!(Time::from_millis(1).before(Duration::MAX), Time::ORIGIN);
        assert_eq!(Time::from_millis(1_500) - Time::from_millis(250), Duration::from_millis(1_250));
    }

    #[test]
    fn timers_expire_by_due_time_then_by_name() {
        let mut timers = TimerTable::<3>::default();
        timers.set(2, Time::from_millis(10));
        timers.set(1, Time::from_millis(20));
        timers.set(0, Time::from_millis(20));
        assert_eq!(timers.next_deadline(), Some(Time::from_millis(10)));
        assert_eq!(timers.expire(Time::from_millis(9)), None);
        let now = Time::from_millis(30);
        assert_eq!(
            [timers.expire(now), timers.expire(now), timers.expire(now), timers.expire(now)],
            [Some(2), Some(0), Some(1), None]
        );
    }
}
