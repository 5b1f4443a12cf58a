//! The control socket: how the command line asks the agent, and the agent answers.

pub mod client;
mod line;
pub mod server;
pub mod wait;
pub mod wire;
