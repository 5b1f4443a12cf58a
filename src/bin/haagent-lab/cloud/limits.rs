//! The rate limits of one token: a sliding hour, and a burst limit per minute.

use std::collections::VecDeque;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// The calls of one token within the last hour: as many as the hourly limit at most.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    calls: VecDeque<Duration>,
}

/// What the `ratelimit-*` headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) limit: u64,
    /// Reads 0 too when only the burst limit was hit.
    pub(crate) remaining: u64,
    /// When the oldest call expires, since the lab's start.
    pub(crate) reset: Duration,
    pub(crate) refused: Option<Limit>,
}

/// Which limit was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// No `retry-after`.
    Hour,
    /// With `retry-after`: seconds.
    Minute { retry_after: u64 },
}

impl Meter {
    /// Counts a call, unless a limit refuses it.
    pub(crate) fn count(&mut self, now: Duration, per_hour: u64, per_minute: u64) -> Allowance {
        while self.calls.front().is_some_and(|at| *at + HOUR <= now) {
            self.calls.pop_front();
        }
        let used = self.calls.len() as u64;
        let recent = self.calls.iter().rev().take_while(|at| **at + MINUTE > now).count() as u64;
        let refused = if used >= per_hour {
            Some(Limit::Hour)
        } else if recent >= per_minute {
            let oldest_recent = self.calls.iter().rev().take_while(|at| **at + MINUTE > now).last();
            let wait = oldest_recent.map_or(MINUTE, |at| (*at + MINUTE).saturating_sub(now));
            Some(Limit::Minute { retry_after: wait.as_secs() + 1 })
        } else {
            self.calls.push_back(now);
            None
        };
        let remaining = if refused.is_some() { 0 } else { per_hour.saturating_sub(used + 1) };
        Allowance { limit: per_hour, remaining, reset: self.calls.front().copied().unwrap_or(now) + HOUR, refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_slide() {
        let mut meter = Meter::default();
        let mut count = |secs| meter.count(Duration::from_secs(secs), 4, 2);
        assert_eq!((count(0).remaining, count(1).remaining), (3, 2));
        let burst = count(2);
        assert_eq!((burst.refused, burst.remaining), (Some(Limit::Minute { retry_after: 59 }), 0));
        assert_eq!(count(60).refused, None, "the first call is a minute old");
        assert_eq!(count(200).remaining, 0);
        let hour = count(300);
        assert_eq!((hour.refused, hour.reset), (Some(Limit::Hour), Duration::from_secs(3600)));
        assert_eq!(count(3600).refused, None);
        assert_eq!(count(3600).refused, Some(Limit::Hour));
    }
}
