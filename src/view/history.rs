//! What happened, kept across restarts: one JSON object per line in `state_dir`.
//!
//! [`History::record`] never waits: the entry is kept in memory and handed to a
//! writer thread through a bounded queue. A disk that is full, slow or gone costs
//! lines in the file, told by [`History::trouble`], and nothing else.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::{Act, ActKind, Move, Stamp, State};
use super::render::{Style, clean, way};
use super::words::{self, exact};
use crate::proto::ids::{GroupName, NodeName, Term};

/// The file's name in `state_dir`.
pub const FILE: &str = "history.jsonl";

/// Beyond either, the older half is forgotten. A thousand entries are years of a
/// quiet group, and still some days of a flapping one.
const LINES: usize = 1000;
const BYTES: usize = 256 * 1024;
/// The longest line that is written or read; texts in it are cut to fit.
const LINE_BYTES: usize = 16 * 1024;
/// The longest text in an entry.
const TEXT_CHARS: usize = 500;
/// Entries that wait for the disk. A busy group makes a few per second; when the
/// disk hangs for longer, further ones are counted and not written.
const QUEUE: usize = 256;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The group that it happened in.
    pub group: GroupName,
    /// The node that wrote it down. Moves are also kept by those that were told of them.
    pub node: NodeName,
    /// What it was.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened. In JSON, `entry` says which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "lowercase")]
pub enum Event {
    /// The address changed its node, as seen by the node that got it. It may be recorded
    /// again as its steps are reached; the newest record of one group, node, `at` and `to` counts.
    Move(Move),
    /// The writing node changed its state.
    State(StateChange),
    /// Somebody's act began or ended.
    Act(ActChange),
}

/// A change of the writing node's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// When.
    pub at: Stamp,
    /// Before.
    pub from_state: State,
    /// After.
    pub to_state: State,
    /// Why: a word of [`words::reason`].
    pub reason: String,
    /// The same as a sentence, with what it rests on.
    pub evidence: Option<String>,
    /// The term after it.
    pub term: Term,
}

/// An act that began or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActChange {
    /// When.
    pub at: Stamp,
    /// It began; else it ended.
    pub begun: bool,
    /// The act.
    pub act: Act,
    /// What it changed, where that is more than the kind says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl ActChange {
    /// It began, or ended; there is no more to say.
    #[must_use]
    pub const fn new(at: Stamp, begun: bool, act: Act) -> Self {
        Self { at, begun, act, detail: None }
    }
}

impl Entry {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Stamp {
        match &self.event {
            Event::Move(one) => one.at,
            Event::State(change) => change.at,
            Event::Act(change) => change.at,
        }
    }

    fn as_move(&self) -> Option<&Move> {
        match &self.event {
            Event::Move(one) => Some(one),
            Event::State(_) | Event::Act(_) => None,
        }
    }

    /// Whether this is the move for which the node of `other` became master.
    fn is_move_of(&self, other: &Self, change: &StateChange) -> bool {
        let same = self.as_move().is_some_and(|one| {
            (one.term, one.reason.as_str(), one.to.as_ref()) == (change.term, change.reason.as_str(), Some(&other.node))
        });
        same && self.group == other.group && change.to_state == State::Master
    }

    /// Whether this is a later record of the same move.
    fn replaces(&self, other: &Self) -> bool {
        match (&self.event, &other.event) {
            (Event::Move(new), Event::Move(old)) => {
                (&self.group, &self.node, new.at, &new.to) == (&other.group, &other.node, old.at, &old.to)
            }
            (Event::Move(_) | Event::State(_) | Event::Act(_), _) => false,
        }
    }

    /// The same with texts cut to what a line may hold.
    fn bounded(mut self) -> Self {
        match &mut self.event {
            Event::Move(Move { reason, evidence, by, .. }) => {
                cut(reason);
                evidence.iter_mut().chain(by).for_each(cut);
            }
            Event::State(StateChange { reason, evidence, .. }) => {
                cut(reason);
                evidence.iter_mut().for_each(cut);
            }
            Event::Act(ActChange { act, detail, .. }) => {
                cut(&mut act.by);
                act.reason.iter_mut().chain(detail).for_each(cut);
            }
        }
        self
    }
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS) {
        text.truncate(end);
        text.push('…');
    }
}

/// The entries of this node, newest last. Cheap to clone; all clones are one history.
#[derive(Clone, Debug)]
pub struct History {
    shared: Arc<Shared>,
    queue: SyncSender<Job>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    entries: Mutex<VecDeque<Entry>>,
    /// Entries handed to the writer, and those that it is done with.
    queued: AtomicU64,
    ended: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        // A panic elsewhere cannot leave a half-made entry in it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complain(&self, why: &dyn fmt::Display) {
        let text = format!(
            "history {}: {why}; what happens is kept in memory only: make room there, or give the directory to the agent's user",
            self.path.display()
        );
        *self.trouble() = Some(text);
    }

    fn keep(&self, entry: Entry) {
        let mut entries = self.entries();
        if let Some(earlier) = entries.iter_mut().rev().find(|earlier| entry.replaces(earlier)) {
            *earlier = entry;
            return;
        }
        if entries.len() >= LINES {
            entries.pop_front();
        }
        entries.push_back(entry);
    }
}

