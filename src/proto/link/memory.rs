//! What a link keeps over a restart of this node.

use serde::{Deserialize, Serialize};

use crate::proto::ids::{BootId, NodeId, Seq};

/// How many boot ids of a peer are remembered as left.
///
/// A forgotten one gains nothing: a run that is not the present one also needs an
/// echo that no recording of it holds.
pub(super) const LEFT_BOOTS: usize = 32;

/// What of a link survives a restart of this node: without it, datagrams recorded
/// before the restart prove the peer's presence once more (and nothing else).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkMemory {
    /// The peer's run that was accepted last.
    pub last: Option<LastRun>,
    /// The peer's runs before it, which are never accepted again.
    pub left: LeftBoots,
}

/// The run of a peer that was accepted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// The peer's name.
    pub node: NodeId,
    /// Its run.
    pub boot: BootId,
    /// The highest sequence number that was accepted.
    pub seq: Seq,
}

/// The newest boot ids that were left: a bounded set, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<BootId>", into = "Vec<BootId>")]
pub struct LeftBoots {
    boots: [Option<BootId>; LEFT_BOOTS],
}

impl LeftBoots {
    /// Whether this run was left.
    #[must_use]
    pub fn contains(&self, boot: BootId) -> bool {
        self.boots.contains(&Some(boot))
    }

    pub(super) fn insert(&mut self, boot: BootId) {
        if self.contains(boot) {
            return;
        }
        match self.boots.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(boot),
            None => {
                self.boots.rotate_left(1);
                self.boots[LEFT_BOOTS - 1] = Some(boot);
            }
        }
    }

    /// The runs left, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = BootId> + '_ {
        self.boots.iter().flatten().copied()
    }
}

impl From<Vec<BootId>> for LeftBoots {
    /// The newest count, if there are more than are kept.
    fn from(boots: Vec<BootId>) -> Self {
        let mut left = Self::default();
        for boot in boots {
            left.insert(boot);
        }
        left
    }
}

impl From<LeftBoots> for Vec<BootId> {
    fn from(left: LeftBoots) -> Self {
        left.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_boots_left_are_kept_over_a_restart() {
        let mut left = LeftBoots::default();
        for boot in 1..=40 {
            left.insert(BootId(boot));
            left.insert(BootId(boot));
        }
        let last = LastRun { node: NodeId(u64::MAX), boot: BootId(41), seq: Seq(7) };
        let memory = LinkMemory { last: Some(last), left };
        let text = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<LinkMemory>(&text).unwrap(), memory);
        assert_eq!(left.iter().map(|boot| boot.0).collect::<Vec<_>>(), (9..=40).collect::<Vec<_>>());
    }

    #[test]
    fn the_file_is_plain() {
        let memory = LinkMemory { last: None, left: vec![BootId(1), BootId(2)].into() };
        assert_eq!(serde_json::to_string(&memory).unwrap(), r#"{"last":null,"left":[1,2]}"#);
    }
}
