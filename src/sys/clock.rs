//! The only reader of clocks.
//!
//! The cores count in `CLOCK_BOOTTIME`: it never jumps with the time of day, and it
//! goes on while the host is suspended, so that a node which was paused knows that
//! it was away. The time of day is for people and for files.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use crate::proto::time::Time;

/// The time of the cores: since the host came up (or since the offset of its time namespace).
#[must_use]
pub fn now() -> Time {
    Time::from_nanos(u64::try_from(boot_time().as_nanos()).unwrap_or(u64::MAX))
}

/// What systemd counts in (`CLOCK_MONOTONIC`), in microseconds; a clock that cannot be read is at zero.
#[must_use]
pub fn monotonic_micros() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// The time of day. It may jump; never measure with it.
#[must_use]
#[allow(clippy::disallowed_methods)] // the one place
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The time of day at which `time` was, if the clock has not been set since.
#[must_use]
pub fn wall_at(time: Time) -> SystemTime {
    let now = now();
    let wall = wall();
    wall.checked_sub(now.since(time)).and_then(|past| past.checked_add(time.since(now))).unwrap_or(wall)
}

/// RFC 3339 in UTC with milliseconds: `2026-11-20T09:03:11.042Z`.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(writable(time)).to_string()
}

/// RFC 3339 knows the years 1970 to 9999 here, and a time from a file may lie outside of them.
fn writable(time: SystemTime) -> SystemTime {
    const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + since_epoch.min(LAST_SECOND)
}

/// A kernel without the clock cannot run the agent at all (`CLOCK_BOOTTIME`: Linux
/// 2.6.39); a clock that cannot be read stands still, and the heart falls silent.
fn boot_time() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_cores_runs_and_is_the_uptime() {
        let first = now();
        assert!(first > Time::ORIGIN);
        assert!(now() >= first);
        let told = std::fs::read_to_string("/proc/uptime").unwrap();
        let told: f64 = told.split_whitespace().next().unwrap().parse().unwrap();
        let counted = now().since(Time::ORIGIN).as_secs_f64();
        assert!((counted - told).abs() < 60.0, "{counted} {told}");
    }

    #[test]
    fn a_time_of_the_cores_has_a_time_of_day() {
        let minute = Duration::from_secs(60);
        for (time, expected) in [(now().before(minute), wall() - minute), (now() + minute, wall() + minute)] {
            let told = wall_at(time);
            let off = told.duration_since(expected).or_else(|_| expected.duration_since(told)).unwrap();
            assert!(off < Duration::from_secs(10), "{off:?}");
        }
    }

    #[test]
    fn times_that_rfc_3339_cannot_write_are_cut_to_the_nearest_it_can() {
        let second = Duration::from_secs(1);
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(rfc3339(epoch + Duration::from_millis(1_500)), "1970-01-01T00:00:01.500Z");
        assert_eq!(rfc3339(epoch - second), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(epoch + Duration::from_secs(400_000_000_000)), "9999-12-31T23:59:59.000Z");
    }
}
