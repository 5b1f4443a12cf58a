//! The promises of `docs/design.md` as invariants, one file each. An invariant sees
//! each happening and each moment; it reads the world and never touches it.

mod converges;
mod found_again;
mod gate;
mod masters;
mod no_needless_move;
mod one_truth;
mod quiet;

use haagent::proto::time::{Duration, Time};

use crate::world::{Happening, Setup, World};

pub(crate) use converges::Converges;
pub(crate) use quiet::CALLS_PER_MINUTE;

/// A promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) at: Time,
    pub(crate) promise: &'static str,
    pub(crate) text: String,
}

/// What a run must keep to, beyond what every run must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Terms {
    /// P1 counts: the IP is unserved for this long at most.
    pub(crate) unserved: Option<Duration>,
    /// P2 counts: so many moves by agents at most, from now on.
    pub(crate) moves: Option<usize>,
    /// Nobody becomes master (P2: no needless takeover, even without a move).
    pub(crate) no_takeover: bool,
}

pub(crate) trait Invariant {
    fn promise(&self) -> &'static str;

    /// Something happened just now.
    fn observe(&mut self, _world: &World, _happening: &Happening) -> Result<(), String> {
        Ok(())
    }

    /// The state of things, after each event.
    fn look(&mut self, _world: &World) -> Result<(), String> {
        Ok(())
    }

    /// From now on these terms hold.
    fn arm(&mut self, _terms: Terms) {}
}

/// All invariants of one run.
pub(crate) struct Invariants {
    all: Vec<Box<dyn Invariant>>,
}

impl Invariants {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self {
            all: vec![
                Box::new(found_again::FoundAgain::default()),
                Box::new(gate::Gate),
                Box::new(no_needless_move::NoNeedlessMove::new(setup)),
                Box::new(one_truth::OneTruth::new(setup)),
                Box::new(masters::Masters::new(setup)),
                Box::new(quiet::Quiet::new(setup)),
            ],
        }
    }

    pub(crate) fn arm(&mut self, terms: Terms) {
        self.all.iter_mut().for_each(|invariant| invariant.arm(terms));
    }

    /// Judges the last event.
    pub(crate) fn judge(&mut self, world: &World, happenings: &[Happening]) -> Result<(), Violation> {
        for invariant in &mut self.all {
            happenings
                .iter()
                .try_for_each(|happening| invariant.observe(world, happening))
                .and_then(|()| invariant.look(world))
                .map_err(|text| Violation { at: world.now, promise: invariant.promise(), text })?;
        }
        Ok(())
    }
}
