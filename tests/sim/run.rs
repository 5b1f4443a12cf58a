//! One run: start, settle, faults, heal, rest; judged at each event.

use std::fmt::Write as _;

use haagent::proto::claim::event::{Action, Outcome};
use haagent::proto::time::{Duration, Time};

use crate::faults::Fault;
use crate::invariants::{Converges, Invariants, Terms, Violation};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::{Happening, START, Setup, World};

/// A world, its judges, and what is written down of it.
pub(crate) struct Run {
    pub(crate) world: World,
    invariants: Invariants,
    trace: Option<String>,
    /// All happenings since the start; scenarios ask them.
    pub(crate) history: Vec<(Time, Happening)>,
    keep_history: bool,
}

/// How far a run got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    pub(crate) simulated: Duration,
    pub(crate) moves: usize,
}

impl Run {
    pub(crate) fn new(setup: Setup, seed: u64, traced: bool) -> Self {
        Self {
            invariants: Invariants::new(&setup),
            world: World::new(setup, seed),
            trace: traced.then(String::new),
            history: Vec::new(),
            keep_history: false,
        }
    }

    pub(crate) fn with_history(mut self) -> Self {
        self.keep_history = true;
        self
    }

    pub(crate) fn arm(&mut self, terms: Terms) {
        self.invariants.arm(terms);
    }

    pub(crate) fn trace(self) -> String {
        self.trace.unwrap_or_default()
    }

    /// The next event, judged. What happened is returned for those who look further.
    fn step(&mut self) -> Result<Vec<Happening>, Violation> {
        self.world.step();
        let happenings = self.world.take_happenings();
        if let Some(trace) = &mut self.trace {
            for happening in happenings.iter().filter(|happening| is_news(happening)) {
                _ = writeln!(trace, "{:>12?}  {happening}", Time::ORIGIN + (self.world.now - START));
            }
        }
        if self.keep_history {
            self.history.extend(happenings.iter().map(|happening| (self.world.now, happening.clone())));
        }
        self.invariants.judge(&self.world, &happenings)?;
        Ok(happenings)
    }

    pub(crate) fn run_until(&mut self, end: Time) -> Result<(), Violation> {
        while self.world.next_event().is_some_and(|at| at <= end) {
            self.step()?;
        }
        self.world.advance(end);
        Ok(())
    }

    /// Whether `condition` came true within `limit`.
    pub(crate) fn run_while(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Violation> {
        let end = self.world.now + limit;
        while condition(self) {
            if self.world.next_event().is_none_or(|at| at > end) {
                self.world.advance(end);
                return Ok(false);
            }
            self.step()?;
        }
        Ok(true)
    }

    /// Until the group rests, as it must.
    pub(crate) fn converge(&mut self) -> Result<(), Violation> {
        let mut converges = Converges::new(&self.world.setup, self.world.now);
        loop {
            let happenings = self.step()?;
            if converges.judge(&self.world, &happenings)? {
                return Ok(());
            }
        }
    }

    pub(crate) fn start_all(&mut self, rng: &mut Rng) {
        // An agent that starts later than its peers' `D` is a fault of its own.
        let spread = Duration::ZERO..=self.world.setup.dead_interval();
        for host in 0..self.world.setup.hosts {
            let at = self.world.now + rng.duration(&spread);
            self.world.inject(at, Fault::AgentStarts { host });
        }
    }
}

/// Reads of metadata are most of what happens; those that say "mine" say nothing new.
fn is_news(happening: &Happening) -> bool {
    match happening {
        Happening::Called { action, .. } => *action != Action::LookLocal,
        Happening::Answered { outcome, .. } => *outcome != Outcome::Local { mine: true },
        _ => true,
    }
}

/// Runs a plan from beginning to end.
pub(crate) fn run(plan: &Plan, traced: bool) -> (Result<Summary, Violation>, String) {
    let mut run = Run::new(plan.setup.clone(), plan.seed, traced);
    let result = phases(&mut run, plan);
    (result, run.trace())
}

fn phases(run: &mut Run, plan: &Plan) -> Result<Summary, Violation> {
    let mut rng = Rng::new(plan.seed ^ 0x57a7);
    run.start_all(&mut rng);
    // The IP is on a member that starts with the others: that one becomes master, and nothing moves.
    run.arm(Terms { moves: Some(0), ..Terms::default() });
    let settle = plan.setup.dead_interval() * 8 + Duration::from_secs(15);
    if !run.run_while(settle, |run| !run.world.is_settled())? {
        return Err(Violation {
            at: run.world.now,
            promise: "converges",
            text: format!("not settled {settle:?} after the start"),
        });
    }
    run.run_until(run.world.now + plan.setup.dead_interval() * 2)?;
    run.arm(plan.terms);
    let begin = run.world.now;
    for (at, fault) in &plan.faults {
        run.world.inject(begin + *at, fault.clone());
    }
    run.run_until(begin + plan.length)?;
    run.world.inject(run.world.now, Fault::HealAll);
    run.converge()?;
    Ok(Summary { simulated: run.world.now - START, moves: run.world.cloud.moves().len() })
}
