//! What processes cost: memory and CPU time, by the kernel's word.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::BenchError;
use super::statistics::Sample;
use crate::clock::Clock;

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_secs(1);

/// What a process cost while it was watched.
#[derive(Debug)]
pub(crate) struct Cost {
    /// Resident memory at each look, megabytes. It counts what is shared (the C library) in full.
    pub(crate) resident: Sample,
    /// The same with what is shared divided by those who share it.
    pub(crate) proportional: Sample,
    /// CPU seconds a minute, over all of the time.
    pub(crate) cpu: f64,
}

/// Watches these processes, all in the same time.
pub(crate) async fn watch(processes: &[u32], time: Duration) -> Result<Vec<Cost>, BenchError> {
    let folders: Vec<PathBuf> = processes.iter().map(|process| PathBuf::from(format!("/proc/{process}"))).collect();
    let mut memory = vec![(Vec::new(), Vec::new()); folders.len()];
    let clock = Clock::start();
    let before = folders.iter().map(|folder| cpu_time(folder)).collect::<Result<Vec<_>, _>>()?;
    while clock.now() < time {
        tokio::time::sleep(LOOK.min(time.saturating_sub(clock.now()))).await;
        for (folder, (resident, proportional)) in folders.iter().zip(&mut memory) {
            resident.push(megabytes(&folder.join("status"), "VmRSS:")?);
            proportional.push(megabytes(&folder.join("smaps_rollup"), "Pss:")?);
        }
    }
    let watched = clock.now();
    let mut costs = Vec::new();
    for ((folder, before), (resident, proportional)) in folders.iter().zip(before).zip(memory) {
        let used = cpu_time(folder)?.saturating_sub(before);
        costs.push(Cost {
            resident: resident.into_iter().collect(),
            proportional: proportional.into_iter().collect(),
            cpu: used.as_secs_f64() * 60.0 / watched.as_secs_f64(),
        });
    }
    Ok(costs)
}

/// The size of a program's file, megabytes.
pub(crate) fn size(program: &Path) -> Result<f64, BenchError> {
    let meta = fs::metadata(program).map_err(|source| BenchError::Proc { path: program.to_owned(), source })?;
    Ok(to_mega(meta.len()))
}

/// The CPU time of all threads that live, by the scheduler's own count (nanoseconds): the ticks of
/// `/proc/PID/stat` are ten milliseconds each.
fn cpu_time(process: &Path) -> Result<Duration, BenchError> {
    let folder = process.join("task");
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(&folder).map_err(|source| BenchError::Proc { path: folder.clone(), source })? {
        let path = thread.map_err(|source| BenchError::Proc { path: folder.clone(), source })?.path().join("schedstat");
        let text = read(&path)?;
        let nanos = text.split_whitespace().next().and_then(|first| first.parse().ok());
        sum += Duration::from_nanos(nanos.ok_or(BenchError::Odd(path))?);
    }
    Ok(sum)
}

/// A value that a file of /proc gives in kB, which are 1024 bytes there.
fn megabytes(file: &Path, key: &str) -> Result<f64, BenchError> {
    let text = read(file)?;
    let kilobytes: Option<u64> =
        text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
    kilobytes.map(|kilobytes| to_mega(kilobytes * 1024)).ok_or_else(|| BenchError::Odd(file.to_owned()))
}

fn read(path: &Path) -> Result<String, BenchError> {
    fs::read_to_string(path).map_err(|source| BenchError::Proc { path: path.to_owned(), source })
}

/// Megabytes of a million bytes.
#[allow(clippy::cast_precision_loss, reason = "shown with two places")]
fn to_mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
