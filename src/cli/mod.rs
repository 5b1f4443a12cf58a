//! The command line: arguments -> command, one file each.

pub mod config;
pub mod keygen;
