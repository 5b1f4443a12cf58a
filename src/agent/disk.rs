//! What ails the disk under `node.state_dir`: it refuses, or it hangs. The agent works on
//! without it; but what a restart would forget must not be forgotten silently.

use std::time::Duration;

use crate::proto::time::Time;

/// A write that is under way for so long hangs: a slow disk takes a second.
const HUNG: Duration = Duration::from_secs(5);

/// How far a thread that writes has come, by its own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Writes that were asked for.
    pub(crate) asked: u64,
    /// Writes that ended, well or not.
    pub(crate) ended: u64,
}

/// One such thread, watched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    ended: u64,
    /// Since when nothing ended although something was asked for.
    waiting: Option<Time>,
}

impl Watched {
    /// Whether the thread hangs. To be asked again and again.
    pub(super) fn hangs(&mut self, now: Time, progress: Progress) -> bool {
        if progress.ended >= progress.asked || progress.ended != self.ended {
            *self = Self { ended: progress.ended, waiting: None };
        }
        if progress.ended >= progress.asked {
            return false;
        }
        let since = *self.waiting.get_or_insert(now);
        now - since >= HUNG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_does_not_end_hangs_and_a_slow_disk_does_not() {
        let mut disk = Watched::default();
        let at = |seconds| Time::ORIGIN + Duration::from_secs(seconds);
        assert!(!disk.hangs(at(0), Progress { asked: 0, ended: 0 }));
        assert!(!disk.hangs(at(100), Progress { asked: 3, ended: 0 }), "asked for just now");
        assert!(!disk.hangs(at(104), Progress { asked: 4, ended: 0 }));
        assert!(!disk.hangs(at(106), Progress { asked: 5, ended: 1 }), "it gets on");
        assert!(!disk.hangs(at(110), Progress { asked: 6, ended: 1 }));
        assert!(disk.hangs(at(111), Progress { asked: 7, ended: 1 }));
        assert!(!disk.hangs(at(112), Progress { asked: 7, ended: 7 }), "it is over");
        assert!(!disk.hangs(at(200), Progress { asked: 8, ended: 7 }));
    }
}
