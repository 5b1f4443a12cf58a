//! The probe between its task and the heart: what the core wants goes there, what ended comes back,
//! and a takeover that an answer puts off is told.

use super::Brain;
use crate::agent::knowledge::GroupPart;
use crate::heart::{HeartStuck, HeartView, ToHeart};
use crate::probe;
use crate::proto::election::event::{self as election, Hindrance, ProbeOutcome};
use crate::proto::node::GroupIndex;

impl Brain {
    pub(super) fn probe(&mut self, group: GroupIndex, wanted: bool) {
        if let Some(part) = self.know.groups.get(group.0).and_then(|part| part.probe.as_ref()) {
            part.wanted.send_replace(wanted);
        }
        self.stale = true;
    }

    pub(super) fn probed(&mut self, group: GroupIndex, report: &probe::Report) -> Result<(), HeartStuck> {
        let Some(GroupPart { name, probe: Some(part), .. }) = self.know.groups.get_mut(group.0) else { return Ok(()) };
        let news = part.see(report, super::stamp());
        self.stale |= news;
        // While it is asked again and again, what follows from it is what is told.
        if news && !*part.wanted.borrow() {
            let (target, detail) = (part.target(), &report.detail);
            match report.result.outcome {
                ProbeOutcome::Answered => tracing::info!(group = %name, "the probe {target} answers ({detail})"),
                ProbeOutcome::Failed => tracing::warn!(group = %name, "the probe {target} does not answer ({detail})"),
                ProbeOutcome::CouldNotAsk => {
                    tracing::warn!(group = %name, "the probe {target} cannot be asked: {detail}")
                }
            }
        }
        self.heart.sender.send(ToHeart::Probe(group, report.result))
    }

    /// Says once that a takeover is deferred because the service answers, and once that this is over.
    pub(super) fn tell_deferrals(&mut self, view: &HeartView) {
        for (index, election) in view.node.groups.iter().enumerate() {
            let was = self.know.groups.get(index).and_then(|part| part.probe.as_ref()).is_some_and(|part| part.defers);
            let defers = defers(election, was);
            if defers == was {
                continue;
            }
            let words = self.deferral(index, election, defers);
            let Some(part) = self.know.groups.get_mut(index) else { continue };
            tracing::warn!(group = %part.name, "{words}");
            if let Some(probe) = &mut part.probe {
                probe.defers = defers;
            }
        }
    }

    fn deferral(&self, index: usize, election: &election::View, defers: bool) -> String {
        let name = |address| self.know.name_of(address).to_string();
        if defers {
            let address = self.know.groups.get(index).map(|part| part.address.to_string()).unwrap_or_default();
            return format!(
                "no master is heard, and the service still answers through {address}: the takeover is deferred; \
                 mend the private network between the nodes, or the agent of the node that serves"
            );
        }
        match election.waiting.map(|waiting| waiting.hindrance) {
            None => "the takeover is no longer deferred: this node is master".to_owned(),
            Some(Hindrance::MasterHeard { master }) => {
                format!("no takeover is deferred any more: {} is heard as master", name(master))
            }
            Some(_) => "no takeover is deferred any more: this node would not take over now".to_owned(),
        }
    }
}

/// Whether an answering probe is what keeps this node from taking over. A probe that fails for a
/// moment, or a moment of this node's own lateness, changes nothing in that yet.
fn defers(election: &election::View, was: bool) -> bool {
    match election.waiting.map(|waiting| waiting.hindrance) {
        Some(Hindrance::ProbeAnswers { .. }) => true,
        Some(Hindrance::ProbeIncomplete { .. } | Hindrance::ProbeWithoutUplink { .. } | Hindrance::Late) => was,
        Some(_) | None => false,
    }
}
