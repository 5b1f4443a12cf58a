//! The control socket.

pub mod client;
pub mod server;
pub mod wire;
