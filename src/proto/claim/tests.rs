//! One reconciler against a model cloud: the rows of the table in
//! `docs/design.md`, "The claim", and rules 12 to 14 as scenarios; the promises as properties.

mod claiming;
mod gate;
mod holding;
mod properties;
mod resting;
mod world;

use super::event::*;
use super::*;
use world::{OLD, World, params};

const HOUR: Duration = Duration::from_secs(3_600);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A world in which this node took the address over from `OLD` and holds it for a minute.
fn held() -> World {
    let mut w = World::new(OLD);
    w.hold(&[OLD]);
    w.run(secs(60));
    assert_eq!((w.state(), w.assigns.len()), (ClaimState::Held, 1));
    w
}
