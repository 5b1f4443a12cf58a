//! The thread that beats.

pub mod handoff;
pub mod udp;
