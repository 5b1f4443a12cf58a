//! Many seeds: each draws its faults, must keep the promises, then all heals and must
//! converge. A failing seed is shortened, and prints its trace and how to run it again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::invariants::Violation;
use crate::plan::Plan;
use crate::run::run;
use crate::world::START;

/// Seeds of one ordinary test run.
pub(crate) const SEEDS: u64 = 2_000;

/// Failures that one run of the swarm shows; the others are only counted.
const SHOWN: usize = 5;

/// How many seeds this test run is to have: `HAAGENT_SIM_SEEDS`.
pub(crate) fn seeds() -> u64 {
    number("HAAGENT_SIM_SEEDS").unwrap_or(SEEDS)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} = {text:?} is no number")))
}

/// Leaves out each fault that the failure does not need.
fn shorten(plan: Plan, failure: &Violation) -> Plan {
    let mut plan = plan;
    let mut index = 0;
    while index < plan.faults.len() {
        let mut shorter = plan.clone();
        shorter.faults.remove(index);
        match run(&shorter, false).0 {
            Err(violation) if violation.promise == failure.promise => plan = shorter,
            _ => index += 1,
        }
    }
    plan
}

fn report(plan: &Plan, failure: &Violation) -> String {
    let short = shorten(plan.clone(), failure);
    let (result, trace) = run(&short, true);
    let failure = result.err().unwrap_or_else(|| failure.clone());
    let lines: Vec<&str> = trace.lines().collect();
    let tail = lines[lines.len().saturating_sub(120)..].join("\n");
    let faults: Vec<String> = short.faults.iter().map(|(at, fault)| format!("{at:?}: {fault}")).collect();
    format!(
        "\nseed {} ({:?}, {} hosts, I {:?}, assign {:?}, holder {:?}, preempt {}, probe {}): {} broken after {:?}: {}\n\
         faults: {}\n{tail}\n\
         again: HAAGENT_SIM_SEED={} cargo test --test sim replay -- --nocapture\n",
        plan.seed,
        plan.kind,
        plan.setup.hosts,
        plan.setup.interval,
        plan.setup.profile.assign,
        plan.setup.holder,
        plan.setup.preempt,
        plan.setup.probe.is_some(),
        failure.promise,
        failure.at - START,
        failure.text,
        faults.join("; "),
        plan.seed,
    )
}

#[test]
fn swarm() {
    let first = number("HAAGENT_SIM_FIRST_SEED").unwrap_or(0);
    let seeds = seeds();
    let next = AtomicU64::new(first);
    let failures: Mutex<Vec<(Plan, Violation)>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let simulated = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let plan = Plan::of(seed);
                    match run(&plan, false).0 {
                        Ok(summary) => _ = simulated.fetch_add(summary.simulated.as_secs(), Ordering::Relaxed),
                        Err(violation) => failures.lock().unwrap().push((plan, violation)),
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort_by_key(|(plan, _)| plan.seed);
    let reports: Vec<String> = failures.iter().take(SHOWN).map(|(plan, violation)| report(plan, violation)).collect();
    let all: Vec<String> = failures
        .iter()
        .map(|(plan, violation)| format!("{} {:?} {}: {}", plan.seed, plan.kind, violation.promise, violation.text))
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {seeds} seeds break a promise\n{}\n{}",
        failures.len(),
        reports.join("\n"),
        all.join("\n")
    );
    let hours = simulated.into_inner() / 3_600;
    assert!(seeds < 100 || hours > 0, "{seeds} seeds simulated nothing");
}

/// With `HAAGENT_SIM_SEED` set: that seed once more, with its whole trace. Without:
/// proof that a seed gives the same run each time.
#[test]
fn replay() {
    if let Some(seed) = number("HAAGENT_SIM_SEED") {
        let plan = Plan::of(seed);
        let (result, trace) = run(&plan, true);
        panic!(
            "{trace}\n{}\nseed {seed}: {result:#?}",
            match &result {
                Err(failure) => report(&plan, failure),
                Ok(_) => String::from("keeps all promises"),
            }
        );
    }
    for seed in 0..20 {
        let plan = Plan::of(seed);
        let (first, again) = (run(&plan, true), run(&plan, true));
        assert!(first == again, "seed {seed} gives two different runs");
        assert!(!first.1.is_empty(), "seed {seed} leaves no trace");
    }
}
