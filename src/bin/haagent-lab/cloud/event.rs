//! What the event log tells: every call, and every change of the cloud's state.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which of the cloud's faces a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Face {
    Api,
    Metadata,
}

/// What runs on an address or a droplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ActionKind {
    AssignIp,
    UnassignIp,
    ReserveIp,
    /// Something else that runs on a droplet and locks it.
    Snapshot,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ActionStatus {
    InProgress,
    Completed,
    Errored,
}

/// What the control endpoint did to a droplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DropletDeed {
    Added,
    Altered,
    Destroyed,
}

/// One line of the event log. `by` is a droplet's name (its agent's token), `token N`, or `hand`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// A call, logged when its answer was decided. What it did to the state follows it.
    Request(Request),
    /// An action was accepted and is now in progress.
    Accepted {
        action: u64,
        #[serde(rename = "type")]
        kind: ActionKind,
        ip: Option<Ipv4Addr>,
        droplet: Option<u64>,
        by: String,
    },
    /// An action came to its end.
    Ended { action: u64, status: ActionStatus, ip: Option<Ipv4Addr>, took_ms: u64, by: String },
    /// A reserved IP has another holder: this is the cloud's truth, whatever is still shown.
    Moved { ip: Ipv4Addr, from: Option<u64>, to: Option<u64>, by: String },
    /// A reserved IP was created.
    Created { ip: Ipv4Addr, by: String },
    /// A reserved IP was deleted.
    Deleted { ip: Ipv4Addr, by: String },
    /// The control endpoint changed a droplet.
    Droplet { droplet: u64, change: DropletDeed },
    /// The control endpoint set or cleared faults.
    Faults { set: Option<u64>, cleared: Vec<u64> },
}

impl Event {
    /// Every word of [`name`](Self::name).
    pub(crate) const NAMES: [&str; 8] =
        ["request", "accepted", "ended", "moved", "created", "deleted", "droplet", "faults"];

    /// The word that readers may ask for.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Accepted { .. } => "accepted",
            Self::Ended { .. } => "ended",
            Self::Moved { .. } => "moved",
            Self::Created { .. } => "created",
            Self::Deleted { .. } => "deleted",
            Self::Droplet { .. } => "droplet",
            Self::Faults { .. } => "faults",
        }
    }
}

/// A call as it came and what was decided about it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Request {
    pub(crate) face: Face,
    /// Whose token or whose metadata service; null where that is not known.
    pub(crate) droplet: Option<u64>,
    pub(crate) by: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) method: String,
    pub(crate) path: String,
    /// A POST's body, if it was JSON.
    pub(crate) body: Option<Value>,
    /// The status answered; null: no answer.
    pub(crate) status: Option<u16>,
    /// The `message` of an answer that is an error.
    pub(crate) message: Option<String>,
    /// The faults that had a hand in it.
    pub(crate) faults: Vec<String>,
    /// When the request had arrived whole, milliseconds since the lab's start.
    pub(crate) received_ms: u64,
}
