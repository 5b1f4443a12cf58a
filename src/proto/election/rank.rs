//! The order among candidates: who goes first when nobody is master
//! (`docs/design.md`, "Words", and the end of rule 7).

use std::net::Ipv4Addr;

use crate::proto::ids::{Priority, Rank};
use crate::proto::time::Duration;

/// One who could take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Its private address; breaks ties.
    pub address: Ipv4Addr,
    /// Its effective priority.
    pub priority: Priority,
}

/// The rank of `me` among the `others` that are heard as candidates: by the truth's
/// holder first, then effective priority, then address; the higher goes first.
#[must_use]
pub fn rank(me: Contender, holder: Option<Ipv4Addr>, others: impl Iterator<Item = Contender>) -> Rank {
    let place = |c: Contender| (holder == Some(c.address), c.priority, c.address);
    let ahead = others.filter(|other| place(*other) > place(me)).count();
    Rank(u8::try_from(ahead).unwrap_or(u8::MAX))
}

/// What a candidate of this rank waits longer than the best: `rank x I/2`.
#[doc(alias = "Skew_Time")]
#[must_use]
pub fn skew(interval: Duration, rank: Rank) -> Duration {
    interval.saturating_mul(u32::from(rank.0)) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contender(priority: i64, last: u8) -> Contender {
        Contender { address: Ipv4Addr::new(10, 0, 0, last), priority: Priority::new(priority).unwrap() }
    }

    #[test]
    fn priority_then_the_higher_address_and_the_holder_before_all() {
        let me = contender(100, 2);
        assert_eq!(rank(me, None, [contender(100, 1)].into_iter()), Rank(0));
        assert_eq!(rank(me, None, [contender(100, 3)].into_iter()), Rank(1));
        assert_eq!(rank(me, None, [contender(101, 1), contender(99, 3)].into_iter()), Rank(1));
        let holder = Some(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(rank(me, holder, [contender(1, 1), contender(254, 9)].into_iter()), Rank(2));
        assert_eq!(rank(me, Some(me.address), [contender(254, 9)].into_iter()), Rank(0));
    }

    proptest! {
        /// Whoever counts, all get different ranks from 0 up: skews never collide.
        #[test]
        fn ranks_are_a_permutation(priorities in prop::collection::vec(1_i64..=254, 1..8), holder in 0_u8..9) {
            let all: Vec<_> =
                priorities.iter().zip(1_u8..).map(|(priority, last)| contender(*priority, last)).collect();
            let holder = Some(Ipv4Addr::new(10, 0, 0, holder));
            let mut ranks: Vec<_> = all
                .iter()
                .map(|me| rank(*me, holder, all.iter().copied().filter(|other| other.address != me.address)).0)
                .collect();
            ranks.sort_unstable();
            prop_assert_eq!(ranks, (0..all.len()).map(|n| u8::try_from(n).unwrap()).collect::<Vec<_>>());
        }
    }
}
