//! The timeline of a move: from the last heartbeat to the verified claim, step by step.
//!
//! A mastership becomes a move when the address changes its node by it: an assign
//! leaves, or the address is here already because somebody moved it by hand.

use crate::proto::claim::event::{Holder, Milestone};
use crate::proto::election::event::{Reason, Transition};
use crate::proto::heartbeat::{HandOver, NodeState};
use crate::proto::ids::{NodeName, Term};
use crate::proto::time::Time;
use crate::view::status::{ActKind, Move, MoveKind, Phases, Stamp, millis};
use crate::view::words;

use std::net::Ipv4Addr;

/// The newest mastership of this node in one group, and the move that it made.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    taken: Transition,
    kind: MoveKind,
    reason: &'static str,
    evidence: String,
    /// Who asked the old master for it, if somebody did.
    by: Option<String>,
    /// What was wrong at the old master, by its own word.
    fault: Option<String>,
    from: Option<NodeName>,
    decided_at: Stamp,
    /// The claim was verified in this mastership: a further assign is a repair, and a move of its own.
    verified: bool,
    promoted: Option<Time>,
    assign_sent: Option<Time>,
    completed: Option<Time>,
    done: Option<Time>,
}

impl Timeline {
    /// A takeover begins one. `name` knows nodes by their addresses.
    pub(super) fn begin(taken: &Transition, decided_at: Stamp, name: impl Fn(Ipv4Addr) -> NodeName) -> Option<Self> {
        if taken.to != NodeState::Master {
            return None;
        }
        let look = taken.evidence.look.and_then(|look| match look.holder {
            Holder::Member(member) => Some(member),
            Holder::Mine | Holder::Nobody | Holder::Foreign(_) | Holder::Unknown => None,
        });
        let from = match &taken.reason {
            Reason::Silent { master } => Some(*master),
            Reason::Offered { by, .. } | Reason::Resigned { by } => Some(*by),
            _ => look,
        };
        Some(Self {
            kind: words::move_kind(&taken.reason),
            reason: words::reason(&taken.reason),
            evidence: words::evidence(&taken.reason, &taken.evidence, taken.at, |a| name(a).to_string()),
            by: None,
            fault: None,
            from: from.map(&name),
            decided_at,
            verified: false,
            promoted: None,
            assign_sent: None,
            completed: None,
            done: None,
            taken: taken.clone(),
        })
    }

    /// A step was reached. The move so far, if it is one.
    pub(super) fn reach(&mut self, step: Milestone, at: Time, now: Stamp, own: &NodeName) -> Option<Move> {
        match step {
            Milestone::Promoted => self.promoted = Some(at),
            Milestone::AssignSent if self.verified => self.repair(at, now),
            Milestone::AssignSent => self.assign_sent = Some(at),
            Milestone::ActionCompleted => self.completed = Some(at),
            Milestone::Verified => {
                // A loss that was none is verified again: the move ended with the first time.
                self.done.get_or_insert(at);
                self.verified = true;
            }
        }
        self.is_move().then(|| self.to_move(own))
    }

    /// The address was taken away from a working master, and it claims it again.
    fn repair(&mut self, at: Time, now: Stamp) {
        self.kind = MoveKind::Failover;
        self.reason = words::REPAIRED;
        self.evidence = "the address was taken away from this node while it was master".to_owned();
        (self.from, self.by, self.fault) = (None, None, None);
        self.taken.at = at;
        self.taken.evidence = Default::default();
        self.decided_at = now;
        (self.promoted, self.completed, self.done) = (None, None, None);
        self.assign_sent = Some(at);
    }

    /// The kind of act that led to this mastership, and the node that it was asked of.
    pub(super) fn asked(&self) -> Option<(ActKind, Option<&NodeName>)> {
        if self.reason == words::REPAIRED {
            return None;
        }
        match self.taken.reason {
            Reason::Offered { cause: HandOver::Failover, .. } => Some((ActKind::Failover, self.from.as_ref())),
            Reason::Offered { cause: HandOver::Drain, .. } => Some((ActKind::Drain, self.from.as_ref())),
            Reason::Taken { .. } => Some((ActKind::Failover, None)),
            _ => None,
        }
    }

    /// The node whose failing check led to this mastership.
    pub(super) fn faulty(&self) -> Option<&NodeName> {
        let fault = matches!(self.taken.reason, Reason::Offered { cause: HandOver::Fault, .. });
        self.from.as_ref().filter(|_| fault && self.reason != words::REPAIRED)
    }

