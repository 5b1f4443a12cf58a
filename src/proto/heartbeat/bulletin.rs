//! The bulletin: what a node tells of itself to people, in up to 16 KiB. It goes
//! over the heartbeat's socket in numbered parts and decides nothing there: to
//! this module it is bytes that somebody else writes and reads.
//!
//! A [`BulletinSender`] cuts it, begins a round of all parts when it changed (at
//! most twice a second) and every 10 s, so that lost parts and new listeners heal
//! by themselves. A [`BulletinAssembler`], one for each peer, puts it together. A
//! generation number orders the bulletins of one run of the sender: the newest
//! whole one wins. Both own their memory from the start and allocate nothing later.

use crate::proto::ids::BootId;
use crate::proto::time::{Duration, Time};

/// The longest bulletin, in bytes.
pub const MAX_BULLETIN: usize = 16 * 1024;

/// Bytes of every part but the last: beside it a datagram still has room for two group reports.
pub const PART_LENGTH: usize = 900;

/// Parts of the longest bulletin.
pub const MAX_PARTS: u8 = MAX_BULLETIN.div_ceil(PART_LENGTH) as u8;

/// Between the beginnings of two rounds.
const ROUND_GAP: Duration = Duration::from_millis(500);

/// Between two rounds of an unchanged bulletin.
const REPEAT: Duration = Duration::from_secs(10);

/// Where a part begins in its bulletin.
fn offset(index: u8) -> usize {
    usize::from(index) * PART_LENGTH
}

/// One part of a bulletin. Every part but the last is [`PART_LENGTH`] long, the last
/// is not longer and (unless the whole bulletin is) not empty: each bulletin is cut in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulletinPart<'a> {
    generation: u64,
    index: u8,
    parts: u8,
    bytes: &'a [u8],
}

impl<'a> BulletinPart<'a> {
    /// Part `index` (from 0) of `parts` of the bulletin `generation`.
    ///
    /// # Errors
    /// No bulletin is cut like that.
    pub fn new(generation: u64, index: u8, parts: u8, bytes: &'a [u8]) -> Result<Self, PartError> {
        if parts == 0 || parts > MAX_PARTS {
            return Err(PartError::Parts { parts });
        }
        if index >= parts {
            return Err(PartError::Index { index, parts });
        }
        let length = bytes.len();
        let fits = if index + 1 < parts {
            length == PART_LENGTH
        } else {
            length <= PART_LENGTH && offset(index) + length <= MAX_BULLETIN && (length > 0 || parts == 1)
        };
        if fits {
            Ok(Self { generation, index, parts, bytes })
        } else {
            Err(PartError::Length { index, parts, length })
        }
    }

    /// Orders the bulletins of one run of the sender.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Its place, from 0.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// How many parts the bulletin has, from 1.
    #[must_use]
    pub const fn parts(&self) -> u8 {
        self.parts
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Why bytes are no part of a bulletin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// No bulletin has that many parts, or none.
    #[error("a bulletin of {parts} parts: it has 1 to {MAX_PARTS}")]
    Parts { parts: u8 },
    /// The number lies behind the last part.
    #[error("part {index} (from 0) of {parts}")]
    Index { index: u8, parts: u8 },
    /// A part in the middle is not full, the last one is empty or the whole is too long.
    #[error(
        "part {index} (from 0) of {parts} with {length} bytes: all but the last have {PART_LENGTH}, all together at most {MAX_BULLETIN}"
    )]
    Length { index: u8, parts: u8, length: usize },
}

/// The bulletin was not taken; the one before it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bulletin of {length} bytes: at most {MAX_BULLETIN} are sent; shorten its texts")]
pub struct BulletinTooLong {
    /// Its bytes.
    pub length: usize,
}

/// Bytes of at most [`MAX_BULLETIN`], in memory that is there from the start.
#[derive(Clone, Debug)]
struct Text {
    memory: Box<[u8]>,
    length: usize,
}

impl Text {
    fn new() -> Self {
        Self { memory: vec![0; MAX_BULLETIN].into_boxed_slice(), length: 0 }
    }

    fn set(&mut self, bytes: &[u8]) -> Result<(), BulletinTooLong> {
        let place = self.memory.get_mut(..bytes.len()).ok_or(BulletinTooLong { length: bytes.len() })?;
        place.copy_from_slice(bytes);
        self.length = bytes.len();
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }
}

/// Cuts this node's bulletin and says which part goes next.
///
/// A round once begun is ended, and a bulletin that changes meanwhile waits: one
/// that changes faster than a round takes would otherwise never arrive whole.
#[derive(Clone, Debug)]
pub struct BulletinSender {
    /// What the round sends, of `generation`; generation 0 is none.
    current: Text,
    generation: u64,
    /// What the next round sends, if `changed`.
    waiting: Text,
    changed: bool,
    /// The next part of the round under way.
    part: Option<u8>,
    /// When the newest round began.
    begun: Option<Time>,
    /// Somebody new listens.
    asked: bool,
}

