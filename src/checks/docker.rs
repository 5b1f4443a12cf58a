//! The Docker check.
