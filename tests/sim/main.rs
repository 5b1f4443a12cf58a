//! The simulator: the real cores in a model world, seeds by the thousand, the
//! promises as invariants. `docs/simulation.md` says how to use and extend it.

mod agent;
mod cloud;
mod faults;
mod invariants;
mod network;
mod plan;
mod planted;
mod rng;
mod run;
mod scenarios;
mod swarm;
mod world;
