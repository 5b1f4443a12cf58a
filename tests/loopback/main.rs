//! Failovers of real processes on loopback addresses: the built `haagent run`, the
//! fake provider and the fake engine of `haagent-lab`, no root.
//!
//! Each test has addresses, files, a cloud and engines of its own, so all of them run
//! side by side. None sleeps: each waits, with a deadline, for what it expects.
//!
//! * [`lab`]: the processes, and the ways to hurt them.
//! * [`step`]: a fault and what must follow. What is expected is first shown *not* to hold
//!   without the fault, and afterwards shown to last.
//!
//! `cargo test --test loopback quick_` runs the few that show most: the inner loop.

#![allow(clippy::print_stderr, reason = "a failed test tells what its processes logged")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "one binary: nothing leaves it")]

mod bad_input;
mod demo;
mod faults;
mod forgery;
mod hooks;
mod lab;
mod lab_commands;
mod oncall;
mod operators;
mod probe;
mod reload;
mod starts;
mod step;
mod storms;