#[derive(Debug)]
enum Job {
    Write(Box<Entry>),
    /// All entries before it are written, or given up.
    Flush(SyncSender<()>),
}

impl History {
    /// The history in `state_dir`, with what is there already.
    ///
    /// A missing or unreadable file is an empty history; see [`History::trouble`].
    /// Lines that make no sense (the last one is torn after a power cut) are skipped.
    ///
    /// # Errors
    /// Only if the writer thread cannot be started.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(FILE);
        let shared = Arc::new(Shared {
            path,
            entries: Mutex::default(),
            queued: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            trouble: Mutex::default(),
        });
        let (queue, jobs) = sync_channel(QUEUE);
        let mut writer = Writer::new(Arc::clone(&shared));
        match read_lines(&shared.path) {
            Ok((lines, whole)) => {
                for entry in lines.iter().filter_map(|line| serde_json::from_str::<Entry>(line).ok()) {
                    shared.keep(entry.bounded());
                }
                (writer.lines, writer.torn) = (lines.len(), !whole);
                writer.bytes = lines.iter().map(|line| line.len() + 1).sum();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => shared.complain(&error),
        }
        // Not awaited: it ends when the last `History` is dropped, and a hung disk must not hold up the end of the process.
        std::thread::Builder::new().name("haagent-history".to_owned()).spawn(move || writer.run(&jobs))?;
        Ok(Self { shared, queue })
    }

    /// Keeps the entry and hands it to the writer. Never waits, never fails.
    pub fn record(&self, entry: Entry) {
        let entry = entry.bounded();
        let job = Job::Write(Box::new(entry.clone()));
        self.shared.keep(entry);
        match self.queue.try_send(job) {
            Ok(()) => {
                self.shared.queued.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.complain(&format_args!("the disk has taken nothing for {QUEUE} entries"));
            }
        }
    }

    /// Keeps a move that another node wrote down and told, unless it is known as it is.
    pub fn learn(&self, group: &GroupName, node: &NodeName, told: &Move) {
        let entry = Entry { group: group.clone(), node: node.clone(), event: Event::Move(told.clone()) }.bounded();
        let is_known = self.shared.entries().contains(&entry);
        if !is_known {
            self.record(entry);
        }
    }

    /// The newest moves of `group` that `node` wrote down, oldest first, at most `limit`.
    #[must_use]
    pub fn moves_of(&self, group: &GroupName, node: &NodeName, limit: usize) -> Vec<Move> {
        let entries = self.shared.entries();
        let own = entries.iter().rev().filter(|entry| entry.group == *group && entry.node == *node);
        let mut newest: Vec<Move> = own.filter_map(Entry::as_move).take(limit).cloned().collect();
        newest.reverse();
        newest
    }

    /// The newest `limit` entries, of `group` or of all groups, oldest first.
    #[must_use]
    pub fn entries(&self, group: Option<&GroupName>, limit: usize) -> Vec<Entry> {
        let entries = self.shared.entries();
        let chosen = entries.iter().rev().filter(|entry| group.is_none_or(|group| entry.group == *group));
        let mut newest: Vec<Entry> = chosen.take(limit).cloned().collect();
        newest.reverse();
        newest
    }

    /// The last time that the address of `group` changed its node, as far as this node was told.
    #[must_use]
    pub fn last_move(&self, group: &GroupName) -> Option<Move> {
        let entries = self.shared.entries();
        let moves = entries.iter().filter(|entry| entry.group == *group).filter_map(Entry::as_move);
        moves.max_by_key(|one| one.at).cloned()
    }

    /// How many entries were handed to the disk, and how many of them it is done with, well or not.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let ended = self.shared.ended.load(Ordering::Relaxed);
        (self.shared.queued.load(Ordering::Relaxed), ended)
    }

    /// Why the file could not be read or written, most lately; nothing while it can.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble().clone()
    }

    /// Waits until all that was recorded before is on the disk, for at most `within`.
    /// Blocks: for the end of the process. Whether it came to the end of its queue.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        self.queue.try_send(Job::Flush(done)).is_ok() && wait.recv_timeout(within).is_ok()
    }
}

struct Writer {
    shared: Arc<Shared>,
    lines: usize,
    bytes: usize,
    /// The file may end in half a line.
    torn: bool,
}

