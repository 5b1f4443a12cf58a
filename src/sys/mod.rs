//! The operating system: clocks, randomness, scheduling, logs, systemd. The only home of `unsafe`.

pub mod clock;
pub mod log;
pub mod notify;
pub mod rng;
pub mod rt;
