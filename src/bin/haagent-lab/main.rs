//! `haagent-lab`: the fake provider, the fake engine and the demo; never installed on servers.

fn main() {}
