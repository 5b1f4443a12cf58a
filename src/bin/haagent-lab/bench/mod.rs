//! `haagent-lab bench`: how long it takes from a fault until the request to assign has arrived, and
//! what an idle agent costs, each beside the floor: what no program could beat in this set-up,
//! measured in the same run. It prints figures and judges none of them.
//!
//! * [`fault`]: what happens to the master. [`floor`]: bare programs under the same; [`bare`]: those programs.
//! * [`cost`]: memory and CPU. [`statistics`], [`table`], [`machine`]: what is printed.
//!
//! The fault's time is read just before it is injected, the request's from the fake cloud's event
//! log: when it had arrived whole. Both are times of day of this machine.

pub(crate) mod bare;
mod cost;
mod fault;
mod floor;
mod machine;
mod statistics;
mod table;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use self::fault::{DEFAULT_FALL, Fault, PATIENCE};
use self::floor::{Floor, Hearts};
use self::statistics::Sample;
use self::table::{Row, Unit};
use crate::clock::Clock;
use crate::stage::{Scene, Stage, StageError};

/// Short: the figures end where the request is sent.
const ASSIGN: Duration = Duration::from_millis(100);
const INTERVALS: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(100)];
/// What each agent may ask of the API: most of what the provider allows, so that the figures are not of the budget.
const CALLS_PER_MINUTE: u8 = 240;
/// From one fault to the next at the least: a takeover costs a node about five of its calls in a minute,
/// and each takes over after every second fault.
const PERIOD: Duration = Duration::from_millis(800);
/// What all stages here have alike.
const SCENE: Scene = Scene {
    interval: INTERVALS[0],
    fall: DEFAULT_FALL,
    assign: ASSIGN,
    probe: false,
    calls_per_minute: CALLS_PER_MINUTE,
};
/// Faults after which all is well again within a second or two.
const CHEAP_RUNS: u32 = 100;
/// Faults that take seconds by themselves.
const SLOW_RUNS: u32 = 30;

/// What `haagent-lab bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each fault is injected [default: 100; 30 for those that are slow by themselves]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: Option<u32>,
    /// How long the idle agents are watched, at each interval
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    idle: u32,
    /// Only these figures
    #[arg(long, value_name = "FIGURE,...", value_delimiter = ',')]
    only: Vec<Figure>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Figure {
    /// The master's host falls silent
    Silent,
    /// The master's agent is killed
    Kill,
    /// The master's agent is stopped in order
    Stop,
    /// A container of the master dies, `fall = 1`
    Container,
    /// The same at the defaults
    Defaults,
    /// Memory and CPU of idle agents
    Idle,
    /// The program's file
    Size,
}

impl Figure {
    /// The fault that is injected for it, if it is about one; and how often, if nobody says otherwise.
    fn fault(self) -> Option<(Fault, u32)> {
        match self {
            Self::Silent => Some((Fault::Silence, SLOW_RUNS)),
            Self::Kill => Some((Fault::Kill, SLOW_RUNS)),
            Self::Stop => Some((Fault::Stop, CHEAP_RUNS)),
            Self::Container => Some((Fault::Container { fall: 1 }, CHEAP_RUNS)),
            Self::Defaults => Some((Fault::Container { fall: DEFAULT_FALL }, SLOW_RUNS)),
            Self::Idle | Self::Size => None,
        }
    }

