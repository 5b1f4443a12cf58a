//! The control endpoint of the private network.
//!
//! | request | body | does |
//! | --- | --- | --- |
//! | `GET /` | | lists these |
//! | `GET /state` | | nodes, faults and counters: [`State`] |
//! | `POST /faults` | [`Change`] | changes what happens to some directions, answers [`Changed`] |
//! | `DELETE /faults` | [`Between`], or nothing for all | all is well again there |
//!
//! Answers are JSON; an error is 4xx with `{"message"}`.

use std::net::SocketAddrV4;
use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;

use super::direction::{self, FaultError};
use super::relay::Shared;
use super::wire::{Between, Change, Changed, DirectionState, Faults, State};
use crate::http::{self, Asked, Handler, Reply};

const HELP: &str = "GET /state  POST /faults  DELETE /faults\n";

/// A node of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) address: SocketAddrV4,
}

/// What one node sends to another; `from` and `to` are places among the nodes.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) direction: Shared,
}

/// The network as its control endpoint knows it.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) nodes: Arc<[Node]>,
    pub(super) ways: Arc<[Way]>,
    pub(super) seed: u64,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error("there is no {0}; GET / lists what there is")]
    NoSuchPath(String),
    #[error("the body is not what this takes: {0}")]
    Body(#[from] serde_json::Error),
    #[error("there is no node {name}; there are {nodes}")]
    NoSuchNode { name: String, nodes: String },
    #[error("{0} sends nothing to itself: name two nodes")]
    Same(String),
    #[error("one way from whom? Name the sender")]
    OneWay,
    #[error(transparent)]
    Fault(#[from] FaultError),
}

impl ControlError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath(_) | Self::NoSuchNode { .. } => StatusCode::NOT_FOUND,
            Self::Body(_) | Self::Same(_) | Self::OneWay | Self::Fault(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl Handler for Control {
    async fn handle(&self, asked: Asked) -> Reply {
        let changed = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/") => return Reply::Answer(http::answer(StatusCode::OK, "text/plain", HELP)),
            ("GET", "/state") => return Reply::Answer(http::json(StatusCode::OK, &self.state())),
            ("POST", "/faults") => self.change(&asked.body),
            ("DELETE", "/faults") => self.heal(&asked.body),
            (method, path) => Err(ControlError::NoSuchPath(format!("{method} {path}"))),
        };
        Reply::Answer(match changed {
            Ok(changed) => http::json(StatusCode::OK, &changed),
            Err(error) => http::json(error.status(), &json!({"message": error.to_string()})),
        })
    }
}

impl Control {
    fn state(&self) -> State {
        State {
            nodes: self.nodes.iter().map(|node| (node.name.clone(), node.address)).collect(),
            seed: self.seed,
            directions: self.ways.iter().map(|way| self.seen(way)).collect(),
        }
    }

    fn seen(&self, way: &Way) -> DirectionState {
        let name = |at: usize| self.nodes.get(at).map(|node| node.name.clone()).unwrap_or_default();
        let (faults, counters) = way.direction.with(|direction| (direction.faults, direction.counters));
        DirectionState { from: name(way.from), to: name(way.to), faults, counters }
    }

    fn change(&self, body: &[u8]) -> Result<Changed, ControlError> {
        let change: Change = serde_json::from_slice(body)?;
        let chosen = self.between(&change.on)?;
        // All are checked before one is changed. What makes one impossible makes all so but for
        // nothing: what is not given is in order already.
        let faults = chosen.iter().map(|way| {
            let present = way.direction.with(|direction| direction.faults);
            direction::changed(present, &change)
        });
        let faults = faults.collect::<Result<Vec<Faults>, _>>()?;
        for (way, faults) in chosen.iter().zip(faults) {
            way.direction.with(|direction| direction.faults = faults);
        }
        Ok(Changed { directions: chosen.into_iter().map(|way| self.seen(way)).collect() })
    }

    fn heal(&self, body: &[u8]) -> Result<Changed, ControlError> {
        let between = if body.is_empty() { Between::default() } else { serde_json::from_slice(body)? };
        let chosen = self.between(&between)?;
        for way in &chosen {
            way.direction.with(|direction| direction.faults = Faults::default());
        }
        Ok(Changed { directions: chosen.into_iter().map(|way| self.seen(way)).collect() })
    }

    /// The directions that are meant.
    fn between(&self, between: &Between) -> Result<Vec<&Way>, ControlError> {
        let place = |name: &Option<String>| name.as_ref().map(|name| self.place(name)).transpose();
        let (from, to) = (place(&between.from)?, place(&between.to)?);
        if let (Some(from), Some(name)) = (from, &between.to)
            && Some(from) == to
        {
            return Err(ControlError::Same(name.clone()));
        }
        if between.one_way && from.is_none() {
            return Err(ControlError::OneWay);
        }
        let meant = |sender: usize, receiver: usize| {
            from.is_none_or(|from| from == sender) && to.is_none_or(|to| to == receiver)
        };
        let ways = self.ways.iter();
        Ok(ways.filter(|way| meant(way.from, way.to) || !between.one_way && meant(way.to, way.from)).collect())
    }

    fn place(&self, name: &str) -> Result<usize, ControlError> {
        self.nodes.iter().position(|node| node.name == name).ok_or_else(|| {
            let nodes: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            ControlError::NoSuchNode { name: name.to_owned(), nodes: nodes.join(", ") }
        })
    }
}
