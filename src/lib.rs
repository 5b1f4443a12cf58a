//! haagent moves a cloud provider's reserved IP to a server that works.
//!
//! Peers exchange heartbeats, each watches its own service, they elect a master
//! as VRRP does, and the master claims the address through the provider's API.
//!
//! The map, from what decides to what does:
//!
//! * [`proto`]: every rule, pure. No socket, clock, thread or randomness.
//! * `heart`: the thread that beats. It drives [`proto::node::Node`] and waits for nobody.
//! * `checks`, `claims`, `cloud`, `probe`: what touches Docker, the provider and the service; on tokio. `net`: what
//!   they share.
//! * `hooks`: the operator's own programs, which follow the mastership.
//! * [`config`]: what the operator may write, and what it means.
//! * `view`, `control`, [`cli`]: the one snapshot, and the ways to ask for it.
//! * [`sys`]: clocks, scheduling, logs, systemd; the only home of `unsafe`.
//! * `agent`: wires them together.
//!
//! What is public is what the programs and the tests of this package use. It is no
//! interface for others.

mod agent;
mod checks;
mod claims;
pub mod cli;
mod cloud;
pub mod config;
mod control;
mod heart;
mod hooks;
mod net;
mod probe;
pub mod proto;
pub mod sys;
mod view;
