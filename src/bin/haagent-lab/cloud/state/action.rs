//! An action of the provider, and how it will go.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::event::{ActionKind, ActionStatus};

/// How an action will go; faults change it, settings give the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    /// None: it stays in progress for ever.
    pub(crate) takes: Option<Duration>,
    pub(crate) end: End,
    /// How often its number is not found when asked for; none: always (addresses of one's own range).
    pub(crate) hidden_polls: Option<u32>,
    /// What the API calls its end instead of `completed`.
    pub(crate) word: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Completes,
    /// Ends as `errored`; the address stays where it was.
    Errors,
    /// Ends as `errored`, and the address is with nobody.
    ErrorsUnassigned,
}

#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) id: u64,
    pub(crate) kind: ActionKind,
    pub(crate) status: ActionStatus,
    pub(crate) started: Duration,
    pub(crate) ended: Option<Duration>,
    pub(crate) ip: Option<Ipv4Addr>,
    pub(crate) droplet: Option<u64>,
    pub(crate) region: String,
    pub(crate) word: Option<String>,
    pub(super) by: String,
    pub(super) due: Option<Duration>,
    pub(super) end: End,
    pub(super) hidden_polls: Option<u32>,
}

impl Action {
    pub(super) fn running(&self) -> bool {
        self.status == ActionStatus::InProgress
    }
}
