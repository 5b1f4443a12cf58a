//! The lab's own clock, and the only place in the lab that reads one.
//!
//! The models take `now` as the time since the lab started; wall time is that plus the
//! wall time at the start, so the two can never disagree within one event log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the lab started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    unix_at_start: Duration,
}

impl Clock {
    /// A clock that reads zero now.
    #[allow(
        clippy::disallowed_methods,
        reason = "a test tool outside the agent: its clock must not depend on the agent's"
    )]
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            unix_at_start: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO),
        }
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Wall time (since 1970).
    pub(crate) fn unix_now(&self) -> Duration {
        self.unix_at_start + self.now()
    }

    /// Wall time (since 1970) at the start.
    pub(crate) fn unix_at_start(&self) -> Duration {
        self.unix_at_start
    }
}
