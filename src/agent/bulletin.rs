//! The bulletin's content: what a node tells its peers about itself in words. It
//! decides nothing; it is what lets any node answer for the whole group.
//!
//! JSON, at most 16 KiB on the wire; texts are cut so that it always fits. What
//! comes in is a peer's word: it is bounded again, and what does not parse is as good as none.

use serde::{Deserialize, Serialize};

use crate::proto::heartbeat::bulletin::MAX_BULLETIN;
use crate::proto::ids::{DropletId, GroupName, NodeName};
use crate::view::status::{Act, CheckVerdict, Move, Stamp};

/// A text of a bulletin is cut here, in characters.
const TEXT: usize = 160;

/// The checks and acts of one group that a bulletin has room for.
const LINES: usize = 12;

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Bulletin {
    pub(super) name: NodeName,
    pub(super) version: String,
    pub(super) droplet: Option<DropletId>,
    pub(super) groups: Vec<GroupBulletin>,
}

/// What it says of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GroupBulletin {
    pub(super) group: GroupName,
    /// Why it is in its state: a word of [`crate::view::words::reason`].
    pub(super) reason: String,
    pub(super) since: Stamp,
    pub(super) healthy: bool,
    /// What stands against a claim from there, with its mend.
    pub(super) obstacle: Option<String>,
    pub(super) checks: Vec<CheckLine>,
    pub(super) acts: Vec<Act>,
    pub(super) last_move: Option<Move>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CheckLine {
    pub(super) name: String,
    pub(super) verdict: CheckVerdict,
    pub(super) ok: bool,
    pub(super) detail: Option<String>,
}

impl Bulletin {
    /// The bytes to send. Should they still be too many, groups are left out from the end.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut cut = self.clone();
        cut.bound();
        loop {
            let bytes = serde_json::to_vec(&cut).unwrap_or_default();
            if bytes.len() <= MAX_BULLETIN || cut.groups.pop().is_none() {
                return bytes;
            }
        }
    }

    /// A peer's bulletin, if it is one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bulletin: Self = serde_json::from_slice(bytes).ok()?;
        bulletin.bound();
        Some(bulletin)
    }

    fn bound(&mut self) {
        cut(&mut self.version);
        for group in &mut self.groups {
            cut(&mut group.reason);
            group.obstacle.as_mut().map(cut);
            group.checks.truncate(LINES);
            for check in &mut group.checks {
                cut(&mut check.name);
                check.detail.as_mut().map(cut);
            }
            group.acts.truncate(LINES);
            for act in &mut group.acts {
                cut(&mut act.by);
                act.reason.as_mut().map(cut);
            }
            if let Some(last) = &mut group.last_move {
                cut(&mut last.reason);
                last.evidence.as_mut().map(cut);
                last.by.as_mut().map(cut);
            }
        }
    }
}

/// Cuts a text, and takes out what would move a terminal's cursor.
fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TEXT) {
        text.truncate(end);
    }
    if text.contains(char::is_control) {
        *text = text.replace(char::is_control, " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulletin(groups: usize, text: &str) -> Bulletin {
        let group = |n| GroupBulletin {
            group: GroupName::new(&format!("g{n}")).unwrap(),
            reason: "silent".to_owned(),
            since: Stamp::from_unix_millis(1),
            healthy: true,
            obstacle: Some(text.to_owned()),
            checks: vec![
                CheckLine {
                    name: "docker".to_owned(),
                    verdict: CheckVerdict::Failed,
                    ok: false,
                    detail: Some(text.to_owned()),
                };
                64
            ],
            acts: Vec::new(),
            last_move: None,
        };
        Bulletin {
            name: NodeName::new("web-1").unwrap(),
            version: "0.1.0".to_owned(),
            droplet: Some(DropletId(u64::MAX)),
            groups: (0..groups).map(group).collect(),
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let mut written = bulletin(1, "9 of 10 running");
        written.groups[0].checks.truncate(LINES);
        assert_eq!(Bulletin::from_bytes(&written.to_bytes()), Some(written));
    }

    #[test]
    fn it_always_fits_whatever_the_texts() {
        let bytes = bulletin(16, &"\u{1F980}\u{1b}[2J\"".repeat(10_000)).to_bytes();
        assert!(bytes.len() <= MAX_BULLETIN, "{}", bytes.len());
        let read = Bulletin::from_bytes(&bytes).unwrap();
        assert!(!read.groups.is_empty());
        assert!(!read.groups[0].obstacle.as_ref().unwrap().contains('\u{1b}'));
    }

    #[test]
    fn what_makes_no_sense_is_none() {
        for bytes in [&b""[..], b"{}", b"[1,2", &[0xff; 100]] {
            assert_eq!(Bulletin::from_bytes(bytes), None);
        }
    }
}
