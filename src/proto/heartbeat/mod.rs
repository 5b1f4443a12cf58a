//! The heartbeat: what a datagram says, and how it is written and guarded.

pub mod codec;
pub mod mac;
