//! How a datagram is written. All numbers are big endian.
//!
//! ```text
//! datagram   = "HAAG" version:u8=1 flags:u8 sender:u64 boot:u64 seq:u64(>0)
//!              interval:u32(ms, >0) [echo] record* tag[16]
//!     flags    1 ask, 2 echo; the others are zero
//! echo       = boot:u64 seq:u64(>0) held:u32(us)
//! record     = kind:u8 length:u16 body[length]
//!
//! kind 1     = group:u64 settings:u32 state:u8 claim:u8 priority:u8(1..=254) flags:u16 term:u64
//!              members:u8(0..=4) member:ip*members [foreign:u64] [takeover_ago:u32(ms)]
//!              [verified_ago:u32(ms)] [proof_age:u32(ms)] [master:ip heard_ago:u32(ms)]
//!              [offer_to:ip cause:u8 began_ago:u32] [deposed_by:ip] [successor:ip]
//!     flags    see `flag`: what is true, and which of the bracketed fields are there
//! kind 2     = generation:u64 index:u8 parts:u8 bytes     (one part of a bulletin)
//! ```
//!
//! Ages are whole units, rounded down; one too long for its field is told as the
//! longest. A record of an unknown kind is skipped, and what a kind means never
//! changes within a version: new fields come as a new kind. A datagram of another
//! version is refused. Every message is written in exactly one way: what decodes
//! encodes to the same bytes.

use super::bulletin::{BulletinPart, PartError};
use super::mac::{Keys, Route, TAG_LENGTH, Verified};
use super::{DeposedBy, Echo, Follows, GroupReport, HandOver, Header, Leaving, NodeState, Offer, Readiness};
use crate::proto::claim::event::{Base, ClaimState};
use crate::proto::ids::{BootId, DropletId, GroupId, NodeId, Priority, Seq, Term};
use crate::proto::time::Duration;

pub use super::MAX_DATAGRAM;

mod wire;

use wire::{Reader, Writer};

/// The version of the format that this build speaks.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"HAAG";
const GROUP_REPORT: u8 = 1;
const BULLETIN_PART: u8 = 2;

const ASK: u8 = 1;
const ECHO: u8 = 1 << 1;

/// The bits of a group report's flags.
mod flag {
    pub(super) const CANDIDATE: u16 = 1;
    pub(super) const SENT: u16 = 1 << 1;
    pub(super) const READY: u16 = 1 << 2;
    pub(super) const REACH: u16 = 1 << 3;
    pub(super) const WANTS: u16 = 1 << 4;
    pub(super) const LEAVING: u16 = 1 << 5;
    pub(super) const DEPOSED_BY_UNKNOWN: u16 = 1 << 6;
    // The fields that are there.
    pub(super) const FOREIGN: u16 = 1 << 7;
    pub(super) const TAKEOVER_AGO: u16 = 1 << 8;
    pub(super) const VERIFIED_AGO: u16 = 1 << 9;
    pub(super) const PROOF_AGE: u16 = 1 << 10;
    pub(super) const FOLLOWS: u16 = 1 << 11;
    pub(super) const OFFER: u16 = 1 << 12;
    pub(super) const DEPOSED_BY: u16 = 1 << 13;
    pub(super) const SUCCESSOR: u16 = 1 << 14;
    pub(super) const ALL: u16 = (1 << 15) - 1;
}

