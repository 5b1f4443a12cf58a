//! The DigitalOcean API.

pub mod client;
pub mod error;
pub mod types;

pub use client::{Client, Connection, Settings, SettingsError};
pub use error::{Call, Error};
