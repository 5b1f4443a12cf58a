//! Logging that never waits.
//!
//! A line is formatted by whoever says it and handed over through a bounded queue to
//! one thread, the only one that writes. When whoever reads the log hangs, that thread
//! hangs; the queue fills, further lines are dropped and counted, and the count is the
//! first thing written when the reader is back. No caller ever waits.
//!
//! Under systemd (`JOURNAL_STREAM`) lines carry the journal's priority and no time;
//! elsewhere time and level. An identical warning or error is written once and then
//! counted: "repeated 40 times in 60 s". The first occurrence of anything is written.
//!
//! `HAAGENT_LOG` chooses what is logged, by target and level: `info` (the default),
//! `debug`, `info,haagent::checks=trace`.

use std::collections::VecDeque;
use std::env;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{self, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::proto::time::Time;
use crate::sys::clock;

/// Lines that wait for the writer. A transition says a handful: this is minutes of a
/// bad day, and at most 4 MiB. Full: further lines are dropped and counted.
const QUEUE_LINES: usize = 1024;

/// Longer lines are cut. No line of ours comes near; text from outside may.
const LINE_BYTES: usize = 4096;

/// For so long an identical warning or error is counted instead of written.
const REPEAT_WINDOW: Duration = Duration::from_secs(60);

/// Different warnings and errors that are remembered at once. When one more comes, the
/// oldest is reported and forgotten.
const REPEAT_TEXTS: usize = 32;

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `HAAGENT_LOG` is not understood.
    #[error(
        "HAAGENT_LOG={text:?} is not understood; write a level (info) or target=level pairs (haagent::checks=debug)"
    )]
    Filter { text: String, source: filter::ParseError },
    /// No thread for the writer.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// Somebody else logs already in this process.
    #[error("the log is set up already")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// How a line is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    /// `<6>web: backup -> master`: the journal adds the rest.
    Journal,
    /// `2026-11-20T09:03:11.042Z  INFO web: backup -> master`.
    Plain,
}

impl Dress {
    /// What suits this process's standard error.
    #[must_use]
    pub fn from_env() -> Self {
        if env::var_os("JOURNAL_STREAM").is_some() { Self::Journal } else { Self::Plain }
    }
}

/// Sends the log of the whole process to standard error.
///
/// # Errors
/// `HAAGENT_LOG` is not understood, or there is a log already.
pub fn init() -> Result<Log, LogError> {
    let targets = match env::var("HAAGENT_LOG") {
        Ok(text) => text.parse().map_err(|source| LogError::Filter { text, source })?,
        Err(_) => Targets::new().with_default(Level::INFO),
    };
    let log = Log::start(io::stderr(), Dress::from_env())?;
    tracing::subscriber::set_global_default(log.subscriber(targets)).map_err(LogError::Twice)?;
    Ok(log)
}

/// The writing end of the log.
#[derive(Clone, Debug)]
pub struct Log {
    lines: SyncSender<Line>,
    progress: Arc<Progress>,
}

