//! What the control endpoint of the private network takes and answers, for the server and for the command alike.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

/// `POST /faults`: what is not given stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) on: Between,
    pub(crate) cut: Option<bool>,
    pub(crate) loss: Option<f64>,
    pub(crate) delay_ms: Option<u64>,
    pub(crate) jitter_ms: Option<u64>,
    pub(crate) duplicate: Option<f64>,
}

/// Between which nodes; also the body of `DELETE /faults`. Who is not named is everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Between {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// Only what `from` sends to `to`.
    pub(crate) one_way: bool,
}

/// What happens to the datagrams of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Faults {
    /// Nothing passes, nor what was under way.
    pub(crate) cut: bool,
    /// The share that is lost: 0 to 1.
    pub(crate) loss: f64,
    /// How long each takes.
    pub(crate) delay_ms: u64,
    /// Up to so much more, drawn for each: so they overtake each other.
    pub(crate) jitter_ms: u64,
    /// The share that comes twice: 0 to 1.
    pub(crate) duplicate: f64,
}

/// The datagrams of one direction since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counters {
    /// From the sender, before any fault.
    pub(crate) arrived: u64,
    /// On to the receiver, the second of a duplicate too.
    pub(crate) passed: u64,
    pub(crate) cut: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// Too many were under way, or the kernel did not take it.
    pub(crate) overflowed: u64,
    /// How often the receiver's host said that nobody listens there.
    pub(crate) refused: u64,
}

/// One direction of one link.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct DirectionState {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
}

/// `GET /state`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct State {
    /// Where each node's agent sends and listens.
    pub(crate) nodes: BTreeMap<String, SocketAddrV4>,
    pub(crate) seed: u64,
    pub(crate) directions: Vec<DirectionState>,
}

/// The answer to a change: the directions that it was about, as they are now.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Changed {
    pub(crate) directions: Vec<DirectionState>,
}
