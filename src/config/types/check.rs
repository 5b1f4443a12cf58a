//! Checks: what each asks, and which answer passes.

use std::fmt;
use std::num::{NonZeroI16, NonZeroU8};
use std::time::Duration;

use super::RuleError;
use crate::proto::ids::CheckName;

/// `[[group.NAME.check]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `name`; the kind if nothing is said.
    pub name: CheckName,
    /// `interval` between two looks.
    pub interval: Duration,
    /// `timeout` of one look.
    pub timeout: Duration,
    /// `rise`: good looks in a row until the check passes.
    pub rise: NonZeroU8,
    /// `fall`: bad looks in a row until it fails.
    pub fall: NonZeroU8,
    /// `start_period` after the agent's start in which bad looks do not count.
    pub start_period: Duration,
    /// `weight`: as keepalived's. Below 0 it is taken from the priority while the
    /// check fails, above 0 added while it passes. None: failing means Fault.
    pub weight: Option<NonZeroI16>,
    /// What is looked at.
    pub kind: CheckKind,
}

impl Check {
    /// `interval` if nothing is said.
    pub const INTERVAL: Duration = Duration::from_secs(1);
    /// `timeout` if nothing is said.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// `rise` and `fall` if nothing is said.
    pub const TIMES: NonZeroU8 = NonZeroU8::new(2).expect("not zero");
}

/// The kinds of checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Containers are counted.
    Docker(DockerCheck),
}

impl CheckKind {
    /// The key that names the kind, and the check's name if none is given.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
        }
    }
}

/// `docker.*`: how many containers must run. Paused and restarting ones do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerCheck {
    /// `running`, or `min` and `max`
    pub count: Count,
    /// `name`: count only containers of this name, by the engine's own filter.
    pub name: Option<String>,
    /// `label`: count only containers that have it; `KEY` or `KEY=VALUE`.
    pub label: Option<String>,
    /// `healthy`: count only those whose HEALTHCHECK passes.
    pub healthy: bool,
}

/// A number that must be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    min: u32,
    max: Option<u32>,
}

impl Count {
    /// `running = number`
    #[must_use]
    pub const fn exactly(number: u32) -> Self {
        Self { min: number, max: Some(number) }
    }

    /// `min` and `max`
    ///
    /// # Errors
    /// No number is in between, or every number is.
    pub const fn between(min: u32, max: Option<u32>) -> Result<Self, RuleError> {
        match max {
            Some(max) if min > max => Err(RuleError::MinAboveMax { min, max }),
            None if min == 0 => Err(RuleError::AlwaysPasses),
            _ => Ok(Self { min, max }),
        }
    }

    /// Whether `found` is enough and not too many.
    #[must_use]
    pub fn accepts(&self, found: u32) -> bool {
        found >= self.min && self.max.is_none_or(|max| found <= max)
    }

    /// The least number that is accepted.
    #[must_use]
    pub const fn min(&self) -> u32 {
        self.min
    }

    /// The greatest number that is accepted, if there is one.
    #[must_use]
    pub const fn max(&self) -> Option<u32> {
        self.max
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (min, Some(max)) if min == max => write!(f, "{min}"),
            (0, Some(max)) => write!(f, "at most {max}"),
            (min, Some(max)) => write!(f, "{min} to {max}"),
            (min, None) => write!(f, "at least {min}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_says_what_it_accepts() {
        let few = Count::between(2, Some(3)).unwrap();
        assert_eq!([1, 2, 3, 4].map(|found| few.accepts(found)), [false, true, true, false]);
        let many = Count::between(2, None).unwrap();
        assert!(!many.accepts(1) && many.accepts(u32::MAX));
        let none = Count::exactly(0);
        assert!(none.accepts(0) && !none.accepts(1));
        assert_eq!(
            [few, many, none, Count::between(0, Some(4)).unwrap()].map(|count| count.to_string()),
            ["2 to 3", "at least 2", "0", "at most 4"]
        );
        assert_eq!(Count::between(4, Some(3)), Err(RuleError::MinAboveMax { min: 4, max: 3 }));
        assert_eq!(Count::between(0, None), Err(RuleError::AlwaysPasses));
    }
}
