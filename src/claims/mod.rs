//! Claims: a task around each reconciler, and the driver that does what it asks.

pub mod digitalocean;
