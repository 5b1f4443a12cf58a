//! Somebody who asks the reserved IP all the time, and what came of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::stage::ask_front;

/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// A request without an answer for so long has failed.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Requests that are remembered: many times what a demo sends. What is left running sends more.
const MAX_REQUESTS: usize = 20_000;

/// A request. Times since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) sent: Duration,
    pub(super) ended: Duration,
    /// Whose page came; none: it failed.
    pub(super) host: Option<String>,
}

/// The requests, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Record(VecDeque<Request>);

/// What came of the requests of some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) sent: usize,
    pub(super) failed: usize,
    /// The longest time between two good answers.
    pub(super) longest_gap: Duration,
}

impl Record {
    fn push(&mut self, request: Request) {
        if self.0.len() >= MAX_REQUESTS {
            self.0.pop_front();
        }
        self.0.push_back(request);
    }

    /// Those that were sent at this time or later.
    fn since(&self, from: Duration) -> impl Iterator<Item = &Request> {
        self.0.iter().filter(move |request| request.sent >= from)
    }

    /// The requests that ended in `[from, to)`: one that is under way is not known yet, and belongs to the time
    /// in which it ends. A gap that is open at one of the ends counts up to there.
    pub(super) fn account(&self, from: Duration, to: Duration) -> Account {
        let mut account = Account::default();
        let mut answered = from;
        for request in self.0.iter().filter(|request| (from..to).contains(&request.ended)) {
            account.sent += 1;
            if request.host.is_none() {
                account.failed += 1;
                continue;
            }
            account.longest_gap = account.longest_gap.max(request.ended.saturating_sub(answered));
            answered = request.ended;
        }
        account.longest_gap = account.longest_gap.max(to.saturating_sub(answered));
        account
    }

    /// When the first request failed that was sent at this time or later.
    pub(super) fn first_failure(&self, from: Duration) -> Option<Duration> {
        self.since(from).find(|request| request.host.is_none()).map(|request| request.ended)
    }

    /// When this host answered for the first time a request that was sent at this time or later.
    pub(super) fn first_answer(&self, from: Duration, host: &str) -> Option<Duration> {
        let answered = |request: &&Request| request.host.as_deref() == Some(host);
        self.since(from).find(answered).map(|request| request.ended)
    }

    /// Who else answered a request that was sent at this time or later.
    pub(super) fn stranger(&self, from: Duration, host: &str) -> Option<&str> {
        self.since(from).filter_map(|request| request.host.as_deref()).find(|other| *other != host)
    }
}

/// The client; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Client {
    clock: Clock,
    task: JoinHandle<()>,
    record: watch::Receiver<Record>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Begins to ask.
    pub(super) fn start(front: SocketAddr) -> Self {
        let clock = Clock::start();
        let (asked, record) = watch::channel(Record::default());
        let task = tokio::spawn(async move {
            loop {
                let sent = clock.unix_now();
                let answer = tokio::time::timeout(TIMEOUT, ask_front(front)).await;
                let host = answer.ok().and_then(Result::ok);
                asked.send_modify(|record| record.push(Request { sent, ended: clock.unix_now(), host }));
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { clock, task, record }
    }

    /// The time of day, since 1970: the clock of all that is recorded.
    pub(super) fn now(&self) -> Duration {
        self.clock.unix_now()
    }

    /// What is recorded by now. Held for a moment only: the client waits meanwhile.
    pub(super) fn record(&self) -> watch::Ref<'_, Record> {
        self.record.borrow()
    }

    /// Waits until this host has answered a request that was sent at this time or later; `None` after `patience`.
    pub(super) async fn heard(&self, from: Duration, host: &str, patience: Duration) -> Option<Duration> {
        let mut record = self.record.clone();
        let heard = record.wait_for(|record| record.first_answer(from, host).is_some());
        let heard = tokio::time::timeout(patience, heard).await.ok()?.ok()?;
        heard.first_answer(from, host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// One request each 10 ms from 1000 on, answered 2 ms later.
    fn record(hosts: &[Option<&str>]) -> Record {
        let mut record = Record::default();
        for (sent, host) in (0..).map(|number| ms(1000 + 10 * number)).zip(hosts) {
            record.push(Request { sent, ended: sent + ms(2), host: host.map(str::to_owned) });
        }
        record
    }

    #[test]
    fn failures_and_the_longest_gap_are_counted() {
        let record = record(&[Some("a"), None, None, Some("b"), Some("b")]);
        let account = record.account(ms(1000), ms(1045));
        assert_eq!(account, Account { sent: 5, failed: 2, longest_gap: ms(30) });
        assert_eq!(record.first_failure(ms(1000)), Some(ms(1012)));
        assert_eq!(record.first_answer(ms(1000), "b"), Some(ms(1032)));
        assert_eq!(record.first_answer(ms(1000), "c"), None);
    }

    #[test]
    fn a_gap_that_never_ended_counts_up_to_the_end() {
        let record = record(&[Some("a"), None, None]);
        assert_eq!(record.account(ms(1000), ms(9000)).longest_gap, ms(9000 - 1002));
        assert_eq!(record.account(ms(5000), ms(6000)), Account { sent: 0, failed: 0, longest_gap: ms(1000) });
    }

    #[test]
    fn each_request_belongs_to_one_time_only() {
        let record = record(&[Some("a"), None, Some("a"), None]);
        for cut in [1020, 1021, 1022, 1023] {
            let (early, late) = (record.account(ms(0), ms(cut)), record.account(ms(cut), ms(2000)));
            assert_eq!((early.sent + late.sent, early.failed + late.failed), (4, 2), "{cut}");
            assert_eq!(early.sent, if cut > 1022 { 3 } else { 2 }, "by its end, at {cut}");
        }
    }

    #[test]
    fn whoever_else_answers_is_found() {
        let record = record(&[Some("a"), Some("b"), None, Some("b")]);
        assert_eq!(record.stranger(ms(1000), "b"), Some("a"));
        assert_eq!(record.stranger(ms(1005), "b"), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut record = Record::default();
        for number in 0..=MAX_REQUESTS as u64 {
            record.push(Request { sent: ms(number), ended: ms(number), host: None });
        }
        assert_eq!(record.account(ms(0), ms(u64::from(u32::MAX))).sent, MAX_REQUESTS);
        assert_eq!(record.first_failure(ms(0)), Some(ms(1)));
    }
}
