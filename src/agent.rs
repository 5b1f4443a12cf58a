//! The agent: the composition root.
