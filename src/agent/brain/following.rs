//! What the hooks are told: each state of this node, and when its promotion gate is open.

use super::Brain;
use crate::agent::knowledge::GroupPart;
use crate::hooks::Turn;
use crate::proto::claim::event::Intent;
use crate::proto::election::event::{Reason, Transition};
use crate::proto::heartbeat::NodeState;
use crate::proto::ids::NodeName;
use crate::proto::node::GroupIndex;

/// A state was entered. The end of the agent is none: what it started would be killed at once.
pub(super) fn turned(
    part: &GroupPart,
    transition: &Transition,
    reason: &str,
    evidence: &str,
    previous_master: Option<NodeName>,
) {
    if matches!(transition.reason, Reason::Stopping { .. } | Reason::BrainStale) {
        return;
    }
    part.hooks.turn(Turn {
        at: transition.at,
        state: transition.to,
        previous: transition.from,
        reason: reason.to_owned(),
        evidence: evidence.to_owned(),
        term: transition.term,
        priority: part.health.candidacy().priority,
        previous_master,
    });
}

impl Brain {
    /// The gate of a hold is open, says the claim; the hold may be over by now.
    pub(super) fn tell_gate(&self, group: GroupIndex) {
        let Some(part) = self.know.groups.get(group.0) else { return };
        if let Intent::Hold(hold) = *part.intents.borrow()
            && part.claim.promoted == Some(hold.since)
        {
            part.hooks.promoted(hold.since);
        }
    }

    /// Who was master before this change, as far as the change itself tells.
    pub(super) fn previous_master(&self, transition: &Transition) -> Option<NodeName> {
        let address = match transition.reason {
            _ if transition.from == NodeState::Master => self.know.identity.address,
            Reason::Silent { master } => master,
            Reason::Offered { by, .. } | Reason::Resigned { by } => by,
            _ => return None,
        };
        Some(self.know.name_of(address))
    }
}
