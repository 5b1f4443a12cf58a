//! What the cloud's control endpoint takes and answers, for the server and for the command alike.
//! A fault's order is in [`order`](super::order), the settings are in [`world`](super::world).

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::faults::Fault;
use super::lab::Traffic;
use super::world::{Power, Settings};
use crate::arguments::milliseconds;

/// `POST /move`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandMove {
    pub(crate) ip: Ipv4Addr,
    /// Null takes the address from whoever has it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) droplet: Option<u64>,
    /// How long it takes, if not as long as every action.
    pub(crate) takes_ms: Option<u64>,
}

/// `POST /droplets`: of an existing droplet what is given is changed; a new one needs a name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct DropletChange {
    #[arg(skip)]
    pub(crate) id: u64,
    /// Its name; a new droplet needs one
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Its address in the VPC
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) private: Option<Ipv4Addr>,
    /// Its public address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) public: Option<Ipv4Addr>,
    /// Where it is; a new one is where the others are
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// What the control plane says of its power; where it is off, clients reach nobody
    #[arg(long, value_enum)]
    pub(crate) status: Option<Power>,
    /// Its tags; may be given more than once, and replaces all
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Option<Vec<String>>,
    /// Where its service listens, to which clients of its reserved IP are led
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) service: Option<SocketAddr>,
    /// What its metadata says of maintenance, for example live_migrate; "" for none
    #[arg(long, value_name = "EVENT")]
    pub(crate) maintenance_event: Option<String>,
    /// Something runs on it for so long and locks it
    #[arg(long = "busy", value_name = "DURATION", value_parser = milliseconds)]
    pub(crate) busy_ms: Option<u64>,
    /// It is gone; what it held is with nobody
    #[arg(long)]
    #[serde(default)]
    pub(crate) destroy: bool,
}

/// The truth about one reserved IP, and what each onlooker sees of it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct AddressState {
    pub(crate) ip: Ipv4Addr,
    pub(crate) region: String,
    pub(crate) holder: Option<u64>,
    /// By the API.
    pub(crate) shown: Option<u64>,
    /// By clients.
    pub(crate) reached: Option<u64>,
    pub(crate) locked: bool,
    pub(crate) traffic: Traffic,
}

/// A droplet, and what its metadata service says.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct DropletState {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) private: Option<Ipv4Addr>,
    pub(crate) public: Option<Ipv4Addr>,
    pub(crate) region: String,
    pub(crate) status: Power,
    pub(crate) tags: Vec<String>,
    pub(crate) service: Option<SocketAddr>,
    pub(crate) locked: bool,
    pub(crate) maintenance_event: String,
    pub(crate) metadata_says: Option<Ipv4Addr>,
}

/// `GET /state`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct State {
    /// Since the start.
    pub(crate) now_ms: u64,
    pub(crate) newest_event: u64,
    pub(crate) reserved_ips: Vec<AddressState>,
    pub(crate) droplets: Vec<DropletState>,
    /// The newest, as the API shows them.
    pub(crate) actions: Vec<Value>,
    pub(crate) settings: Settings,
}

/// `GET /faults`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct FaultList {
    pub(crate) faults: Vec<Fault>,
}

/// The answer to `POST /faults`: the number to clear it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct FaultNumber {
    pub(crate) id: u64,
}

/// The answer to `DELETE /faults`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Cleared {
    pub(crate) cleared: Vec<u64>,
}

/// The answer to `POST /settings`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct SettingsNow {
    pub(crate) settings: Settings,
}

/// The answer to `POST /move`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct ActionNumber {
    pub(crate) action: u64,
}

/// The answer to `POST /droplets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct DropletNumber {
    pub(crate) droplet: u64,
}
