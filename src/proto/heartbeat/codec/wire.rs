//! Numbers to bytes and back: big endian, within bounds, without a panic.

use std::net::Ipv4Addr;

use super::DecodeError;
use crate::proto::time::Duration;

/// Writes into a caller's memory. Every call says `None` when there is no room left.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    memory: &'a mut [u8],
    length: usize,
    /// How much of the memory may be written.
    limit: usize,
}

impl<'a> Writer<'a> {
    /// Leaves the last `reserve` bytes of the memory free.
    pub(super) fn new(memory: &'a mut [u8], reserve: usize) -> Self {
        let limit = memory.len().saturating_sub(reserve);
        Self { memory, length: 0, limit }
    }

    pub(super) fn written(&self) -> &[u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }

    /// Writes `bytes` behind the rest, the reserve used, and gives all that was written.
    pub(super) fn finish(mut self, bytes: &[u8]) -> &'a [u8] {
        self.limit = self.memory.len();
        let fits = self.bytes(bytes);
        debug_assert!(fits.is_some(), "the reserve is for these bytes");
        self.memory.get(..self.length).unwrap_or_default()
    }

    /// Runs `write`; what it wrote goes away again unless all of it had room.
    pub(super) fn whole(&mut self, write: impl FnOnce(&mut Self) -> Option<()>) -> bool {
        let before = self.length;
        let fits = write(self).is_some();
        if !fits {
            self.length = before;
        }
        fits
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length.checked_add(bytes.len()).filter(|end| *end <= self.limit)?;
        self.memory.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    /// Writes the length of what `write` writes, in two bytes, before it.
    pub(super) fn counted(&mut self, write: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        let place = self.length;
        self.u16(0)?;
        let start = self.length;
        write(self)?;
        let length = u16::try_from(self.length - start).ok()?;
        self.memory.get_mut(place..start)?.copy_from_slice(&length.to_be_bytes());
        Some(())
    }

    pub(super) fn u8(&mut self, value: u8) -> Option<()> {
        self.bytes(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn address(&mut self, address: Ipv4Addr) -> Option<()> {
        self.bytes(&address.octets())
    }

    /// Whole milliseconds, rounded down; 49.7 days and more are told as that.
    pub(super) fn millis(&mut self, age: Duration) -> Option<()> {
        self.u32(u32::try_from(age.as_millis()).unwrap_or(u32::MAX))
    }

    /// Whole microseconds, rounded down; 71.5 minutes and more are told as that.
    pub(super) fn micros(&mut self, age: Duration) -> Option<()> {
        self.u32(u32::try_from(age.as_micros()).unwrap_or(u32::MAX))
    }

    /// Nothing for `None`: a flag elsewhere says whether it is there.
    pub(super) fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> Option<()>,
    ) -> Option<()> {
        value.map_or(Some(()), |value| write(self, value))
    }
}

/// Reads from bytes that may be anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// What is being read, for the error.
    part: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(part: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, part }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// The reader must be at its end.
    pub(super) fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::Surplus { part: self.part, count }),
        }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated { part: self.part })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated { part: self.part })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn address(&mut self) -> Result<Ipv4Addr, DecodeError> {
        self.array::<4>().map(Ipv4Addr::from)
    }

    pub(super) fn millis(&mut self) -> Result<Duration, DecodeError> {
        Ok(Duration::from_millis(self.u32()?.into()))
    }

    pub(super) fn micros(&mut self) -> Result<Duration, DecodeError> {
        Ok(Duration::from_micros(self.u32()?.into()))
    }

    pub(super) fn optional<T>(
        &mut self,
        there: bool,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        there.then(|| read(self)).transpose()
    }
}
