//! The one snapshot, and its clothes: for people, for programs, across restarts.

pub mod facts;
pub mod history;
pub mod judge;
pub mod render;
pub mod status;
pub mod why;
pub mod words;
