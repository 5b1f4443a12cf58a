//! What people asked of this node and is still in force. A drain survives restart and reboot.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::proto::ids::{GroupName, NodeName};
use crate::view::status::{Act, ActKind, Stamp};

/// Within this the next stop is the announced restart (design section 11).
pub(super) const RESTART_WITHIN: Duration = Duration::from_secs(10);

/// A failover that was asked for is on everybody's page until another node verified the claim, or
/// for so long: what `haagent failover` waits at most where it is not told otherwise. The node that
/// takes over finds there who asked for its move.
pub(super) const FAILOVER_WITHIN: Duration = Duration::from_secs(60);

/// It is there at least for so long, however fast the move was: bulletins are half a second apart.
pub(super) const FAILOVER_TOLD: Duration = Duration::from_secs(2);

/// An act and the group that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) group: GroupName,
    pub(super) act: Act,
}

/// All acts of this node. At most one of a kind is in force in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Acts(Vec<Kept>);

impl Acts {
    /// Puts an act in force, in place of an earlier one of its kind.
    pub(super) fn begin(&mut self, group: &GroupName, act: Act) {
        self.end(group, act.kind);
        self.0.push(Kept { group: group.clone(), act });
    }

    /// Ends an act; the ended one, if there was one.
    pub(super) fn end(&mut self, group: &GroupName, kind: ActKind) -> Option<Act> {
        let place = self.0.iter().position(|kept| kept.group == *group && kept.act.kind == kind)?;
        Some(self.0.remove(place).act)
    }

    /// Those whose time is over. They are still in force until they are ended.
    pub(super) fn over(&self, now: Stamp) -> Vec<(GroupName, ActKind)> {
        let over = self.0.iter().filter(|kept| kept.act.until.is_some_and(|until| until <= now));
        over.map(|kept| (kept.group.clone(), kept.act.kind)).collect()
    }

    /// The failover of a group that `verified` ended: the newest move of which that is known.
    pub(super) fn failover_done(&self, group: &GroupName, verified: Stamp, now: Stamp) -> bool {
        self.of(group)
            .filter(|act| act.kind == ActKind::Failover)
            .any(|act| act.since <= verified && now.since(act.since) >= FAILOVER_TOLD)
    }

    pub(super) fn of(&self, group: &GroupName) -> impl Iterator<Item = &Act> {
        self.0.iter().filter(move |kept| kept.group == *group).map(|kept| &kept.act)
    }

    pub(super) fn drained(&self, group: &GroupName) -> bool {
        self.of(group).any(|act| act.kind == ActKind::Drain)
    }

    /// The next stop is a restart: nothing is handed over.
    pub(super) fn restarting(&self, now: Stamp) -> bool {
        let restart = self.0.iter().filter(|kept| kept.act.kind == ActKind::Restart);
        restart.filter_map(|kept| kept.act.until).any(|until| until > now)
    }

    /// What a later run of this agent must know.
    pub(super) fn lasting(&self) -> Self {
        Self(self.0.iter().filter(|kept| kept.act.kind == ActKind::Drain).cloned().collect())
    }
}

/// An act of this node.
pub(super) fn act(
    kind: ActKind,
    node: &NodeName,
    by: &str,
    reason: Option<String>,
    now: Stamp,
    lasts: Option<Duration>,
) -> Act {
    let until = lasts
        .map(|lasts| Stamp::from_unix_millis(now.unix_millis().saturating_add(crate::view::status::millis(lasts))));
    Act { kind, node: Some(node.clone()), by: by.to_owned(), reason, until, since: now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_is_over_once_a_later_move_is_verified_and_everybody_was_told() {
        let (group, node) = (GroupName::new("web").unwrap(), NodeName::new("a").unwrap());
        let at = Stamp::from_unix_millis;
        let mut acts = Acts::default();
        acts.begin(&group, act(ActKind::Failover, &node, "root", None, at(10_000), Some(FAILOVER_WITHIN)));
        assert!(!acts.failover_done(&group, at(9_000), at(20_000)), "that was another move");
        assert!(!acts.failover_done(&group, at(10_500), at(11_999)), "a peer may not have heard who asked");
        assert!(acts.failover_done(&group, at(10_500), at(12_000)));
        assert_eq!(acts.over(at(70_000)), [(group, ActKind::Failover)], "however it ended");
    }

    #[test]
    fn a_restart_is_announced_for_ten_seconds_and_not_kept() {
        let (group, node) = (GroupName::new("web").unwrap(), NodeName::new("a").unwrap());
        let now = Stamp::from_unix_millis(1_000);
        let mut acts = Acts::default();
        acts.begin(&group, act(ActKind::Restart, &node, "root", None, now, Some(RESTART_WITHIN)));
        acts.begin(&group, act(ActKind::Drain, &node, "root", None, now, None));
        assert!(acts.restarting(Stamp::from_unix_millis(10_999)));
        assert!(!acts.restarting(Stamp::from_unix_millis(11_000)));
        assert_eq!(acts.over(Stamp::from_unix_millis(11_000)), [(group.clone(), ActKind::Restart)]);
        let kept = serde_json::to_string(&acts.lasting()).unwrap();
        let known: Acts = serde_json::from_str(&kept).unwrap();
        assert!(known.drained(&group) && !known.restarting(now));
        assert!(acts.end(&group, ActKind::Drain).is_some() && acts.end(&group, ActKind::Drain).is_none());
    }
}
