//! Checks: what this node knows of its own service.

pub mod docker;
