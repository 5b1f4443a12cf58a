//! The election: one for each group.
