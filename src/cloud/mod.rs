//! The provider: one call is one request.

pub mod digitalocean;
pub mod metadata;
