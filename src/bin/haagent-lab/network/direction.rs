//! One direction of one link: what becomes of each datagram. No socket, no clock.

use std::time::Duration;

use super::wire::{Change, Counters, Faults};

/// The longest delay and the longest jitter, so that nothing outlives its test by much.
const MAX_DELAY_MS: u64 = 60_000;

/// Why faults cannot be ordered so.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum FaultError {
    #[error("{what} is a share of the datagrams, from 0 to 1, not {given}")]
    Share { what: &'static str, given: f64 },
    #[error("{what} is {given}: the most is {MAX_DELAY_MS} ms")]
    TooLong { what: &'static str, given: u64 },
    #[error("nothing to change: give `cut`, `loss`, `delay_ms`, `jitter_ms` or `duplicate`")]
    Nothing,
}

/// The copies of one datagram that go on, each after so long; none: it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) first: Option<Duration>,
    pub(super) second: Option<Duration>,
}

/// The faults in force, and what they did.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    random: fastrand::Rng,
}

impl Direction {
    /// Without faults. What it draws later depends on `seed` and on the datagrams of this direction only.
    pub(super) fn new(seed: u64) -> Self {
        Self { faults: Faults::default(), counters: Counters::default(), random: fastrand::Rng::with_seed(seed) }
    }

    /// Judges a datagram that arrived.
    pub(super) fn judge(&mut self) -> Fate {
        self.counters.arrived += 1;
        let lost = Fate { first: None, second: None };
        if self.faults.cut {
            self.counters.cut += 1;
            return lost;
        }
        if self.draws(self.faults.loss) {
            self.counters.lost += 1;
            return lost;
        }
        let twice = self.draws(self.faults.duplicate);
        self.counters.duplicated += u64::from(twice);
        Fate { first: Some(self.delay()), second: twice.then(|| self.delay()) }
    }

    fn draws(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.f64() < share
    }

    fn delay(&mut self) -> Duration {
        let jitter = match self.faults.jitter_ms {
            0 => 0,
            most => self.random.u64(0..=most),
        };
        Duration::from_millis(self.faults.delay_ms + jitter)
    }
}

/// Checked before any direction is changed, so that a refusal changes none.
///
/// # Errors
/// A share or a delay is out of range, or nothing is asked for.
pub(super) fn changed(faults: Faults, change: &Change) -> Result<Faults, FaultError> {
    let Change { on: _, cut, loss, delay_ms, jitter_ms, duplicate } = change;
    if cut.is_none() && loss.is_none() && delay_ms.is_none() && jitter_ms.is_none() && duplicate.is_none() {
        return Err(FaultError::Nothing);
    }
    let changed = Faults {
        cut: cut.unwrap_or(faults.cut),
        loss: loss.unwrap_or(faults.loss),
        delay_ms: delay_ms.unwrap_or(faults.delay_ms),
        jitter_ms: jitter_ms.unwrap_or(faults.jitter_ms),
        duplicate: duplicate.unwrap_or(faults.duplicate),
    };
    for (what, given) in [("loss", changed.loss), ("duplicate", changed.duplicate)] {
        if !(0.0..=1.0).contains(&given) {
            return Err(FaultError::Share { what, given });
        }
    }
    for (what, given) in [("delay_ms", changed.delay_ms), ("jitter_ms", changed.jitter_ms)] {
        if given > MAX_DELAY_MS {
            return Err(FaultError::TooLong { what, given });
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(seed: u64, faults: Faults) -> Direction {
        Direction { faults, ..Direction::new(seed) }
    }

    #[test]
    fn the_same_seed_draws_the_same_fates() {
        let faults = Faults { loss: 0.3, duplicate: 0.2, delay_ms: 5, jitter_ms: 50, ..Faults::default() };
        let fates = |seed| {
            let mut direction = direction(seed, faults);
            (0..100).map(|_| direction.judge()).collect::<Vec<_>>()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
    }

    #[test]
    fn a_share_is_about_that_share_and_every_datagram_is_counted_once() {
        let mut direction = direction(1, Faults { loss: 0.25, duplicate: 0.5, ..Faults::default() });
        let copies: u64 = (0..10_000)
            .map(|_| direction.judge())
            .map(|fate| u64::from(fate.first.is_some()) + u64::from(fate.second.is_some()))
            .sum();
        let counters = direction.counters;
        assert!((2_300..2_700).contains(&counters.lost), "{counters:?}");
        assert!((3_500..4_000).contains(&counters.duplicated), "{counters:?}");
        assert_eq!(copies, counters.arrived - counters.lost + counters.duplicated);
    }

    #[test]
    fn jitter_comes_on_top_of_the_delay_and_up_to_its_bound() {
        let mut direction = direction(1, Faults { delay_ms: 10, jitter_ms: 3, ..Faults::default() });
        let drawn: std::collections::BTreeSet<_> = (0..200).filter_map(|_| direction.judge().first).collect();
        assert_eq!(drawn.into_iter().map(|delay| delay.as_millis()).collect::<Vec<_>>(), [10, 11, 12, 13]);
    }

    #[test]
    fn what_cannot_be_is_refused_and_what_is_not_said_stays() {
        let faults = changed(Faults::default(), &Change { loss: Some(0.5), ..Change::default() }).unwrap();
        let faults = changed(faults, &Change { delay_ms: Some(7), ..Change::default() }).unwrap();
        assert_eq!((faults.loss, faults.delay_ms), (0.5, 7));
        for change in [
            Change::default(),
            Change { loss: Some(1.5), ..Change::default() },
            Change { duplicate: Some(f64::NAN), ..Change::default() },
            Change { jitter_ms: Some(MAX_DELAY_MS + 1), ..Change::default() },
        ] {
            assert!(changed(faults, &change).is_err(), "{change:?}");
        }
    }
}
