//! The claim reconciler: one for each claim.

pub mod event;
pub mod plan;
pub mod retry;