    /// The check's `fall` on the stage where it is measured.
    fn fall(self) -> u8 {
        match self {
            Self::Silent | Self::Kill | Self::Stop | Self::Container => 1,
            Self::Defaults | Self::Idle | Self::Size => DEFAULT_FALL,
        }
    }
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
    #[error("the bare process cannot be stopped")]
    Signal(#[source] nix::Error),
    #[error("cannot read {}", path.display())]
    Proc { path: PathBuf, source: io::Error },
    #[error("{} does not say what is looked for in it", .0.display())]
    Odd(PathBuf),
}

impl Options {
    /// Measures, and prints each figure as soon as it is there.
    ///
    /// # Errors
    /// A step of the way could not be taken; a figure is never an error.
    pub(crate) async fn measure(&self) -> Result<(), BenchError> {
        say(&format!("{}. Load average {} at the start.\n", machine::facts(), machine::load()))?;
        say(&table::head())?;
        let floor = Floor::set().await?;
        for interval in INTERVALS {
            self.faults(interval, &[Figure::Silent, Figure::Kill, Figure::Stop, Figure::Container], &floor).await?;
            self.faults(interval, &[Figure::Defaults], &floor).await?;
        }
        for interval in INTERVALS {
            if self.wanted(Figure::Idle) {
                idle(interval, Duration::from_secs(self.idle.into())).await?;
            }
        }
        if self.wanted(Figure::Size) {
            let size = cost::size(&crate::stage::agent_program()?)?;
            let values = [size].into_iter().collect();
            let what = "the program".to_owned();
            say(&table::row(&Row { what, interval: None, unit: Unit::Megabytes, values, floor: None, over: None }))?;
        }
        say(&format!("\nLoad average {} at the end.", machine::load()))?;
        Ok(())
    }

    fn wanted(&self, figure: Figure) -> bool {
        self.only.is_empty() || self.only.contains(&figure)
    }

    /// Measures those of these figures that are wanted, on one stage.
    async fn faults(&self, interval: Duration, figures: &[Figure], floor: &Floor) -> Result<(), BenchError> {
        let wanted: Vec<Figure> = figures.iter().copied().filter(|figure| self.wanted(*figure)).collect();
        let Some(fall) = wanted.first().map(|figure| figure.fall()) else { return Ok(()) };
        let mut stage = Stage::set(Scene { interval, fall, ..SCENE }).await?;
        let mut master = 0;
        stage.settled(master).await?;
        for (fault, runs) in wanted.into_iter().filter_map(Figure::fault) {
            let mut pairs = Vec::new();
            for number in 0..self.runs.unwrap_or(runs) {
                let clock = Clock::start();
                tokio::time::sleep(fault::pause(number, interval)).await;
                let run = fault::inject(&mut stage, master, fault).await?;
                fault::recover(&mut stage, master, fault).await?;
                master = 1 - master;
                stage.settled(master).await?;
                // In turns with haagent's own runs, so that both meet the same machine.
                let least = match floor.of(fault).await? {
                    Some(bare) => bare.as_secs_f64() * 1e3,
                    None => run.floor_of_silence(fault::last_heartbeat(&stage, master, run).await?, interval),
                };
                pairs.push((run.took(), least));
                tokio::time::sleep(PERIOD.saturating_sub(clock.now())).await;
            }
            say(&table::row(&Row::of_pairs(fault.to_string(), interval, Unit::Milliseconds, &pairs)))?;
        }
        Ok(())
    }
}

/// What an idle agent costs, and a bare heart at the same time.
async fn idle(interval: Duration, time: Duration) -> Result<(), BenchError> {
    let mut stage = Stage::set(Scene { interval, fall: DEFAULT_FALL, ..SCENE }).await?;
    stage.settled(0).await?;
    let hearts = Hearts::beat(interval).await?;
    let mut processes = vec![hearts.id()?];
    for host in &stage.hosts {
        processes.push(host.agent_id()?);
    }
    let mut costs = cost::watch(&processes, time).await?.into_iter();
    let Some(bare) = costs.next() else { return Ok(()) };
    for (role, cost) in ["master", "backup"].into_iter().zip(costs) {
        let cpu = |cost: &cost::Cost| [cost.cpu].into_iter().collect::<Sample>();
        for (what, unit, values, least) in [
            ("RSS", Unit::Megabytes, cost.resident.clone(), bare.resident.clone()),
            ("PSS", Unit::Megabytes, cost.proportional.clone(), bare.proportional.clone()),
            ("CPU a minute", Unit::CpuSeconds, cpu(&cost), cpu(&bare)),
        ] {
            let over = values.median().zip(least.median()).map(|(value, least)| value - least);
            say(&table::row(&Row {
                what: format!("{what}, idle {role}"),
                interval: Some(interval),
                unit,
                values,
                floor: Some(least),
                over: over.map(|over| [over].into_iter().collect()),
            }))?;
        }
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
