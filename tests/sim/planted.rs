//! Known bugs, put into the wiring of the cores. A simulator that does not find
//! these would not find others.

/// A bug in the shell around the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Rules are evaluated before the queued datagrams are read (rule 1).
    EvaluatesBeforeDraining,
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
}