impl Log {
    /// Starts the thread that writes to `out`. It ends when the last [`Log`] and subscriber are gone.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(out: impl Write + Send + 'static, dress: Dress) -> Result<Self, LogError> {
        let (lines, queue) = sync_channel(QUEUE_LINES);
        let progress = Arc::new(Progress::default());
        let writer =
            Writer { out, dress, progress: Arc::clone(&progress), repeats: Repeats::default(), told_dropped: 0 };
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&queue)).map_err(LogError::Thread)?;
        Ok(Self { lines, progress })
    }

    /// What takes the lines of `tracing`.
    pub fn subscriber(&self, targets: Targets) -> impl Subscriber + Send + Sync + use<> {
        let format = tracing_subscriber::fmt::layer()
            .without_time()
            .with_ansi(false)
            .with_level(false)
            .with_target(false)
            .with_writer(self.clone());
        tracing_subscriber::registry().with(targets).with(format)
    }

    /// Lines that found the queue full, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.progress.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what was said so far is written, at most `patience`. Whether it is.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        let said = self.progress.said.load(Ordering::Acquire);
        let done = self.progress.done.lock().unwrap_or_else(PoisonError::into_inner);
        match self.progress.moved.wait_timeout_while(done, patience, |done| *done < said) {
            Ok((_, waited)) => !waited.timed_out(),
            Err(_) => false,
        }
    }

    fn say(&self, level: Level, text: &[u8]) {
        let line = Line { level, at: clock::now(), text: one_line(text) };
        match self.lines.try_send(line) {
            Ok(()) => self.progress.said.fetch_add(1, Ordering::Release),
            Err(_) => self.progress.dropped.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// How far the writer is. Its lock is the writer's and [`Log::flush`]'s; who says a line takes none.
#[derive(Debug, Default)]
struct Progress {
    said: AtomicU64,
    dropped: AtomicU64,
    done: Mutex<u64>,
    moved: Condvar,
}

#[derive(Debug)]
struct Line {
    level: Level,
    at: Time,
    text: String,
}

/// A line is one line, of a bounded length: what comes from outside must not begin
/// another one, with a priority of its choice.
fn one_line(text: &[u8]) -> String {
    let mut line = String::from_utf8_lossy(text).trim_end().replace('\n', "\\n");
    line.retain(|c| !c.is_control());
    line.truncate(line.floor_char_boundary(LINE_BYTES));
    line
}

/// `tracing`'s formatter writes one event with one call of `write`.
#[derive(Debug)]
pub struct Mouth<'a> {
    log: &'a Log,
    level: Level,
}

impl Write for Mouth<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.log.say(self.level, text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Mouth<'a>;

    fn make_writer(&'a self) -> Mouth<'a> {
        Mouth { log: self, level: Level::INFO }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Mouth<'a> {
        Mouth { log: self, level: *event.level() }
    }
}

/// The thread that writes.
struct Writer<W> {
    out: W,
    dress: Dress,
    progress: Arc<Progress>,
    repeats: Repeats,
    told_dropped: u64,
}

impl<W: Write> Writer<W> {
    fn run(mut self, queue: &Receiver<Line>) {
        loop {
            let line = match queue.try_recv() {
                Ok(line) => Some(line),
                Err(TryRecvError::Empty) => {
                    self.tell_dropped();
                    match self.wait(queue) {
                        Ok(line) => Some(line),
                        Err(RecvTimeoutError::Timeout) => None,
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                Err(TryRecvError::Disconnected) => break,
            };
            let now = clock::now();
            while let Some(repeated) = self.repeats.due(now) {
                self.write(repeated.level, now, &repeated.to_string());
            }
            if let Some(line) = line {
                if self.repeats.is_new(&line, now) {
                    self.write(line.level, line.at, &line.text);
                }
                *self.progress.done.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                self.progress.moved.notify_all();
            }
        }
        self.tell_dropped();
    }

    fn wait(&self, queue: &Receiver<Line>) -> Result<Line, RecvTimeoutError> {
        match self.repeats.next_due() {
            Some(due) => queue.recv_timeout(due.since(clock::now())),
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn tell_dropped(&mut self) {
        let dropped = self.progress.dropped.load(Ordering::Relaxed);
        let lines = dropped - self.told_dropped;
        self.told_dropped = dropped;
        if lines > 0 {
            let text = format!("{lines} log lines were dropped: whoever reads this log was too slow");
            self.write(Level::WARN, clock::now(), &text);
        }
    }

    fn write(&mut self, level: Level, at: Time, text: &str) {
        let line = match self.dress {
            Dress::Journal => format!("<{}>{text}\n", priority(level)),
            Dress::Plain => format!("{} {level:>5} {text}\n", clock::rfc3339(clock::wall_at(at))),
        };
        // A log that cannot be written has nowhere to say so.
        let _ = self.out.write_all(line.as_bytes());
    }
}

/// `sd-daemon(3)`.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The warnings and errors of the last [`REPEAT_WINDOW`], oldest first.
#[derive(Debug, Default)]
struct Repeats {
    texts: VecDeque<Repeated>,
}

#[derive(Debug)]
struct Repeated {
    level: Level,
    text: String,
    since: Time,
    times: u32,
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repeated {} times in {} s: {}", self.times, REPEAT_WINDOW.as_secs(), self.text)
    }
}

impl Repeats {
    /// Whether the line is to be written. Otherwise it is counted.
    fn is_new(&mut self, line: &Line, now: Time) -> bool {
        if line.level > Level::WARN {
            return true;
        }
        match self.texts.iter_mut().find(|known| known.level == line.level && known.text == line.text) {
            Some(known) => {
                known.times = known.times.saturating_add(1);
                false
            }
            None => {
                self.texts.push_back(Repeated { level: line.level, text: line.text.clone(), since: now, times: 0 });
                true
            }
        }
    }

    /// The next text whose window is over and which was repeated in it. If it goes on, it is counted on.
    fn due(&mut self, now: Time) -> Option<Repeated> {
        loop {
            let crowded = self.texts.len() > REPEAT_TEXTS;
            let oldest = self.texts.pop_front_if(|oldest| crowded || oldest.since + REPEAT_WINDOW <= now)?;
            if oldest.times > 0 {
                if !crowded {
                    self.texts.push_back(Repeated { since: now, times: 0, text: oldest.text.clone(), ..oldest });
                }
                return Some(oldest);
            }
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.texts.front().map(|oldest| oldest.since + REPEAT_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, pipe};

    use tracing::subscriber::with_default;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn everything() -> Targets {
        Targets::new().with_default(Level::TRACE)
    }

    /// What comes out when `say` speaks.
    fn written(dress: Dress, say: impl FnOnce()) -> Vec<String> {
        let (reader, out) = pipe().unwrap();
        let log = Log::start(out, dress).unwrap();
        with_default(log.subscriber(everything()), say);
        drop(log);
        BufReader::new(reader).lines().map(Result::unwrap).collect()
    }

    #[test]
    fn the_journal_gets_priorities_and_fields_and_neither_time_nor_colour() {
        let lines = written(Dress::Journal, || {
            tracing::error!("a");
            tracing::warn!("b");
            tracing::info!(group = "web", term = 7, "backup -> master");
            tracing::debug!("d");
            tracing::trace!("e");
        });
        assert_eq!(lines, ["<3>a", "<4>b", "<6>backup -> master group=\"web\" term=7", "<7>d", "<7>e"]);
    }

    #[test]
    fn elsewhere_a_line_has_its_time_and_level() {
        let lines = written(Dress::Plain, || tracing::info!("up"));
        let (time, rest) = lines[0].split_at(24);
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
        assert_eq!(rest, "  INFO up");
    }

    #[test]
    fn text_from_outside_cannot_begin_a_line_or_make_an_endless_one() {
        let lines = written(Dress::Journal, || {
            tracing::info!("{}", "a\n<0>panic \x1b[31m");
            tracing::info!("{}", "ä".repeat(LINE_BYTES));
        });
        assert!(lines[0].starts_with("<6>a\\n<0>panic "), "{}", lines[0]);
        assert!(!lines[0].contains('\x1b'));
        assert_eq!((lines.len(), lines[1].len()), (2, "<6>".len() + LINE_BYTES));
    }

    #[test]
    fn a_hung_reader_delays_nobody_and_what_is_dropped_is_counted_and_told() {
        let (reader, out) = pipe().unwrap();
        let log = Log::start(out, Dress::Journal).unwrap();
        let text = "x".repeat(1000);
        let said = 2 * QUEUE_LINES;
        // Were a caller to wait for the reader, this would never end: the pipe holds 64 KiB.
        with_default(log.subscriber(everything()), || (0..said).for_each(|_| tracing::info!("{text}")));
        let dropped = log.dropped();
        assert!(dropped > 0);
        assert!(!log.flush(Duration::from_millis(1)), "the reader still hangs");

        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        let told = lines.by_ref().position(|line| line.starts_with("<4>")).unwrap();
        assert_eq!(told as u64, said as u64 - dropped, "everything that was not dropped comes before");
        assert!(log.flush(PATIENCE));
        drop(log);
        assert_eq!(lines.next(), None, "told once");
    }

    #[test]
    fn a_flush_returns_when_everything_is_written() {
        let (reader, out) = pipe().unwrap();
        let log = Log::start(out, Dress::Journal).unwrap();
        with_default(log.subscriber(everything()), || tracing::info!("last words"));
        assert!(log.flush(PATIENCE));
        assert_eq!(BufReader::new(reader).lines().next().unwrap().unwrap(), "<6>last words");
    }

    #[test]
    fn a_filter_chooses_by_target_and_level() {
        let (reader, out) = pipe().unwrap();
        let log = Log::start(out, Dress::Journal).unwrap();
        let targets = "info,loud=debug".parse::<Targets>().unwrap();
        with_default(log.subscriber(targets), || {
            tracing::debug!("not this");
            tracing::debug!(target: "loud", "this");
        });
        drop(log);
        assert_eq!(BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>(), ["<7>this"]);
    }

    #[test]
    fn an_identical_warning_is_written_once_and_others_always() {
        let lines = written(Dress::Journal, || {
            for _ in 0..3 {
                tracing::warn!("Docker is gone");
                tracing::info!("look");
            }
            tracing::error!("Docker is gone");
        });
        assert_eq!(lines, ["<4>Docker is gone", "<6>look", "<6>look", "<6>look", "<3>Docker is gone"]);
    }

    fn warning(text: &str) -> Line {
        Line { level: Level::WARN, at: Time::ORIGIN, text: text.to_owned() }
    }

    #[test]
    fn repetitions_are_counted_and_told_once_a_minute_while_they_last() {
        let mut repeats = Repeats::default();
        let start = Time::from_millis(1_000);
        assert!(repeats.is_new(&warning("gone"), start));
        for _ in 0..40 {
            assert!(!repeats.is_new(&warning("gone"), start));
        }
        let end = start + REPEAT_WINDOW;
        assert_eq!(repeats.next_due(), Some(end));
        assert!(repeats.due(end.before(Duration::from_nanos(1))).is_none());
        assert_eq!(repeats.due(end).unwrap().to_string(), "repeated 40 times in 60 s: gone");
        assert!(repeats.due(end).is_none());
        assert!(!repeats.is_new(&warning("gone"), end), "it lasts");
        let later = end + REPEAT_WINDOW;
        assert_eq!(repeats.due(later).unwrap().times, 1);
        assert!(repeats.due(later + REPEAT_WINDOW).is_none());
        assert!(repeats.is_new(&warning("gone"), later + REPEAT_WINDOW), "it was over");
    }

    #[test]
    fn the_memory_of_repetitions_is_bounded_and_loses_no_count() {
        let mut repeats = Repeats::default();
        let mut told = 0;
        for i in 0..10 * REPEAT_TEXTS {
            let line = warning(&format!("error {i}"));
            assert!(repeats.is_new(&line, Time::ORIGIN));
            assert!(!repeats.is_new(&line, Time::ORIGIN));
            while let Some(repeated) = repeats.due(Time::ORIGIN) {
                told += repeated.times as usize;
            }
            assert!(repeats.texts.len() <= REPEAT_TEXTS);
        }
        assert_eq!(told, 9 * REPEAT_TEXTS);
    }
}
