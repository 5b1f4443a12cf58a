//! A reserved IP: who holds it in truth, and who still sees which older move.

use std::collections::VecDeque;
use std::time::Duration;

/// One change of the holder, and when each onlooker sees it.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
    pub(super) at: Duration,
    pub(super) api_at: Duration,
    pub(super) winner_at: Duration,
    pub(super) loser_at: Duration,
    pub(super) dataplane_at: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct ReservedIp {
    pub(crate) region: String,
    /// The truth.
    pub(crate) holder: Option<u64>,
    /// The holder before the oldest of `moves`.
    pub(super) base: Option<u64>,
    pub(super) moves: VecDeque<Move>,
    pub(super) found_from: Duration,
}

impl ReservedIp {
    pub(super) fn new(region: String, holder: Option<u64>, found_from: Duration) -> Self {
        Self { region, holder, base: holder, moves: VecDeque::new(), found_from }
    }

    /// The holder by the newest move that `seen_at` makes visible by now.
    pub(super) fn holder_by(&self, now: Duration, seen_at: impl Fn(&Move) -> Duration) -> Option<u64> {
        self.moves.iter().rev().find(|step| seen_at(step) <= now).map_or(self.base, |step| step.to)
    }

    /// What the metadata service of `droplet` knows: winner and loser learn at different times.
    pub(super) fn known_to(&self, now: Duration, droplet: u64) -> bool {
        let newest = self.moves.iter().rev().find(|step| {
            step.to == Some(droplet) && step.winner_at <= now || step.from == Some(droplet) && step.loser_at <= now
        });
        newest.map_or(self.base == Some(droplet), |step| step.to == Some(droplet))
    }
}
