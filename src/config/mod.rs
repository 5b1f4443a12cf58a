//! The configuration: what may be written, what it means, and every problem at once.

pub mod raw;
pub mod resolve;
pub mod secret;
pub mod types;
