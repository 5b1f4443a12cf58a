//! The election: one for each group.

pub mod event;
