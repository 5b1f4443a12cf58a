//! The operating system: clocks, randomness, scheduling, logs, systemd. The only home of `unsafe`.

pub mod clock;
pub(crate) mod log;
pub(crate) mod notify;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod rng;
pub(crate) mod rt;
