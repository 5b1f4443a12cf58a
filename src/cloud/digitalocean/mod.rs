//! The DigitalOcean API.

pub mod client;
pub mod error;
pub mod types;
