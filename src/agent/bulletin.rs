//! The bulletin's content: what a node tells its peers about itself in words. It
//! decides nothing; it is what lets any node answer for the whole group.
//!
//! JSON, at most 16 KiB on the wire; texts are cut so that it always fits. What
//! comes in is a peer's word: it is bounded again, and what does not parse is as good as none.

use serde::{Deserialize, Serialize};

use crate::proto::heartbeat::bulletin::MAX_BULLETIN;
use crate::proto::ids::{DropletId, GroupName, NodeName, Term};
use crate::view::status::{Act, CheckVerdict, Move, Stamp};

/// The longest text of a bulletin, in characters.
const TEXT: usize = 160;

/// The longest text of what stands against a claim: it ends with its mend, which is wanted most.
const OBSTACLE: usize = 400;

/// The checks and acts of one group that a bulletin has room for.
const LINES: usize = 12;

/// The moves of one group that a bulletin tells (design section 6).
pub(super) const MOVES: usize = 8;

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
    /// The term of its mastership; none while it is not master. A reader must not take the reason
    /// of an earlier state for that of the mastership that it hears of.
    pub(super) master: Option<Term>,
    /// Why it is in its state: a word of [`crate::view::words::reason`].
    pub(super) reason: String,
    pub(super) since: Stamp,
    pub(super) healthy: bool,
    /// What stands against a claim from there, with its mend.
    pub(super) obstacle: Option<String>,
    pub(super) checks: Vec<CheckLine>,
    pub(super) acts: Vec<Act>,
    /// The newest moves that it wrote down itself, oldest first.
    pub(super) moves: Vec<Move>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CheckLine {
    pub(super) name: String,
    pub(super) verdict: CheckVerdict,
    pub(super) ok: bool,
    pub(super) detail: Option<String>,
}

impl Bulletin {
    /// The bytes to send. Should they be too many, the oldest moves are left out first, then groups from the end.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut cut = self.clone();
        cut.bound();
        loop {
            let bytes = serde_json::to_vec(&cut).unwrap_or_default();
            if bytes.len() <= MAX_BULLETIN || !cut.shed() {
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

    /// Leaves out what is missed least; whether there was anything.
    fn shed(&mut self) -> bool {
        let oldest =
            self.groups.iter_mut().filter(|group| !group.moves.is_empty()).max_by_key(|group| group.moves.len());
        match oldest {
            Some(group) => drop(group.moves.remove(0)),
            None => return self.groups.pop().is_some(),
        }
        true
    }

    fn bound(&mut self) {
        cut(&mut self.version);
        for group in &mut self.groups {
            cut(&mut group.reason);
            if let Some(text) = &mut group.obstacle {
                cut_to(text, OBSTACLE);
            }
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
            let surplus = group.moves.len().saturating_sub(MOVES);
            group.moves.drain(..surplus);
            for one in &mut group.moves {
                cut(&mut one.reason);
                one.evidence.as_mut().map(cut);
                one.by.as_mut().map(cut);
            }
        }
    }
}

/// Cuts a text, and takes out what would move a terminal's cursor.
fn cut(text: &mut String) {
    cut_to(text, TEXT);
}

fn cut_to(text: &mut String, most: usize) {
    if let Some((end, _)) = text.char_indices().nth(most - 1).filter(|_| text.chars().nth(most).is_some()) {
        text.truncate(end);
        text.push('…');
    }
    if text.contains(char::is_control) {
        *text = text.replace(char::is_control, " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::status::samples::last_move;

    fn bulletin(groups: usize, text: &str) -> Bulletin {
        let group = |n| GroupBulletin {
            group: GroupName::new(&format!("g{n}")).unwrap(),
            master: Some(Term(7)),
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
            moves: Vec::new(),
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
    fn too_many_moves_are_left_out_before_a_group_is() {
        let mut written = bulletin(2, "x");
        for (group, count) in written.groups.iter_mut().zip([MOVES, 1]) {
            group.checks.clear();
            group.moves = (0..count)
                .map(|n| Move {
                    evidence: Some("\u{1F980}".repeat(10_000)),
                    at: Stamp::from_unix_millis(n as u64),
                    ..last_move()
                })
                .collect();
        }
        let bytes = written.to_bytes();
        assert!(bytes.len() <= MAX_BULLETIN, "{}", bytes.len());
        let read = Bulletin::from_bytes(&bytes).unwrap();
        assert_eq!(read.groups.len(), 2);
        assert_eq!(read.groups[0].moves.last().unwrap().at, Stamp::from_unix_millis(MOVES as u64 - 1));
        assert!(read.groups[0].moves.len() > 1 && read.groups[1].moves.len() == 1);
    }

    #[test]
    fn a_text_that_is_cut_says_so() {
        for (length, last) in [(TEXT, 'x'), (TEXT + 1, '…')] {
            let mut text = "x".repeat(length);
            cut(&mut text);
            assert_eq!((text.chars().count(), text.chars().last()), (TEXT, Some(last)));
        }
    }

    #[test]
    fn what_makes_no_sense_is_none() {
        for bytes in [&b""[..], b"{}", b"[1,2", &[0xff; 100]] {
            assert_eq!(Bulletin::from_bytes(bytes), None);
        }
    }
}
