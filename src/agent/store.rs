//! What survives a restart: two small files in `node.state_dir`.
//!
//! `node.json` is the core's memory (rule 1) and who the members are; `acts.json` is
//! what operators asked for. Each is replaced as a whole (write, sync, rename) by a
//! thread of its own, so that a slow disk holds up nobody; only the newest content counts.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::disk::Progress;
use crate::proto::ids::{DropletId, NodeName};
use crate::proto::node;

const NODE: &str = "node.json";
const ACTS: &str = "acts.json";

/// Far more than 16 groups and 16 peers need.
const LIMIT: u64 = 1 << 20;

/// What a member said of itself in a bulletin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) name: Option<NodeName>,
    pub(super) droplet: Option<DropletId>,
}

/// The content of `node.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) memory: node::Memory,
    /// By private address.
    pub(super) members: BTreeMap<Ipv4Addr, Member>,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the state directory {} cannot be used: create it for the agent's user, or set node.state_dir", .path.display())]
pub(super) struct StoreError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The newest content of each file that is not yet written.
#[derive(Debug, Default)]
struct Waiting {
    files: BTreeMap<&'static str, Vec<u8>>,
    progress: Progress,
    trouble: Option<String>,
}

/// The files and the thread that writes them.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    waiting: Arc<Mutex<Waiting>>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Makes the directory if it is not there, and starts the writer.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o750).create(directory).map_err(failed)?;
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let (wake, woken) = sync_channel(1);
        let thread = {
            let (directory, waiting) = (directory.to_owned(), Arc::clone(&waiting));
            std::thread::Builder::new().name("state".to_owned()).spawn(move || write_all(&directory, &waiting, &woken))
        };
        let thread = thread.map_err(failed)?;
        Ok(Self { directory: directory.to_owned(), waiting, wake: Some(wake), thread: Some(thread) })
    }

    /// What an earlier run knew. A file that cannot be read is as good as none, and is told of.
    pub(super) fn known(&self) -> (Known, Option<String>) {
        self.read(NODE)
    }

    /// What operators asked for and had not ended.
    pub(super) fn acts<T: DeserializeOwned + Default>(&self) -> (T, Option<String>) {
        self.read(ACTS)
    }

    pub(super) fn keep(&self, known: &Known) {
        self.write(NODE, known);
    }

    pub(super) fn keep_acts(&self, acts: &impl Serialize) {
        self.write(ACTS, acts);
    }

    /// What the last write failed with, until one succeeds.
    pub(super) fn trouble(&self) -> Option<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    /// How far the writer is.
    pub(super) fn progress(&self) -> Progress {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).progress
    }

    fn read<T: DeserializeOwned + Default>(&self, name: &str) -> (T, Option<String>) {
        let path = self.directory.join(name);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (T::default(), None),
            Err(error) => (T::default(), Some(format!("{} cannot be read and is ignored: {error}", path.display()))),
            Ok(_) => match serde_json::from_slice(&bytes) {
                Ok(value) => (value, None),
                Err(error) => {
                    (T::default(), Some(format!("{} makes no sense and is ignored: {error}", path.display())))
                }
            },
        }
    }

    fn write(&self, name: &'static str, value: &impl Serialize) {
        let Ok(bytes) = serde_json::to_vec(value) else { return };
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.files.insert(name, bytes);
            waiting.progress.asked += 1;
        }
        if let Some(wake) = &self.wake {
            // Full: it is awake already, and finds this as well.
            let _ = wake.try_send(());
        }
    }

    /// Waits until all is written, but not for a disk that hangs.
    pub(super) fn close(mut self, within: Duration) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let (done, ended) = sync_channel(1);
            let waiter = std::thread::Builder::new().name("close".to_owned()).spawn(move || {
                let _ = thread.join();
                let _ = done.send(());
            });
            if waiter.is_ok() {
                let _: Result<(), RecvTimeoutError> = ended.recv_timeout(within);
            }
        }
    }
}

fn write_all(directory: &Path, waiting: &Mutex<Waiting>, woken: &Receiver<()>) {
    loop {
        let more = woken.recv().is_ok();
        let (files, asked) = {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut waiting.files), waiting.progress.asked)
        };
        for (name, bytes) in files {
            let result = replace(directory, name, &bytes);
            let trouble = result.err().map(|error| {
                format!("{} cannot be written: {error}; a restart would forget it", directory.join(name).display())
            });
            waiting.lock().unwrap_or_else(PoisonError::into_inner).trouble = trouble;
        }
        waiting.lock().unwrap_or_else(PoisonError::into_inner).progress.ended = asked;
        if !more {
            return;
        }
    }
}

/// The file is the old one or the new one, whenever the power fails.
fn replace(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (path, new) = (directory.join(name), directory.join(format!("{name}.new")));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_known_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).unwrap();
        assert_eq!(store.known(), (Known::default(), None));
        let mut known = Known::default();
        for droplet in 1..=50 {
            let member = Member { name: None, droplet: Some(DropletId(droplet)) };
            known.members.insert(Ipv4Addr::new(10, 0, 0, 1), member);
            store.keep(&known);
        }
        store.keep_acts(&vec!["drain"]);
        store.close(Duration::from_secs(10));
        let store = Store::open(&directory.path().join("state")).unwrap();
        assert_eq!(store.known(), (known, None));
        assert_eq!(store.acts::<Vec<String>>(), (vec!["drain".to_owned()], None));
    }

    #[test]
    fn a_torn_file_is_ignored_loudly() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NODE), b"{\"memory\":").unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (known, trouble) = store.known();
        assert_eq!(known, Known::default());
        assert!(trouble.unwrap().contains("makes no sense and is ignored"));
    }

    #[test]
    fn a_disk_that_refuses_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        fs::create_dir(directory.path().join(NODE)).unwrap();
        let shared = Arc::clone(&store.waiting);
        store.keep(&Known::default());
        store.close(Duration::from_secs(10));
        let trouble = shared.lock().unwrap().trouble.clone();
        assert!(trouble.unwrap().contains("cannot be written"));
    }
}
