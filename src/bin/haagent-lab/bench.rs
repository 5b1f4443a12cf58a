//! `haagent-lab bench`: how long it takes from a fault until the request to assign leaves, and what an
//! idle agent costs. It prints figures and judges none of them.
//!
//! The fault's time is read just before it is injected, the request's from the fake cloud's event
//! log: when it had arrived whole. Both are times of day of this machine.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::clock::Clock;
use crate::stage::{Scene, Stage, StageError};

/// Short: the figures end where the request is sent.
const ASSIGN: Duration = Duration::from_millis(100);
/// The longest wait for the request.
const PATIENCE: Duration = Duration::from_secs(30);
const INTERVALS: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(100)];
const DEFAULT_FALL: u8 = 2;
const CONTAINER: &str = "app-3";

/// What `haagent-lab bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each fault is injected
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// How long the idle agent is watched
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    idle: u32,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("cannot write to the standard output")]
    Output(#[from] io::Error),
    #[error("after this fault, nobody asked for the address within {} s: {fault}", PATIENCE.as_secs())]
    NoRequest { fault: Fault },
    #[error("cannot read {}", path.display())]
    Proc { path: PathBuf, source: io::Error },
    #[error("{} does not say what is looked for in it", .0.display())]
    Odd(PathBuf),
}

/// What happens to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Silence,
    Kill,
    Stop,
    Container { fall: u8 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("host silent (agent and engine stopped)"),
            Self::Kill => f.write_str("agent killed (kill -9)"),
            Self::Stop => f.write_str("agent stopped in order (SIGTERM)"),
            Self::Container { fall: DEFAULT_FALL } => f.write_str("container dies, at the defaults"),
            Self::Container { fall } => write!(f, "container dies, fall = {fall}"),
        }
    }
}

impl Options {
    /// Measures, and prints each figure as soon as it is there.
    ///
    /// # Errors
    /// A step of the way could not be taken; a figure is never an error.
    pub(crate) async fn measure(&self) -> Result<(), BenchError> {
        say(&format!("From a fault until the request to assign reaches the API; {} runs each.", self.runs))?;
        say(&format!("{:<46}{:>10}{:>10}{:>10}", "", "least", "median", "most"))?;
        for interval in INTERVALS {
            say(&format!("I = {} ms", interval.as_millis()))?;
            let plain = [Fault::Silence, Fault::Kill, Fault::Stop, Fault::Container { fall: 1 }];
            self.faults(interval, 1, &plain).await?;
            self.faults(interval, DEFAULT_FALL, &[Fault::Container { fall: DEFAULT_FALL }]).await?;
        }
        let scene = Scene { interval: INTERVALS[0], fall: DEFAULT_FALL, assign: ASSIGN, probe: false };
        let mut stage = Stage::set(scene).await?;
        stage.settled(0).await?;
        say(&format!(
            "\nIdle for {} s at I = {} ms, one peer, one Docker check.",
            self.idle,
            INTERVALS[0].as_millis()
        ))?;
        // The backup shows what every node costs; the master adds a metadata read a second.
        for (at, role) in [(0, "master"), (1, "backup")] {
            let cost = Cost::of(stage.hosts[at].agent_id()?, Duration::from_secs(self.idle.into())).await?;
            say(&format!("{role:<10}{cost}"))?;
        }
        let size = program_size()?;
        say(&format!("\nThe program: {:.2} MB ({size} bytes)", to_mega(size)))?;
        Ok(())
    }

    async fn faults(&self, interval: Duration, fall: u8, faults: &[Fault]) -> Result<(), BenchError> {
        let mut stage = Stage::set(Scene { interval, fall, assign: ASSIGN, probe: false }).await?;
        let mut master = 0;
        stage.settled(master).await?;
        for fault in faults {
            let mut times = Vec::new();
            for _ in 0..self.runs {
                times.push(until_asked(&mut stage, master, *fault).await?);
                master = 1 - master;
                recover(&mut stage, 1 - master, *fault).await?;
                stage.settled(master).await?;
            }
            times.sort_unstable();
            let shown = |time: Option<&Duration>| time.map(|time| format!("{:.1} ms", time.as_secs_f64() * 1e3));
            let [least, median, most] = [times.first(), times.get(times.len() / 2), times.last()].map(shown);
            let cell = |figure: Option<String>| figure.unwrap_or_default();
            say(&format!("  {:<44}{:>10}{:>10}{:>10}", fault.to_string(), cell(least), cell(median), cell(most)))?;
        }
        Ok(())
    }
}

