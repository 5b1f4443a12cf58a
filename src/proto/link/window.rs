//! The sequence numbers of one run of a peer: which ones were accepted, and how
//! many are missing.

use crate::proto::ids::Seq;

/// How many numbers behind the highest one a late datagram may be: 16 heartbeats sent thrice, and more.
pub(super) const REORDERING: u64 = 64;

/// How many of the newest numbers the loss is counted over.
pub(super) const LOSS_SPAN: u64 = 100;

/// How many datagrams did not arrive, of the newest hundred that the peer sent.
/// Total silence is no loss here: it is the age of the last datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Not arrived (yet).
    pub missing: u32,
    /// Sent, as far as known: 1 to 100.
    pub expected: u32,
}

impl Loss {
    /// The part that is missing, 0.0 to 1.0.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.missing) / f64::from(self.expected.max(1))
    }
}

/// What the window says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Higher than all before.
    Newest,
    /// Overtaken by a higher one, and new.
    Late,
    /// Accepted before.
    Again,
    /// So far behind that nobody remembers whether it was accepted.
    TooOld,
}

/// The numbers accepted so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    highest: Seq,
    /// Bit n: `highest - n` was accepted.
    accepted: u128,
    /// The first number that was accepted: loss counts from it. `None`: known by memory only.
    first: Option<Seq>,
}

const _: () = assert!(REORDERING < LOSS_SPAN && LOSS_SPAN < u128::BITS as u64, "one bit for each number");

impl Window {
    /// The window of a run of which `seq` is the first to count. What it overtook
    /// does not: a run that was put aside begins again, and nothing of it counts twice.
    pub(super) const fn starting(seq: Seq) -> Self {
        Self { highest: seq, accepted: u128::MAX, first: Some(seq) }
    }

    /// The window of a run of which only its highest number is remembered: what is
    /// not above counts as accepted.
    pub(super) const fn remembered(highest: Seq) -> Self {
        Self { highest, accepted: u128::MAX, first: None }
    }

    pub(super) const fn highest(&self) -> Seq {
        self.highest
    }

    /// Marks `seq` as accepted, unless it may not be.
    pub(super) fn accept(&mut self, seq: Seq) -> Place {
        let place = if seq > self.highest {
            let ahead = u32::try_from(seq.0 - self.highest.0).unwrap_or(u32::MAX);
            self.accepted = self.accepted.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = seq;
            Place::Newest
        } else {
            let behind = self.highest.0 - seq.0;
            if behind >= REORDERING {
                return Place::TooOld;
            }
            if self.accepted >> behind & 1 == 1 {
                return Place::Again;
            }
            self.accepted |= 1 << behind;
            Place::Late
        };
        self.first.get_or_insert(seq);
        place
    }

    pub(super) fn loss(&self) -> Option<Loss> {
        let span = (self.highest.0.saturating_sub(self.first?.0) + 1).min(LOSS_SPAN);
        let expected = u32::try_from(span).unwrap_or(u32::MAX);
        let there = (self.accepted & ((1 << span) - 1)).count_ones();
        Some(Loss { missing: expected - there, expected })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The same by a plain set.
    struct Model {
        first: u64,
        accepted: BTreeSet<u64>,
    }

    impl Model {
        fn accept(&mut self, seq: u64) -> Place {
            let highest = *self.accepted.last().unwrap();
            let place = match seq {
                _ if seq + REORDERING <= highest => return Place::TooOld,
                _ if seq < self.first || self.accepted.contains(&seq) => return Place::Again,
                _ if seq > highest => Place::Newest,
                _ => Place::Late,
            };
            self.accepted.insert(seq);
            place
        }

        fn loss(&self) -> Loss {
            let highest = *self.accepted.last().unwrap();
            let from = self.first.max((highest + 1).saturating_sub(LOSS_SPAN));
            let expected = highest - from + 1;
            let missing = expected - self.accepted.range(from..).count() as u64;
            Loss { missing: missing as u32, expected: expected as u32 }
        }
    }

    #[test]
    fn the_edges_of_the_window() {
        let mut window = Window::starting(Seq(1));
        assert_eq!(window.accept(Seq(65)), Place::Newest);
        assert_eq!(window.accept(Seq(1)), Place::TooOld);
        assert_eq!(window.accept(Seq(2)), Place::Late);
        assert_eq!(window.accept(Seq(2)), Place::Again);
        assert_eq!(Window::starting(Seq(3)).accept(Seq(2)), Place::Again, "overtaken by the first");
        assert_eq!(window.accept(Seq(65)), Place::Again);
        assert_eq!(window.accept(Seq(u64::MAX)), Place::Newest);
        assert_eq!(window.accept(Seq(u64::MAX)), Place::Again);
        assert_eq!(window.accept(Seq(u64::MAX - 63)), Place::Late);
        assert_eq!(window.accept(Seq(u64::MAX - 64)), Place::TooOld);
        assert_eq!(window.loss(), Some(Loss { missing: 98, expected: 100 }));
    }

    #[test]
    fn what_is_only_remembered_accepts_nothing_twice_and_counts_no_loss() {
        let mut window = Window::remembered(Seq(500));
        assert_eq!(window.loss(), None);
        assert_eq!((window.accept(Seq(500)), window.accept(Seq(499))), (Place::Again, Place::Again));
        assert_eq!(window.accept(Seq(400)), Place::TooOld);
        assert_eq!((window.accept(Seq(700)), window.accept(Seq(699))), (Place::Newest, Place::Late));
        assert_eq!(window.loss(), Some(Loss { missing: 0, expected: 1 }));
        assert_eq!(window.accept(Seq(702)), Place::Newest);
        assert_eq!(window.loss(), Some(Loss { missing: 1, expected: 3 }));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_plain_set(
            first in 1_u64..1_000,
            steps in proptest::collection::vec((any::<bool>(), 0_u64..150), 0..300),
        ) {
            let mut window = Window::starting(Seq(first));
            let mut model = Model { first, accepted: [first].into() };
            for (ahead, distance) in steps {
                let highest = window.highest().0;
                let seq = if ahead { highest + distance % 5 } else { highest.saturating_sub(distance).max(1) };
                prop_assert_eq!(window.accept(Seq(seq)), model.accept(seq), "{} after {}", seq, highest);
                prop_assert_eq!(window.loss(), Some(model.loss()));
            }
        }
    }
}
