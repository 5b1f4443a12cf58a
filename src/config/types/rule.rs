//! Rules between two values of a configuration: each message shows both.

use std::time::Duration;

use super::Written;

/// Two values of a configuration that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// One slow answer of the API would use up the whole time for a claim.
    #[error("`claim_timeout` ({}) must be longer than `timeout` in [digitalocean] ({}): one slow answer would end a claim", Written(*claim_timeout), Written(*api_timeout))]
    ClaimShorterThanCall {
        /// `claim_timeout`
        claim_timeout: Duration,
        /// `timeout` in `[digitalocean]`
        api_timeout: Duration,
    },
    /// A claim would be given up before it is looked at for the first time.
    #[error("`verify_interval` ({}) must be shorter than `claim_timeout` ({})", Written(*verify_interval), Written(*claim_timeout))]
    VerifySlowerThanClaim {
        /// `verify_interval`
        verify_interval: Duration,
        /// `claim_timeout`
        claim_timeout: Duration,
    },
    /// One slow promotion would end a claim.
    #[error("`timeout` of the hooks ({}) must be shorter than `claim_timeout` ({}): one slow promotion would end a claim", Written(*timeout), Written(*claim_timeout))]
    PromotionOutlastsClaim {
        /// `timeout` in `[group.NAME.hooks]`
        timeout: Duration,
        /// `claim_timeout`
        claim_timeout: Duration,
    },
    /// No number of containers would do.
    #[error("`min` ({min}) must not be above `max` ({max}): no number of containers is both")]
    MinAboveMax {
        /// `min`
        min: u32,
        /// `max`
        max: u32,
    },
    /// Every number of containers would do.
    #[error("`min` = 0 without `max` is passed by every number of containers")]
    AlwaysPasses,
}
