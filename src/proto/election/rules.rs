//! May I take over, and why: rules 6 to 9 of `docs/design.md` as one pure decision.
//!
//! [`decide`] is asked by a node that hears no master now. It answers with a takeover, or with
//! the time at which the answer may change by itself.

use std::net::Ipv4Addr;

use crate::proto::claim::event::{Base, Holder, Look};
use crate::proto::election::event::{Params, Reason};
use crate::proto::election::evidence::Deposition;
use crate::proto::ids::Rank;
use crate::proto::time::{Duration, Time};

/// Rule 7: how long the holder is waited for when it and this host may both be booting.
pub(super) const BOOT_GRACE: Duration = Duration::from_secs(20);

/// A host that came up less than this before the agent listened counts as booting (rule 7).
pub(super) const BOOTING: Duration = Duration::from_secs(60);

/// What a member that holds the address is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Heard, and it is a candidate (or was just started): rule 6 is its own to use.
    Candidate,
    /// Heard, and no candidate.
    NoCandidate,
    /// Not heard. `known`: it was, since this agent began to listen.
    Unheard { known: bool },
    /// Datagrams with a wrong key come from its host: not silent, so nothing is known.
    Babbling,
}

/// All that the decision rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacancy {
    pub(super) now: Time,
    /// The silence: since the last of a master heard and my becoming `Backup`.
    pub(super) silent_since: Time,
    pub(super) candidate: bool,
    /// A candidate is heard (for rule 6's second sentence).
    pub(super) candidate_heard: bool,
    /// The one followed that fell silent; `None`: none was followed.
    pub(super) followed: Option<Ipv4Addr>,
    /// The master that left named a successor which is heard: D more (rule 5).
    pub(super) successor_heard: bool,
    /// The newest look, whenever it was.
    pub(super) look: Option<Look>,
    /// What the member in that look is to this node.
    pub(super) holder: Standing,
    pub(super) deposed: Option<Deposition>,
    /// A heard peer says first-hand that it is deposed by somebody whom I do not hear (rule 8).
    pub(super) deposed_by_word: Option<Deposition>,
    /// Datagrams with a wrong key come from the deposer's host: it is not silent.
    pub(super) deposer_babbles: bool,
    /// When the truth first said within this silence what it says now.
    pub(super) told_at: Option<Time>,
    pub(super) rank: Rank,
    /// The last known holder.
    pub(super) base: Base,
    /// This host booted at about the time that this agent began to listen.
    pub(super) booting: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    TakeOver {
        reason: Reason,
        base: Base,
    },
    /// Not now; at this time the answer may be another one without any news.
    Wait(Option<Time>),
}

/// Decides by the first rule that holds.
pub(super) fn decide(params: &Params, vacancy: &Vacancy) -> Verdict {
    let mut wake: Option<Time> = None;
    for rule in [holder, deposed, silent, masterless] {
        match rule(params, vacancy) {
            Step::Take(reason, base) => return Verdict::TakeOver { reason, base },
            Step::At(at) => wake = Some(wake.map_or(at, |earlier| earlier.min(at))),
            Step::Pass => {}
            Step::Forbid(at) => {
                wake = [wake, at].into_iter().flatten().min();
                break;
            }
        }
    }
    Verdict::Wait(wake)
}

enum Step {
    Take(Reason, Base),
    /// This rule will hold at this time; a later one may hold before.
    At(Time),
    /// This rule does not apply; a later one may.
    Pass,
    /// This rule forbids the later ones, and may hold itself at this time.
    Forbid(Option<Time>),
}

impl Vacancy {
    /// A look that was begun within this silence.
    fn truth(&self) -> Option<Look> {
        self.look.filter(|look| look.begun >= self.silent_since)
    }

    fn due(&self, at: Time, take: impl FnOnce() -> (Reason, Base)) -> Step {
        if self.now < at {
            return Step::At(at);
        }
        let (reason, base) = take();
        Step::Take(reason, base)
    }
}

/// Rule 6: no master is heard and the address is here. No write.
fn holder(params: &Params, vacancy: &Vacancy) -> Step {
    let Some(Look { holder: Holder::Mine, settled: true, .. }) = vacancy.truth() else { return Step::Pass };
    let wait = match (vacancy.candidate, vacancy.candidate_heard) {
        (true, _) => params.dead_interval(),
        // The second sentence: least bad, but everybody else goes first.
        (false, false) => params.dead_interval() * 4,
        (false, true) => return Step::Forbid(None),
    };
    vacancy.due(vacancy.silent_since + wait, || (Reason::Holder, Base::default()))
}

/// Rule 8: a deposed node takes over only by its chance (other news ended the deposition).
/// What is no candidate uses no rule but the one before this.
fn deposed(params: &Params, vacancy: &Vacancy) -> Step {
    if !vacancy.candidate || vacancy.deposer_babbles {
        return Step::Forbid(None);
    }
    let (deposed, later) = match (vacancy.deposed, vacancy.deposed_by_word) {
        (Some(deposed), _) => (deposed, Duration::ZERO),
        // It goes first who was deposed itself, if it may go at all.
        (None, Some(word)) => (word, params.dead_interval()),
        (None, None) => return Step::Pass,
    };
    let at = deposed.chance_at() + params.skew(vacancy.rank) + later;
    if vacancy.now < at {
        return Step::Forbid(Some(at));
    }
    Step::Take(Reason::Chance { by: deposed.by }, deposed.member().into_iter().collect())
}

/// Rule 7, "Silent": the master followed is silent for D + skew. Evidence (rule 9): silence is enough.
fn silent(params: &Params, vacancy: &Vacancy) -> Step {
    let Some(master) = vacancy.followed else { return Step::Pass };
    let successor = if vacancy.successor_heard { params.dead_interval() } else { Duration::ZERO };
    let at = vacancy.silent_since + params.dead_interval() + params.skew(vacancy.rank) + successor;
    vacancy.due(at, || {
        let mut base = vacancy.base;
        base.insert(master);
        (Reason::Silent { master }, base)
    })
}

/// Rule 7, "Masterless": none was followed; how long to wait is for the truth to say.
fn masterless(params: &Params, vacancy: &Vacancy) -> Step {
    let Some(look) = vacancy.truth() else { return Step::Pass };
    let dead = params.dead_interval();
    let wait = match look.holder {
        Holder::Nobody => dead,
        Holder::Member(_) => match vacancy.holder {
            Standing::NoCandidate => dead,
            Standing::Unheard { known: false } if vacancy.booting => BOOT_GRACE,
            Standing::Unheard { .. } => dead * 4,
            // It goes first, by rule 6.
            Standing::Candidate => dead * 8,
            Standing::Babbling => return Step::Pass,
        },
        Holder::Mine | Holder::Foreign(_) | Holder::Unknown => return Step::Pass,
    };
    // Skew counts from complete evidence: the answer may have come later than the silence lasted.
    let complete = (vacancy.silent_since + wait).max(vacancy.told_at.unwrap_or(look.ended));
    vacancy.due(complete + params.skew(vacancy.rank), || {
        let base = match look.holder {
            Holder::Member(member) => [member].into_iter().collect(),
            _ => Base::default(),
        };
        (Reason::Masterless { holder: look.holder }, base)
    })
}
