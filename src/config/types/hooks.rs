//! Hooks: the operator's programs of a group, and the time that a run of one may take.

use std::path::PathBuf;
use std::time::Duration;

/// `[group.NAME.hooks]`: programs of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// `promote`: must have succeeded before the address may come.
    pub promote: Option<Program>,
    /// `on_master`: this node is master, and its promotion gate is open.
    pub on_master: Option<Program>,
    /// `on_backup`
    pub on_backup: Option<Program>,
    /// `on_fault`
    pub on_fault: Option<Program>,
    /// `timeout` of one run.
    pub timeout: Duration,
}

impl Hooks {
    /// The time of one run if nothing is said.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// Those that are given, by their keys.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, &Program)> {
        let all = [
            ("promote", &self.promote),
            ("on_master", &self.on_master),
            ("on_backup", &self.on_backup),
            ("on_fault", &self.on_fault),
        ];
        all.into_iter().filter_map(|(key, program)| Some((key, program.as_ref()?)))
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self { promote: None, on_master: None, on_backup: None, on_fault: None, timeout: Self::TIMEOUT }
    }
}

/// A program and its arguments; no shell reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Absolute.
    pub path: PathBuf,
    /// What follows it.
    pub arguments: Vec<String>,
}
