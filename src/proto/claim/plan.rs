//! (intent, observation) -> the one next action.
