//! Everything that decides. Nothing here has a socket, a clock, a thread, a lock,
//! randomness or a log: input and `now` go in, outputs and the next deadline come
//! out. The heart and the simulator run the same code.

pub mod claim;
pub mod election;
pub mod health;
pub mod heartbeat;
pub mod ids;
pub mod link;
pub mod node;
pub mod reach;
pub mod time;