    /// Adds what the old master told of it, which may come after the steps. The move, where that was news.
    pub(super) fn learn(&mut self, by: Option<String>, fault: Option<String>, own: &NodeName) -> Option<Move> {
        let news = (self.by.is_none() && by.is_some()) || (self.fault.is_none() && fault.is_some());
        self.by = self.by.take().or(by);
        // A semicolon ends a sentence of the evidence.
        self.fault = self.fault.take().or(fault.map(|fault| fault.replace(';', ",")));
        (news && self.is_move()).then(|| self.to_move(own))
    }

    fn full_evidence(&self) -> String {
        let Some(fault) = &self.fault else { return self.evidence.clone() };
        match self.evidence.split_once(';') {
            Some((sentence, rest)) => format!("{sentence} ({fault});{rest}"),
            None => format!("{} ({fault})", self.evidence),
        }
    }

    fn is_move(&self) -> bool {
        let by_hand = matches!(self.taken.reason, Reason::Offered { cause: HandOver::FollowTruth, .. });
        self.assign_sent.is_some() || by_hand
    }

    pub(super) fn term(&self) -> Term {
        self.taken.term
    }

    fn to_move(&self, own: &NodeName) -> Move {
        let evidence = &self.taken.evidence;
        let silent = matches!(self.taken.reason, Reason::Silent { .. });
        let heard = evidence.last_heard.filter(|_| silent);
        let missed = evidence.missed.filter(|_| silent);
        let offered = matches!(self.taken.reason, Reason::Offered { .. });
        let detected = missed.or(evidence.offered_for.filter(|_| offered));
        let decided = self.taken.at;
        let first = [heard, detected, Some(decided)].into_iter().flatten().min().unwrap_or(decided);
        let since = |at: Option<Time>| at.map(|at| millis(at - first));
        Move {
            kind: self.kind,
            from: self.from.clone(),
            to: Some(own.clone()),
            reason: self.reason.to_owned(),
            evidence: Some(self.full_evidence()),
            term: self.term(),
            by: self.by.clone(),
            at: self.decided_at,
            phases_ms: Phases {
                last_heartbeat: since(heard),
                detected: since(detected),
                decided: since(Some(decided)),
                promoted: since(self.promoted),
                assign_sent: since(self.assign_sent),
                action_completed: since(self.completed),
                verified: since(self.done),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::election::event::Evidence;

    fn name(address: Ipv4Addr) -> NodeName {
        NodeName::new(&format!("web-{}", address.octets()[3])).unwrap()
    }

    fn taken(reason: Reason) -> Transition {
        let evidence = Evidence {
            last_heard: Some(Time::from_millis(1_000)),
            missed: Some(Time::from_millis(1_550)),
            ..Evidence::default()
        };
        Transition {
            at: Time::from_millis(2_500),
            from: NodeState::Backup,
            to: NodeState::Master,
            term: Term(3),
            reason,
            evidence,
        }
    }

    const OLD: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    #[test]
    fn the_steps_of_a_failover_count_from_the_last_heartbeat() {
        let own = name(Ipv4Addr::new(10, 0, 0, 2));
        let now = Stamp::from_unix_millis(9);
        let mut timeline = Timeline::begin(&taken(Reason::Silent { master: OLD }), now, name).unwrap();
        assert_eq!(timeline.reach(Milestone::Promoted, Time::from_millis(2_501), now, &own), None, "not yet a move");
        for (step, at) in [(Milestone::AssignSent, 2_510), (Milestone::ActionCompleted, 3_000)] {
            timeline.reach(step, Time::from_millis(at), now, &own);
        }
        let done = timeline.reach(Milestone::Verified, Time::from_millis(3_100), now, &own).unwrap();
        assert_eq!((done.from, done.reason.as_str(), done.kind), (Some(name(OLD)), "silent", MoveKind::Failover));
        let expected = Phases {
            last_heartbeat: Some(0),
            detected: Some(550),
            decided: Some(1_500),
            promoted: Some(1_501),
            assign_sent: Some(1_510),
            action_completed: Some(2_000),
            verified: Some(2_100),
        };
        assert_eq!(done.phases_ms, expected);
    }

    #[test]
    fn a_resumed_mastership_is_no_move_and_a_followed_hand_move_is() {
        let own = name(OLD);
        let now = Stamp::from_unix_millis(9);
        let mut resumed = Timeline::begin(&taken(Reason::Resume), now, name).unwrap();
        assert_eq!(resumed.reach(Milestone::Verified, Time::from_millis(3_000), now, &own), None);
        let offered = Reason::Offered { by: OLD, cause: HandOver::FollowTruth };
        let mut followed = Timeline::begin(&taken(offered), now, name).unwrap();
        let done = followed.reach(Milestone::Verified, Time::from_millis(3_000), now, &own).unwrap();
        assert_eq!((done.kind, done.phases_ms.decided), (MoveKind::Switchover, Some(0)));
        assert!(Timeline::begin(&Transition { to: NodeState::Backup, ..taken(Reason::Resume) }, now, name).is_none());
    }

    #[test]
    fn what_the_old_master_tells_later_is_added_to_the_move_once() {
        let (own, now) = (name(Ipv4Addr::new(10, 0, 0, 2)), Stamp::from_unix_millis(9));
        let offered = Reason::Offered { by: OLD, cause: HandOver::Fault };
        let mut timeline = Timeline::begin(&taken(offered), now, name).unwrap();
        assert_eq!((timeline.faulty(), timeline.asked()), (Some(&name(OLD)), None), "nobody asked for it");
        assert_eq!(timeline.learn(None, None, &own), None);
        timeline.reach(Milestone::AssignSent, Time::from_millis(2_510), now, &own).unwrap();
        let fault = || Some("check docker failed: 9 of 10 running; web-3: exited (137)".to_owned());
        let learnt = timeline.learn(None, fault(), &own).unwrap();
        let said = "web-1 offered: a check fails there (check docker failed: 9 of 10 running, web-3: exited (137))";
        assert_eq!(learnt.evidence.as_deref(), Some(said));
        assert_eq!(timeline.learn(None, Some("something else".to_owned()), &own), None, "the first word stays");

        let ordered = Reason::Offered { by: OLD, cause: HandOver::Failover };
        let mut timeline = Timeline::begin(&taken(ordered), now, name).unwrap();
        assert_eq!((timeline.faulty(), timeline.asked()), (None, Some((ActKind::Failover, Some(&name(OLD))))));
        assert_eq!(timeline.learn(Some("ben".to_owned()), None, &own), None, "not yet a move");
        let done = timeline.reach(Milestone::AssignSent, Time::from_millis(2_510), now, &own).unwrap();
        assert_eq!(done.by.as_deref(), Some("ben"));
        timeline.reach(Milestone::Verified, Time::from_millis(3_000), now, &own);
        let again = timeline.reach(Milestone::AssignSent, Time::from_millis(9_000), now, &own).unwrap();
        assert_eq!((again.by, timeline.asked()), (None, None), "a repair is nobody's order");
    }

    #[test]
    fn the_steps_of_an_offered_move_count_from_the_fault_at_the_old_master() {
        let (own, now) = (name(Ipv4Addr::new(10, 0, 0, 2)), Stamp::from_unix_millis(9));
        let mut transition = taken(Reason::Offered { by: OLD, cause: HandOver::Fault });
        transition.evidence.offered_for = Some(Time::from_millis(1_490));
        let mut timeline = Timeline::begin(&transition, now, name).unwrap();
        let moved = timeline.reach(Milestone::AssignSent, Time::from_millis(2_510), now, &own).unwrap();
        let phases = moved.phases_ms;
        let steps = (phases.last_heartbeat, phases.detected, phases.decided, phases.assign_sent);
        assert_eq!(steps, (None, Some(0), Some(1_010), Some(1_020)));
    }

    #[test]
    fn a_repair_is_a_move_of_its_own() {
        let own = name(OLD);
        let now = Stamp::from_unix_millis(9);
        let mut timeline = Timeline::begin(&taken(Reason::Resume), now, name).unwrap();
        timeline.reach(Milestone::Verified, Time::from_millis(3_000), now, &own);
        let again = timeline.reach(Milestone::AssignSent, Time::from_millis(9_000), now, &own).unwrap();
        assert_eq!((again.reason.as_str(), again.from, again.phases_ms.decided), ("repaired", None, Some(0)));
        for at in [9_500, 12_000] {
            let done = timeline.reach(Milestone::Verified, Time::from_millis(at), now, &own).unwrap();
            assert_eq!(done.phases_ms.verified, Some(500));
        }
    }
}