/// Why an authentic datagram was dropped unused: a bug, or another version of haagent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It does not begin as a heartbeat does.
    #[error("no heartbeat of haagent: it does not begin with \"HAAG\"")]
    NotAHeartbeat,
    /// The sender speaks another version.
    #[error("heartbeat format {version}, this node speaks {VERSION}: run the same release on all nodes")]
    UnknownVersion { version: u8 },
    /// It ends in the middle.
    #[error("the {part} ends in the middle")]
    Truncated { part: &'static str },
    /// Bytes follow the end of what was announced.
    #[error("{count} bytes too many in the {part}")]
    Surplus { part: &'static str, count: usize },
    /// Flags that this version does not have.
    #[error("unknown flags in the {part}: {bits:#06x}")]
    UnknownFlags { part: &'static str, bits: u16 },
    /// Flags that cannot be true at once.
    #[error("flags of the {part} that exclude each other: {bits:#06x}")]
    FlagsDisagree { part: &'static str, bits: u16 },
    /// A number that stands for nothing.
    #[error("{code} is no {field}")]
    UnknownCode { field: &'static str, code: u8 },
    /// A number outside its range.
    #[error("{value} is no {field}")]
    OutOfRange { field: &'static str, value: u64 },
    /// A set that names a member twice.
    #[error("a base names one member twice")]
    MemberTwice,
    /// A part of a bulletin that no bulletin has.
    #[error("a bulletin's part makes no sense")]
    Bulletin(#[from] PartError),
}

/// An enum that is one byte on the wire.
trait Code: Sized {
    fn code(self) -> u8;
    fn from_code(code: u8) -> Result<Self, DecodeError>;
}

macro_rules! codes {
    ($name:ident, $field:literal, $($variant:ident = $code:literal),+) => {
        impl Code for $name {
            fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            fn from_code(code: u8) -> Result<Self, DecodeError> {
                match code {
                    $($code => Ok(Self::$variant),)+
                    code => Err(DecodeError::UnknownCode { field: $field, code }),
                }
            }
        }
    };
}

codes!(NodeState, "state", Init = 0, Backup = 1, Master = 2, Fault = 3);
codes!(ClaimState, "claim state", Idle = 0, Claiming = 1, Held = 2, Lost = 3, Failing = 4);
codes!(
    HandOver,
    "cause of an offer",
    Fault = 0,
    Drain = 1,
    Preempt = 2,
    Failover = 3,
    ClaimFailing = 4,
    FollowTruth = 5,
    Isolated = 6
);

/// One datagram in the making, in the caller's memory.
///
/// Reports that do not fit go into further datagrams, each with a header of its own:
///
/// ```text
/// while !reports.is_empty() {
///     let mut encoder = Encoder::new(&mut memory, &link.next_header(now, ask));
///     let fitted = encoder.groups(reports);
///     send(encoder.seal(&keys, route));
///     reports = &reports[fitted..];
/// }
/// ```
#[derive(Debug)]
pub struct Encoder<'a> {
    writer: Writer<'a>,
}

impl<'a> Encoder<'a> {
    /// Begins a datagram.
    pub fn new(memory: &'a mut [u8; MAX_DATAGRAM], header: &Header) -> Self {
        let mut writer = Writer::new(memory, TAG_LENGTH);
        let fits = writer.whole(|writer| write_header(writer, header));
        debug_assert!(fits, "a header is shorter than a datagram");
        Self { writer }
    }

    /// Writes one report. False: it does not fit and nothing was written. The first
    /// thing in a datagram always fits.
    pub fn group(&mut self, report: &GroupReport) -> bool {
        self.record(GROUP_REPORT, |writer| write_group(writer, report))
    }

    /// Writes as many reports as fit, and says how many.
    pub fn groups<'r>(&mut self, reports: impl IntoIterator<Item = &'r GroupReport>) -> usize {
        reports.into_iter().take_while(|report| self.group(report)).count()
    }

    /// Writes one part of a bulletin. False: it does not fit and nothing was written. The
    /// first thing in a datagram always fits.
    pub fn bulletin(&mut self, part: &BulletinPart<'_>) -> bool {
        self.record(BULLETIN_PART, |writer| {
            writer.u64(part.generation())?;
            writer.u8(part.index())?;
            writer.u8(part.parts())?;
            writer.bytes(part.bytes())
        })
    }

    /// Puts the tag behind it and gives the whole datagram.
    #[must_use]
    pub fn seal(self, keys: &Keys, route: Route) -> &'a [u8] {
        let tag = keys.tag(route, self.writer.written());
        self.writer.finish(&tag)
    }

    fn record(&mut self, kind: u8, body: impl FnOnce(&mut Writer<'a>) -> Option<()>) -> bool {
        self.writer.whole(|writer| {
            writer.u8(kind)?;
            writer.counted(body)
        })
    }
}

fn write_header(writer: &mut Writer<'_>, header: &Header) -> Option<()> {
    let Header { sender, boot, seq, interval, ask, echo } = *header;
    writer.bytes(&MAGIC)?;
    writer.u8(VERSION)?;
    writer.u8(if ask { ASK } else { 0 } | if echo.is_some() { ECHO } else { 0 })?;
    writer.u64(sender.0)?;
    writer.u64(boot.0)?;
    writer.u64(seq.0)?;
    writer.millis(interval.max(Duration::from_millis(1)))?;
    writer.optional(echo, |writer, echo| {
        writer.u64(echo.boot.0)?;
        writer.u64(echo.seq.0)?;
        writer.micros(echo.held)
    })
}

fn write_group(writer: &mut Writer<'_>, report: &GroupReport) -> Option<()> {
    // Named in full, so that a new field cannot be forgotten.
    let GroupReport {
        group,
        settings,
        state,
        candidate,
        priority,
        term,
        claim,
        takeover_ago,
        verified_ago,
        sent,
        base,
        readiness: Readiness { ready, proof_age },
        reach,
        follows,
        offer,
        wants,
        deposed_by,
        leaving,
    } = *report;
    let deposed_by_member = match deposed_by {
        Some(DeposedBy::Member(member)) => Some(member),
        Some(DeposedBy::Unknown) | None => None,
    };
    let successor = leaving.and_then(|leaving| leaving.successor);
    let flags = [
        (candidate, flag::CANDIDATE),
        (sent, flag::SENT),
        (ready, flag::READY),
        (reach, flag::REACH),
        (wants, flag::WANTS),
        (leaving.is_some(), flag::LEAVING),
        (deposed_by == Some(DeposedBy::Unknown), flag::DEPOSED_BY_UNKNOWN),
        (base.foreign.is_some(), flag::FOREIGN),
        (takeover_ago.is_some(), flag::TAKEOVER_AGO),
        (verified_ago.is_some(), flag::VERIFIED_AGO),
        (proof_age.is_some(), flag::PROOF_AGE),
        (follows.is_some(), flag::FOLLOWS),
        (offer.is_some(), flag::OFFER),
        (deposed_by_member.is_some(), flag::DEPOSED_BY),
        (successor.is_some(), flag::SUCCESSOR),
    ];
    writer.u64(group.0)?;
    writer.u32(settings)?;
    writer.u8(state.code())?;
    writer.u8(claim.code())?;
    writer.u8(priority.get())?;
    writer.u16(flags.iter().filter(|(set, _)| *set).fold(0, |sum, (_, bit)| sum | bit))?;
    writer.u64(term.0)?;
    writer.u8(u8::try_from(base.members().count()).ok()?)?;
    for member in base.members() {
        writer.address(member)?;
    }
    writer.optional(base.foreign, |writer, droplet| writer.u64(droplet.0))?;
    for age in [takeover_ago, verified_ago, proof_age] {
        writer.optional(age, Writer::millis)?;
    }
    writer.optional(follows, |writer, follows| {
        writer.address(follows.master)?;
        writer.millis(follows.heard_ago)
    })?;
    writer.optional(offer, |writer, offer| {
        writer.address(offer.to)?;
        writer.u8(offer.cause.code())?;
        writer.millis(offer.began_ago)
    })?;
    writer.optional(deposed_by_member, Writer::address)?;
    writer.optional(successor, Writer::address)
}

/// One record of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// What the sender is in one group.
    Group(GroupReport),
    /// A part of the sender's bulletin.
    Bulletin(BulletinPart<'a>),
    /// A newer release says something that this one does not know. Skip it.
    Unknown { kind: u8, body: &'a [u8] },
}

/// A datagram that was read to its end and makes sense.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it says of its sender.
    pub header: Header,
    records: Records<'a>,
}

impl<'a> Message<'a> {
    /// Reads a whole datagram. Allocates nothing.
    ///
    /// # Errors
    /// It is of another version, or any byte of it makes no sense: then nothing of it is used.
    pub fn decode(datagram: Verified<'a>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("header", datagram.body);
        let header = read_header(&mut reader)?;
        let records = Records { rest: Reader::new("record", reader.rest()) };
        let mut unchecked = records.rest;
        while !unchecked.is_empty() {
            read_record(&mut unchecked)?;
        }
        Ok(Self { header, records })
    }

    /// Its records, in order.
    #[must_use]
    pub const fn records(&self) -> Records<'a> {
        self.records
    }
}

/// The records of a datagram, read again one by one.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    rest: Reader<'a>,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        // `Message::decode` has read them all, so what ends them is their end.
        read_record(&mut self.rest).ok()
    }
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header, DecodeError> {
    if reader.bytes(MAGIC.len()) != Ok(&MAGIC) {
        return Err(DecodeError::NotAHeartbeat);
    }
    let version = reader.u8()?;
    if version != VERSION {
        return Err(DecodeError::UnknownVersion { version });
    }
    let flags = reader.u8()?;
    if flags & !(ASK | ECHO) != 0 {
        return Err(DecodeError::UnknownFlags { part: "header", bits: flags.into() });
    }
    Ok(Header {
        sender: NodeId(reader.u64()?),
        boot: BootId(reader.u64()?),
        seq: read_seq(reader)?,
        interval: match reader.millis()? {
            Duration::ZERO => return Err(DecodeError::OutOfRange { field: "interval", value: 0 }),
            interval => interval,
        },
        ask: flags & ASK != 0,
        echo: reader.optional(flags & ECHO != 0, |reader| {
            Ok(Echo { boot: BootId(reader.u64()?), seq: read_seq(reader)?, held: reader.micros()? })
        })?,
    })
}

fn read_seq(reader: &mut Reader<'_>) -> Result<Seq, DecodeError> {
    match reader.u64()? {
        0 => Err(DecodeError::OutOfRange { field: "sequence number", value: 0 }),
        seq => Ok(Seq(seq)),
    }
}

fn read_record<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, DecodeError> {
    let kind = reader.u8()?;
    let length = reader.u16()?;
    let body = reader.bytes(length.into())?;
    match kind {
        GROUP_REPORT => read_group(Reader::new("group report", body)).map(Record::Group),
        BULLETIN_PART => read_bulletin(Reader::new("bulletin's part", body)).map(Record::Bulletin),
        kind => Ok(Record::Unknown { kind, body }),
    }
}

fn read_group(mut reader: Reader<'_>) -> Result<GroupReport, DecodeError> {
    let group = GroupId(reader.u64()?);
    let settings = reader.u32()?;
    let state = NodeState::from_code(reader.u8()?)?;
    let claim = ClaimState::from_code(reader.u8()?)?;
    let priority = reader.u8()?;
    let priority =
        Priority::new(priority.into()).ok_or(DecodeError::OutOfRange { field: "priority", value: priority.into() })?;
    let flags = read_group_flags(&mut reader)?;
    let has = |bit| flags & bit != 0;
    let report = GroupReport {
        group,
        settings,
        state,
        candidate: has(flag::CANDIDATE),
        priority,
        term: Term(reader.u64()?),
        claim,
        base: read_base(&mut reader, has(flag::FOREIGN))?,
        takeover_ago: reader.optional(has(flag::TAKEOVER_AGO), Reader::millis)?,
        verified_ago: reader.optional(has(flag::VERIFIED_AGO), Reader::millis)?,
        sent: has(flag::SENT),
        readiness: Readiness {
            ready: has(flag::READY),
            proof_age: reader.optional(has(flag::PROOF_AGE), Reader::millis)?,
        },
        reach: has(flag::REACH),
        follows: reader.optional(has(flag::FOLLOWS), |reader| {
            Ok(Follows { master: reader.address()?, heard_ago: reader.millis()? })
        })?,
        offer: reader.optional(has(flag::OFFER), |reader| {
            let (to, cause) = (reader.address()?, HandOver::from_code(reader.u8()?)?);
            Ok(Offer { to, cause, began_ago: reader.millis()? })
        })?,
        wants: has(flag::WANTS),
        deposed_by: match reader.optional(has(flag::DEPOSED_BY), Reader::address)? {
            Some(member) => Some(DeposedBy::Member(member)),
            None => has(flag::DEPOSED_BY_UNKNOWN).then_some(DeposedBy::Unknown),
        },
        leaving: {
            let successor = reader.optional(has(flag::SUCCESSOR), Reader::address)?;
            has(flag::LEAVING).then_some(Leaving { successor })
        },
    };
    reader.end()?;
    Ok(report)
}

/// Refuses what the types of a report cannot say.
fn read_group_flags(reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let flags = reader.u16()?;
    if flags & !flag::ALL != 0 {
        return Err(DecodeError::UnknownFlags { part: "group report", bits: flags & !flag::ALL });
    }
    let deposed = flag::DEPOSED_BY | flag::DEPOSED_BY_UNKNOWN;
    let leaving = flag::SUCCESSOR | flag::LEAVING;
    if flags & deposed == deposed {
        return Err(DecodeError::FlagsDisagree { part: "group report", bits: deposed });
    }
    if flags & leaving == flag::SUCCESSOR {
        return Err(DecodeError::FlagsDisagree { part: "group report", bits: flag::SUCCESSOR });
    }
    Ok(flags)
}

fn read_base(reader: &mut Reader<'_>, foreign: bool) -> Result<Base, DecodeError> {
    let count = reader.u8()?;
    if usize::from(count) > Base::MEMBERS {
        return Err(DecodeError::OutOfRange { field: "number of members in a base", value: count.into() });
    }
    let mut base = Base::default();
    for _ in 0..count {
        let member = reader.address()?;
        if base.contains(member) {
            return Err(DecodeError::MemberTwice);
        }
        base.insert(member);
    }
    base.foreign = reader.optional(foreign, |reader| reader.u64().map(DropletId))?;
    Ok(base)
}

fn read_bulletin(mut reader: Reader<'_>) -> Result<BulletinPart<'_>, DecodeError> {
    let generation = reader.u64()?;
    let index = reader.u8()?;
    let parts = reader.u8()?;
    Ok(BulletinPart::new(generation, index, parts, reader.rest())?)
}

#[cfg(test)]
mod tests;
