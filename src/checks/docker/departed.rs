//! Containers that the event stream says have stopped and that the list still shows running.
//!
//! The engine tells of a death first, cleans up after it (network, mounts), and only then puts it
//! into its list: 0.2 to 0.3 s later on Docker 20.10. A look that an event set off would
//! see nothing, and the death would be known at the next poll.

use std::collections::VecDeque;

use crate::proto::time::{Duration, Time};

/// What the list has not shown by then it does not lag behind: the list counts again.
const LAG: Duration = Duration::from_secs(10);

/// So many are remembered; a host where more die within [`LAG`] has failed its check long ago.
const REMEMBERED: usize = 128;

/// Ids of stopped containers, oldest first.
#[derive(Debug, Default)]
pub(super) struct Departed(VecDeque<(String, Time)>);

impl Departed {
    /// The stream told that this happened to the container with this id, at about `at`.
    pub(super) fn note(&mut self, action: &str, id: &str, at: Time) {
        self.0.retain(|(known, _)| known != id);
        if matches!(action, "die" | "pause") {
            if self.0.len() == REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back((id.to_owned(), at));
        }
    }

    /// Whether the list is wrong in showing it as running.
    pub(super) fn contains(&self, id: &str, now: Time) -> bool {
        self.0.iter().any(|(known, at)| known == id && now - *at < LAG)
    }

    /// The stream broke: what it told may be outdated, and what comes next starts anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIED: Time = Time::from_millis(60_000);

    #[test]
    fn one_that_died_is_gone_until_it_starts_or_the_list_must_know() {
        let mut departed = Departed::default();
        departed.note("die", "a", DIED);
        departed.note("pause", "b", DIED);
        assert!(departed.contains("a", DIED) && departed.contains("b", DIED) && !departed.contains("c", DIED));
        assert!(!departed.contains("a", DIED + LAG));
        departed.note("start", "a", DIED);
        departed.note("unpause", "b", DIED);
        assert!(!departed.contains("a", DIED) && !departed.contains("b", DIED));
        departed.note("die", "a", DIED);
        departed.clear();
        assert!(!departed.contains("a", DIED));
    }

    #[test]
    fn a_flood_of_deaths_is_bounded() {
        let mut departed = Departed::default();
        for id in 0..REMEMBERED * 3 {
            departed.note("die", &id.to_string(), DIED);
        }
        assert_eq!(departed.0.len(), REMEMBERED);
        assert!(departed.contains(&(REMEMBERED * 3 - 1).to_string(), DIED));
    }
}
