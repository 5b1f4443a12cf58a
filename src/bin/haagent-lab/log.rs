//! A bounded, numbered log that readers can follow without polling in a loop.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::http::Query;

/// The longest wait for an entry.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(60);
/// Entries in one answer.
const DEFAULT_LIMIT: u64 = 1_000;
const MAX_LIMIT: u64 = 10_000;

/// What happened, with its number and its time.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Entry<T> {
    /// From 1, without gaps.
    pub(crate) seq: u64,
    /// Milliseconds since the lab started.
    pub(crate) at_ms: u64,
    /// Wall time in milliseconds since 1970.
    pub(crate) unix_ms: u64,
    /// The same in microseconds, for measuring.
    pub(crate) unix_us: u64,
    #[serde(flatten)]
    pub(crate) what: T,
}

/// The newest entries; the oldest are dropped when `bound` is reached.
#[derive(Debug)]
pub(crate) struct Log<T> {
    entries: VecDeque<Entry<T>>,
    bound: usize,
    newest: u64,
    unix_at_start: Duration,
}

impl<T: Clone> Log<T> {
    pub(crate) fn new(bound: usize, unix_at_start: Duration) -> Self {
        Self { entries: VecDeque::new(), bound, newest: 0, unix_at_start }
    }

    /// Adds an entry that happened `at` (since the start of the lab).
    pub(crate) fn push(&mut self, at: Duration, what: T) {
        if self.entries.len() >= self.bound {
            self.entries.pop_front();
        }
        self.newest += 1;
        let unix = self.unix_at_start + at;
        self.entries.push_back(Entry {
            seq: self.newest,
            at_ms: whole(at.as_millis()),
            unix_ms: whole(unix.as_millis()),
            unix_us: whole(unix.as_micros()),
            what,
        });
    }

    /// The number of the newest entry; 0 while there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// How many entries are lost to the bound.
    pub(crate) fn dropped(&self) -> u64 {
        self.newest - self.entries.len() as u64
    }

    /// The entries with a number above `after`, oldest first.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = &Entry<T>> {
        let skip = usize::try_from(after.saturating_sub(self.dropped())).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip)
    }
}

/// A part of a log, as readers get it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) events: Vec<Entry<T>>,
    /// What to ask for as `after` next.
    pub(crate) next: u64,
    /// Entries lost to the bound since the start; a reader whose `after` is below this missed some.
    pub(crate) dropped: u64,
}

impl<T: Clone> Log<T> {
    /// The entries after a number that are `wanted`, `limit` at most.
    pub(crate) fn page(&self, after: u64, limit: usize, wanted: impl Fn(&T) -> bool) -> Page<T> {
        let events: Vec<Entry<T>> =
            self.after(after).filter(|entry| wanted(&entry.what)).take(limit).cloned().collect();
        // Where the limit cut, reading goes on behind the last one; else behind the newest.
        let cut = events.last().filter(|_| events.len() == limit).map(|last| last.seq);
        Page { next: cut.unwrap_or(self.newest.max(after)), dropped: self.dropped(), events }
    }
}

/// Reads by the query's `after`, `limit` and `wait_ms`: at once if there is something, else as soon
/// as there is, or when the wait is over.
pub(crate) async fn follow<T>(
    query: &Query,
    mut newest: watch::Receiver<u64>,
    read: impl Fn(u64, usize) -> Page<T>,
) -> Page<T> {
    let after = query.number("after").unwrap_or(0);
    let limit = query.number("limit").unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let wait = Duration::from_millis(query.number("wait_ms").unwrap_or(0)).min(MAX_WAIT);
    let found = async {
        loop {
            newest.borrow_and_update();
            let page = read(after, limit);
            if !page.events.is_empty() || newest.changed().await.is_err() {
                return page;
            }
        }
    };
    match tokio::time::timeout(wait, found).await {
        Ok(page) => page,
        Err(_) => read(after, limit),
    }
}

/// A count of small units of time as what JSON readers take without loss.
fn whole(units: u128) -> u64 {
    u64::try_from(units).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_when_old_entries_are_dropped() {
        let mut log = Log::new(3, Duration::from_secs(100));
        for what in 1..=5 {
            log.push(Duration::from_millis(what), what);
        }
        assert_eq!((log.newest(), log.dropped()), (5, 2));
        let seen = |after| log.after(after).map(|e| (e.seq, e.what)).collect::<Vec<_>>();
        assert_eq!(seen(0), [(3, 3), (4, 4), (5, 5)]);
        assert_eq!(seen(4), [(5, 5)]);
        assert!(seen(5).is_empty() && seen(99).is_empty());
        let page = |after, limit| {
            let page = log.page(after, limit, |what| what % 2 == 1);
            (page.events.iter().map(|entry| entry.seq).collect::<Vec<_>>(), page.next, page.dropped)
        };
        assert_eq!((page(0, 1), page(3, 9)), ((vec![3], 3, 2), (vec![5], 5, 2)));
        assert_eq!(log.after(4).map(|e| (e.at_ms, e.unix_ms)).collect::<Vec<_>>(), [(5, 100_005)]);
    }
}
