//! Waiting for a condition, with a deadline: the only place here that lets time pass.

use std::time::Duration;

use haagent::sys::clock;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Long enough for anything that is not stuck, on a machine with much else to do.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Looks until it is so, or tells why it still is not.
pub fn until<T>(within: Duration, mut look: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let deadline = clock::now() + within;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(why) if clock::now() >= deadline => return Err(format!("still after {within:?}: {why}")),
            Err(_) => pause(),
        }
    }
}

/// Until the next look at something that tells of no change itself.
#[allow(clippy::disallowed_methods, reason = "waiting for a condition with a deadline")]
pub fn pause() {
    std::thread::sleep(PAUSE);
}