impl Writer {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, lines: 0, bytes: 0, torn: false }
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Write(entry) => {
                    self.write(&entry);
                    self.shared.ended.fetch_add(1, Ordering::Relaxed);
                }
                Job::Flush(done) => drop(done.try_send(())),
            }
        }
    }

    fn write(&mut self, entry: &Entry) {
        match self.append(entry) {
            Ok(()) => *self.shared.trouble() = None,
            Err(error) => {
                self.torn = true;
                self.shared.complain(&error);
            }
        }
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_string(entry)?;
        line.push('\n');
        if self.lines + 1 > LINES || self.bytes + line.len() > BYTES {
            self.forget_older_half()?;
        }
        if self.torn {
            line.insert(0, '\n');
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .custom_flags(libc::O_CLOEXEC)
            .open(&self.shared.path)?;
        file.write_all(line.as_bytes())?;
        file.sync_data()?;
        self.torn = false;
        self.lines += 1;
        self.bytes += line.len();
        Ok(())
    }

    /// Keeps the newer half, by a new file that takes the old one's place at once.
    fn forget_older_half(&mut self) -> io::Result<()> {
        let (lines, _) = match read_lines(&self.shared.path) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), true),
            Err(error) => return Err(error),
        };
        let mut bytes = 0;
        let newest = lines.iter().rev().take(LINES / 2).take_while(|line| {
            bytes += line.len() + 1;
            bytes <= BYTES / 2
        });
        let mut kept: Vec<&str> = newest.map(String::as_str).collect();
        kept.reverse();
        let mut text = kept.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }

        let new = self.shared.path.with_extension("jsonl.new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o640).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, &self.shared.path)?;
        (self.lines, self.bytes, self.torn) = (kept.len(), text.len(), false);
        Ok(())
    }
}

/// The newest lines of the file, at most twice what is ever written to it, and whether its last line is whole.
fn read_lines(path: &Path) -> io::Result<(Vec<String>, bool)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let most = u64::try_from(2 * BYTES).unwrap_or(u64::MAX);
    let begin = size.saturating_sub(most);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    let whole = bytes.last().is_none_or(|last| *last == b'\n');
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().skip(usize::from(begin > 0));
    let lines = lines.filter(|line| !line.is_empty() && line.len() <= LINE_BYTES);
    Ok((lines.map(str::to_owned).collect(), whole))
}

/// The entries for people, oldest first: what, when, why, and how long each step of a move took.
#[must_use]
pub fn render(entries: &[Entry], style: Style) -> String {
    let mut page = super::render::Page::default();
    if entries.is_empty() {
        page.line("nothing has happened yet");
    }
    for (place, entry) in entries.iter().enumerate() {
        let head = format!("{}Z  {}", entry.at().for_people(), entry.group);
        match &entry.event {
            Event::Move(one) => {
                let kind = style.strong(&one.kind.to_string());
                page.line(&format!("{head}  {kind} {}, term {}", way(one), one.term));
                page.item("reason", &clean(&one.reason));
                if let Some(by) = &one.by {
                    page.item("by", &clean(by));
                }
                if let Some(evidence) = &one.evidence {
                    page.item("evidence", &clean(evidence));
                }
                timeline(&mut page, one);
            }
            Event::State(change) => {
                let (from, to) = (words::state(change.from_state), words::state(change.to_state));
                page.line(&format!("{head}  {}: {from} -> {to}, term {}", entry.node, change.term));
                // The move that follows from it says why, with all that is known of it by now.
                if entries.get(place + 1).is_some_and(|next| next.is_move_of(entry, change)) {
                    continue;
                }
                page.item("reason", &clean(&change.reason));
                if let Some(evidence) = &change.evidence {
                    page.item("evidence", &clean(evidence));
                }
            }
            Event::Act(change) => {
                page.line(&format!("{head}  {}", act(change)));
                page.item("by", &clean(&change.act.by));
                if let Some(reason) = &change.act.reason {
                    page.item("reason", &clean(reason));
                }
                if let Some(detail) = &change.detail {
                    page.item("detail", &clean(detail));
                }
            }
        }
    }
    page.text
}

fn act(change: &ActChange) -> String {
    let node = change.act.node.as_ref().map_or("the whole group", NodeName::as_str);
    let words = match (change.act.kind, change.begun) {
        (ActKind::Drain, true) => "drained",
        (ActKind::Drain, false) => "no longer drained",
        (ActKind::Failover, true) => "told to fail over",
        (ActKind::Failover, false) => "no longer told to fail over",
        (ActKind::Restart, true) => "restart announced",
        (ActKind::Restart, false) => "announced restart over",
        (ActKind::Reload, _) => "configuration reloaded",
    };
    format!("{node}: {words}")
}

/// One line for each step: its time since the first one, and since the one before.
fn timeline(page: &mut super::render::Page, one: &Move) {
    let mut first = None;
    let mut before = None;
    for (name, at) in one.phases_ms.reached() {
        let start = *first.get_or_insert(at);
        let mut line = format!("{name:16} {:>10}", exact(at.saturating_sub(start)));
        if let Some(before) = before {
            let _ = write!(line, "  +{}", exact(at.saturating_sub(before)));
        }
        page.item(if before.is_none() { "timeline" } else { "" }, &line);
        before = Some(at);
    }
    if one.phases_ms.verified.is_none() {
        page.item("", "not verified");
    }
}

#[cfg(test)]
mod tests;
