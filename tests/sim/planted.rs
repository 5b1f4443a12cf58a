//! Known bugs, put into the wiring of the cores. A simulator that does not find
//! these would not find others: each must break the promise that it is told to break,
//! within so many seeds.

use crate::faults::{Fault, Target};
use crate::plan::Plan;
use crate::run::run;

/// A bug in the shell around the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// What must survive a restart does not (rule 1).
    ForgetsMemory,
    /// Metadata "mine" is believed whatever metadata says (rule 13).
    BelievesMetadataAlways,
    /// A live droplet that is no member is taken for nobody (rule 12).
    TakesForeignForNobody,
    /// A node that steps down unassigns (P4: make before break).
    UnassignsOnYield,
    /// The end of a mastership does not reach the claim.
    NeverYields,
    /// The claim's reports do not reach the election.
    ReportsNothing,
    /// The reconciler is not told that there is a promotion gate.
    IgnoresGate,
    /// A probe is configured, and nobody asks what it says (rule 9).
    IgnoresProbe,
    /// The probe's answers get lost, its failures do not.
    ProbeNeverAnswered,
}

impl Bug {
    /// A plan in which nothing would show the bug need not be run.
    fn could_show_in(self, plan: &Plan) -> bool {
        match self {
            Self::TakesForeignForNobody => {
                let to_foreign = |(_, fault): &(_, Fault)| matches!(fault, Fault::MovedByHand { to: Target::Foreign });
                plan.setup.holder == Target::Foreign || plan.faults.iter().any(to_foreign)
            }
            Self::IgnoresGate => plan.setup.promote.is_some(),
            Self::IgnoresProbe | Self::ProbeNeverAnswered => plan.setup.probe.is_some(),
            Self::ForgetsMemory
            | Self::BelievesMetadataAlways
            | Self::UnassignsOnYield
            | Self::NeverYields
            | Self::ReportsNothing => true,
        }
    }
}

/// More seeds than any of these bugs needs.
const SEEDS: u64 = 600;

/// The first seed that finds the bug, and how.
fn found(bug: Bug) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| {
        let mut plan = Plan::of(seed);
        if !bug.could_show_in(&plan) {
            return None;
        }
        plan.setup.bug = Some(bug);
        let violation = run(&plan, false).0.err()?;
        // Sound without the bug: it is the bug that breaks it.
        run(&Plan::of(seed), false).0.is_ok().then(|| (seed, format!("{}: {}", violation.promise, violation.text)))
    })
}

/// Where the promise is empty the bug breaks several, and any of them will do.
macro_rules! is_found {
    ($($name:ident: $bug:ident breaks $promise:literal;)*) => {$(
        #[test]
        fn $name() {
            let (seed, broken) = found(Bug::$bug).expect("the planted bug is found");
            assert!(broken.starts_with($promise), "seed {seed}: {broken}");
        }
    )*};
}

is_found! {
    forgotten_memory_is_found: ForgetsMemory breaks "";
    always_believing_metadata_is_found: BelievesMetadataAlways breaks "P3";
    robbing_a_foreign_droplet_is_found: TakesForeignForNobody breaks "P2";
    unassigning_on_yield_is_found: UnassignsOnYield breaks "P";
    a_claim_that_never_yields_is_found: NeverYields breaks "";
    a_probe_that_is_ignored_is_found: IgnoresProbe breaks "P2";
    a_probe_that_is_never_answered_is_found: ProbeNeverAnswered breaks "P2";
    an_election_that_hears_nothing_of_its_claim_is_found: ReportsNothing breaks "";
    an_ignored_promotion_gate_is_found: IgnoresGate breaks "the gate";
}
