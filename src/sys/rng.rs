//! Randomness, from the kernel. The cores are given what they need of it.

use crate::proto::ids::BootId;

/// The kernel gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("cannot read random numbers from the kernel (getrandom): {0}")]
pub struct RandomError(getrandom::Error);

/// A new name for this run of the agent. Never zero, which on the wire means "not known".
///
/// # Errors
/// The kernel refuses `getrandom(2)`.
pub fn boot_id() -> Result<BootId, RandomError> {
    seed().map(BootId)
}

/// A seed for a generator of jitter. Never zero.
///
/// # Errors
/// The kernel refuses `getrandom(2)`.
pub fn seed() -> Result<u64, RandomError> {
    loop {
        let number = getrandom::u64().map_err(RandomError)?;
        if number != 0 {
            return Ok(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_have_two_names() {
        assert_ne!(boot_id().unwrap(), boot_id().unwrap());
    }
}