/// Injects the fault into the master. How long it took until the other one asked for the address.
async fn until_asked(stage: &mut Stage, master: usize, fault: Fault) -> Result<Duration, BenchError> {
    let (_, mut next) = stage.cloud_events(0, "accepted", Duration::ZERO).await?;
    let clock = Clock::start();
    match fault {
        Fault::Silence => stage.hosts[master].freeze()?,
        Fault::Kill => stage.hosts[master].signal_agent(Signal::SIGKILL)?,
        Fault::Stop => stage.hosts[master].signal_agent(Signal::SIGTERM)?,
        Fault::Container { .. } => stage.hosts[master].container_dies(CONTAINER).await?,
    }
    while clock.now() < PATIENCE {
        let left = PATIENCE.saturating_sub(clock.now());
        let (events, after) = stage.cloud_events(next, "request", left).await?;
        let asked = events.iter().find(|event| {
            event["method"] == "POST" && event["path"].as_str().is_some_and(|path| path.ends_with("/actions"))
        });
        if let Some(at) = asked.and_then(|event| event["unix_us"].as_u64()) {
            return Ok(Duration::from_micros(at).saturating_sub(clock.unix_at_start()));
        }
        next = after;
    }
    Err(BenchError::NoRequest { fault })
}

/// Undoes the fault.
async fn recover(stage: &mut Stage, at: usize, fault: Fault) -> Result<(), BenchError> {
    match fault {
        Fault::Silence => stage.hosts[at].thaw()?,
        Fault::Kill | Fault::Stop => {
            stage.hosts[at].agent_ended().await?;
            stage.hosts[at].start_agent()?;
        }
        Fault::Container { .. } => stage.hosts[at].container_starts(CONTAINER).await?,
    }
    Ok(())
}

/// What a process costs.
#[derive(Debug)]
struct Cost {
    /// Resident and proportional memory, bytes.
    resident: u64,
    proportional: u64,
    /// CPU time that it used in `watched`.
    used: Duration,
    watched: Duration,
}

impl Cost {
    async fn of(process: u32, time: Duration) -> Result<Self, BenchError> {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let (clock, before) = (Clock::start(), cpu_time(&folder)?);
        tokio::time::sleep(time).await;
        let (used, watched) = (cpu_time(&folder)?.saturating_sub(before), clock.now());
        let resident = kilobytes(&folder.join("status"), "VmRSS:")? * 1024;
        let proportional = kilobytes(&folder.join("smaps_rollup"), "Pss:")? * 1024;
        Ok(Self { resident, proportional, used, watched })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_minute = self.used.as_secs_f64() * 60.0 / self.watched.as_secs_f64();
        let (resident, proportional) = (to_mega(self.resident), to_mega(self.proportional));
        write!(f, "RSS {resident:.1} MB   PSS {proportional:.1} MB   CPU {per_minute:.3} s a minute")
    }
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

fn kilobytes(file: &Path, key: &str) -> Result<u64, BenchError> {
    let text = read(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| BenchError::Odd(file.to_owned()))
}

fn read(path: &Path) -> Result<String, BenchError> {
    fs::read_to_string(path).map_err(|source| BenchError::Proc { path: path.to_owned(), source })
}

fn program_size() -> Result<u64, BenchError> {
    let program = crate::stage::agent_program()?;
    fs::metadata(&program).map(|meta| meta.len()).map_err(|source| BenchError::Proc { path: program, source })
}

/// Megabytes of a million bytes.
#[allow(clippy::cast_precision_loss, reason = "shown with two places")]
fn to_mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