impl Default for BulletinSender {
    fn default() -> Self {
        Self::new()
    }
}

impl BulletinSender {
    /// Sends nothing until the first bulletin is published.
    #[must_use]
    pub fn new() -> Self {
        Self {
            current: Text::new(),
            generation: 0,
            waiting: Text::new(),
            changed: false,
            part: None,
            begun: None,
            asked: false,
        }
    }

    /// Takes a new bulletin. The same bytes again change nothing.
    ///
    /// # Errors
    /// It is longer than [`MAX_BULLETIN`].
    pub fn publish(&mut self, bytes: &[u8]) -> Result<(), BulletinTooLong> {
        let newest = if self.changed { &self.waiting } else { &self.current };
        if (self.changed || self.generation > 0) && newest.bytes() == bytes {
            return Ok(());
        }
        self.waiting.set(bytes)?;
        self.changed = true;
        Ok(())
    }

    /// Somebody new listens (a peer's new run was accepted): a round is due without a change.
    pub fn repeat(&mut self) {
        self.asked = true;
    }

    /// The part to send now, if one is due: to every peer, then [`Self::sent`].
    pub fn part(&mut self, now: Time) -> Option<BulletinPart<'_>> {
        if self.part.is_none() && self.next_deadline().is_some_and(|due| due <= now) {
            self.begin(now);
        }
        let index = self.part?;
        let bytes = self.current.bytes();
        let end = (offset(index) + PART_LENGTH).min(bytes.len());
        BulletinPart::new(self.generation, index, self.parts(), bytes.get(offset(index)..end)?).ok()
    }

    /// The part that [`Self::part`] gave went out; the next one follows.
    pub fn sent(&mut self) {
        self.part = self.part.map(|index| index + 1).filter(|index| *index < self.parts());
    }

    /// When a part is next due; in the past while a round is under way.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        match (self.part, self.begun) {
            (Some(_), begun) => begun,
            (None, None) => self.changed.then_some(Time::ORIGIN),
            (None, Some(begun)) => Some(begun + if self.changed || self.asked { ROUND_GAP } else { REPEAT }),
        }
    }

    fn begin(&mut self, now: Time) {
        if self.changed {
            std::mem::swap(&mut self.current, &mut self.waiting);
            self.generation = self.generation.saturating_add(1);
            self.changed = false;
        }
        self.asked = false;
        self.begun = Some(now);
        self.part = Some(0);
    }

    fn parts(&self) -> u8 {
        // Text never holds more than MAX_BULLETIN, so the count fits.
        u8::try_from(self.current.length.div_ceil(PART_LENGTH).max(1)).unwrap_or(MAX_PARTS)
    }
}

/// Puts one peer's bulletin together.
#[derive(Clone, Debug)]
pub struct BulletinAssembler {
    text: Text,
    under_way: Option<UnderWay>,
}

/// The bulletin that the assembler's memory belongs to.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    boot: BootId,
    generation: u64,
    parts: u8,
    /// One bit for each part that is there.
    there: u32,
}

const _: () = assert!((MAX_PARTS as u32) < u32::BITS, "one bit for each part");

impl UnderWay {
    const fn whole(&self) -> bool {
        self.there == (1 << self.parts) - 1
    }
}

impl Default for BulletinAssembler {
    fn default() -> Self {
        Self::new()
    }
}

impl BulletinAssembler {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { text: Text::new(), under_way: None }
    }

    /// Takes a part from a datagram of the run `boot`, and gives the bulletin when
    /// this part makes it whole: once, so the caller keeps it.
    ///
    /// Feed it only what the peer's link accepted with an echo. Then runs only
    /// follow each other, and a part of another run is one of a newer run.
    pub fn accept(&mut self, boot: BootId, part: &BulletinPart<'_>) -> Option<&[u8]> {
        let begun = UnderWay { boot, generation: part.generation, parts: part.parts, there: 0 };
        let mut under_way = match self.under_way {
            Some(present) if present.boot == boot && present.generation > part.generation => return None,
            Some(present) if present.boot == boot && present.generation == part.generation => present,
            Some(_) | None => begun,
        };
        let bit = 1 << part.index;
        // A run never cuts one generation in two ways; if it seems so, the first word stands.
        if under_way.parts != part.parts || under_way.there & bit != 0 {
            return None;
        }
        let start = offset(part.index);
        self.text.memory.get_mut(start..start + part.bytes.len())?.copy_from_slice(part.bytes);
        if part.index + 1 == part.parts {
            self.text.length = start + part.bytes.len();
        }
        under_way.there |= bit;
        self.under_way = Some(under_way);
        under_way.whole().then(|| self.text.bytes())
    }

    /// The bulletin, while the newest one that was begun is whole.
    #[must_use]
    pub fn whole(&self) -> Option<&[u8]> {
        self.under_way.filter(UnderWay::whole).map(|_| self.text.bytes())
    }
}

#[cfg(test)]
mod tests;
