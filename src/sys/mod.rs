//! The operating system: clocks, scheduling, processes, logs. The only home of `unsafe`.

pub mod clock;
pub mod log;
pub mod notify;
pub mod process;
pub mod rng;
pub mod rt;
