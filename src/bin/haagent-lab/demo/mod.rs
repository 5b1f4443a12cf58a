//! `haagent-lab demo`: two agents, ten containers each, one reserved IP, a client that asks it all the
//! time, and three events. It succeeds only if every step was verified: by the fake cloud's own log, by
//! what the client saw, and by what both agents say.
//!
//! * [`show`]: what the acts share. [`container`], [`death`], [`link`]: the three events. [`sum`]: the table.
//! * [`evidence`]: what must be so after an event. [`calls`]: what an agent asked the API.
//! * [`steps`]: what an event is drawn from.
//! * [`traffic`]: the client. [`timeline`]: the bars. [`page`], [`paint`]: how it is printed.
//! * [`commands`]: what there is to play with under `--keep`.

mod calls;
mod commands;
mod container;
mod death;
mod evidence;
mod link;
mod page;
mod paint;
mod show;
mod steps;
mod sum;
mod timeline;
mod traffic;

use std::io;
use std::time::Duration;

use self::page::Page;
use self::paint::{Paint, Tone};
use self::show::Show;
use crate::stage::{DEFAULT_CALLS_PER_MINUTE, Scene, StageError};

/// What `haagent-lab demo` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 every step was verified; 1 one was not, or it was stopped before its end.")]
pub(crate) struct Options {
    /// Shorter intervals, and a cloud that takes less time for an assign: for the impatient, and for tests
    #[arg(long)]
    fast: bool,
    /// Leaves everything running at the end, until Ctrl-C, and prints commands to play with
    #[arg(long)]
    keep: bool,
}

/// Why the demo does not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("cannot write to the standard output")]
    Output(#[from] io::Error),
    #[error("NOT VERIFIED: {0}")]
    NotVerified(String),
}

/// How fast it goes.
#[derive(Clone, Copy, Debug)]
struct Pace {
    scene: Scene,
    /// How many assigns in a row are refused with "pending event".
    pending_events: u32,
    /// The `Retry-After` of the one that is refused after those, seconds.
    retry_after: u64,
    /// How long the private link stays cut.
    cut: Duration,
    /// How long all is quiet before each event, so that the difference is seen.
    quiet: Duration,
}

impl Pace {
    /// The agents' defaults; the cloud takes as long for an assign as the real one at its best.
    const USUAL: Self = Self {
        scene: Scene {
            interval: Duration::from_millis(500),
            fall: 2,
            assign: Duration::from_secs(1),
            probe: true,
            calls_per_minute: DEFAULT_CALLS_PER_MINUTE,
        },
        pending_events: 2,
        retry_after: 2,
        cut: Duration::from_secs(6),
        quiet: Duration::from_millis(500),
    };
    const FAST: Self = Self {
        scene: Scene {
            interval: Duration::from_millis(200),
            fall: 1,
            assign: Duration::from_millis(200),
            probe: true,
            calls_per_minute: DEFAULT_CALLS_PER_MINUTE,
        },
        pending_events: 1,
        retry_after: 1,
        cut: Duration::from_millis(2500),
        quiet: Duration::from_millis(100),
    };
}

/// What is left running.
#[derive(Debug)]
pub(crate) struct Kept(Show);

impl Kept {
    /// Goes on for ever; all of it ends when this is dropped.
    pub(crate) async fn stay(self) {
        std::future::pending::<()>().await;
        drop(self.0);
    }
}

impl Options {
    /// Plays it. What is to be kept comes back.
    ///
    /// # Errors
    /// A step was not verified, or could not be taken.
    pub(crate) async fn play(&self) -> Result<Option<Kept>, DemoError> {
        let pace = if self.fast { Pace::FAST } else { Pace::USUAL };
        let page = Page { paint: Paint::for_stdout() };
        let mut show = Show::open(pace, page).await?;
        let played = acts(&mut show, self.keep).await;
        if played.is_err() {
            eprintln!("\n{}", show.stage.last_words());
        }
        played.map(|()| self.keep.then_some(Kept(show)))
    }
}

async fn acts(show: &mut Show, keep: bool) -> Result<(), DemoError> {
    show.introduce().await?;
    container::play(show).await?;
    death::play(show).await?;
    link::play(show).await?;
    sum::play(show).await?;
    if keep {
        commands::print(show)?;
    }
    show.page.blank()?;
    let word = show.page.paint.paint(Tone::Good, "Verified:");
    show.page.lines(&[format!("{word} every step, by the cloud's log, by the client and by both agents.")])?;
    Ok(())
}
